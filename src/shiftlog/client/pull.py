"""Pulling: every file of a server once into a lake, and nothing twice, whatever happens meanwhile.

What is there is asked from the checkpoint on; what the lake has is known by name. Files are downloaded side by side, proved and
converted on every processor, and become part of the lake some at a time, while the next are on their way. The checkpoint moves
last, when all of them are in: whatever stops a pull, the next one completes it.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from shiftlog import pgp
from shiftlog.client import chained, verify
from shiftlog.client.answers import File, Manifest, ManifestPart
from shiftlog.client.checkpoint import LOOK_BACK, Found, look
from shiftlog.client.convert import fingerprint
from shiftlog.client.http import Client
from shiftlog.client.writer import Staged, Writer, held
from shiftlog.errors import Damaged, Denied, Gone, Later, Missing, ShiftlogError, Unusable
from shiftlog.hours import HOUR, MINUTE, floor
from shiftlog.lake import Kept
from shiftlog.names import PartName

BATCH = 64  # files that become part of the lake together, about
_TRIES = 3  # downloads of a file that does not come as the manifest says
_BUSY = 3  # files in vain, after which a server that cannot be reached is left in peace
_APPEARS = 6 * MINUTE  # after its end an hour has been published


@dataclass(slots=True)
class Summary:
    """What a pull did: files that are new, those the lake had, those fetched again, those written again because revisions
    superseded sessions of them, those that were deleted before they could be fetched, and those deleted here because the server has erased
    them; bytes and events of what came.

    `failed` says why files did not come; while it is not empty the checkpoint stays, and the next pull tries again.
    """

    new: int = 0
    skipped: int = 0
    repaired: int = 0
    rewritten: int = 0
    gone: int = 0
    erased: int = 0
    events: int = 0
    bytes: int = 0
    cursor: int | None = None
    watermark: int | None = None
    failed: dict[str, str] = field(default_factory=dict)


class Progress:
    """Told of a pull as it goes, from several threads; this one shows nothing."""

    def expect(self, files: int, size: int | None) -> None:
        """So many files are to come, of so many bytes where that is known."""

    def bytes(self, count: int) -> None:
        """Bytes came."""

    def files(self, count: int) -> None:
        """Files became part of the lake."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to pull. `since` (epoch ms) bounds the generated time; `look_back` (ms) counts for servers that do not say how far
    their lists reach. With `parquet`, the `.parquet` of a part is taken in place of its `.gz`, where the manifest proves it and the
    `.gz` is not wanted by itself."""

    since: int | None = None
    keep_raw: bool = False
    jobs: int = 4
    repair: bool = False
    look_back: int = LOOK_BACK
    decrypt: Callable[[bytes, str], bytes] = field(default_factory=lambda: pgp.decryptor(None))
    parquet: bool = False


def pull(client: Client, directory: Path, options: Options, *, now: int, progress: Progress | None = None) -> Summary:
    """Bring a lake up to date; `now` is epoch ms.

    Raises:
        Later: another pull is at work in the lake, or the server cannot be reached; what came is kept.
        Denied: the key is refused.
        Invalid: the lake is another account's, or the directory is no lake and not empty.
        Unusable: a lake of a newer layout, or one that cannot be written (a full disk).
    """
    with held(directory, client.account) as lake:
        return _Pull(client, lake, options, now, progress or Progress()).run()


def next_look(now: int) -> int:
    """When the next hour will have been published (epoch ms)."""
    return floor(now - _APPEARS) + HOUR + _APPEARS


class _Pull:
    """One pull."""

    def __init__(self, client: Client, lake: Writer, options: Options, now: int, progress: Progress) -> None:
        self._client, self._lake, self._options, self._now, self._progress = client, lake, options, now, progress
        self._summary = Summary()
        self._converting = threading.BoundedSemaphore(os.cpu_count() or 1)  # so many parts are in memory, and no more than `jobs`
        self._stopped = threading.Event()
        self._proofs: dict[str, ManifestPart] = {}
        self._missing: set[str] = set()
        self._busy = 0
        self._shown = chained.Shown(None, {})

    def run(self) -> Summary:
        found = self._look()
        manifest = self._manifest() if found.exact else None
        self._proofs = {} if manifest is None else {part.name: part for part in manifest.parts}
        self._check_known(found)
        broken = self._broken(manifest) if self._options.repair else {}
        new = {name: file for name, file in found.files.items() if name not in self._lake.files and name not in broken}
        self._summary.skipped = len(found.files) - len(new) - len(broken.keys() & found.files)
        self._take({**broken, **new}, set(broken))
        self._give_up(found)
        if not self._summary.failed:
            # What stands in the place of those that went later is not among what was listed.
            self._summary.erased = self._lake.drop(self._shown.erased(found.cursor))
            self._advance(found, manifest)
            self._lake.clear()
        self._summary.cursor, self._summary.watermark = self._lake.snapshot.cursor, self._lake.snapshot.watermark
        return self._summary

    # ── what the server says of its past ──

    def _manifest(self) -> Manifest:
        """The manifest from where the lake has read it, or from its beginning; what it says of the chain is checked and kept.

        Raises:
            Damaged: it is not what the lake was shown before.
        """
        after, known = self._lake.snapshot.sequence, self._lake.snapshot.chain
        after = 0 if self._options.repair else after if known is None else min(after, known.head.sequence)
        found = self._client.manifest(after)
        # From the beginning where the chain is new to the lake, and where old parts were erased.
        anew = found.erased != known.erased if known is not None else found.head is not None
        if anew and after > 0:
            after, found = 0, self._client.manifest(0)
        self._keep_chain(found, after)
        return found

    def _keep_chain(self, manifest: Manifest, after: int) -> None:
        if manifest.head is None and self._lake.snapshot.chain is None:
            return
        before = self._kept_chain()
        chain, changed = chained.extended(self._lake.snapshot.account, before, manifest, after)
        if chain != before.chain or changed:
            self._lake.keep_chain(chain, msgspec.json.Encoder().encode_lines(changed))
        self._shown = chained.Shown(chain, {**before.parts, **{part.sequence: part for part in changed}})

    def _kept_chain(self) -> chained.Shown:
        """What the lake was shown before; with `repair`, also where it was lost but for the head."""
        try:
            shown = chained.read(self._lake.directory, self._lake.snapshot)
            if self._options.repair:
                chained.check(self._lake.snapshot.account, shown)
            return shown
        except Damaged:
            known = self._lake.snapshot.chain
            if not self._options.repair or known is None:
                raise
            return chained.Shown(msgspec.structs.replace(known, bytes=0), {})

    def _check_known(self, found: Found) -> None:
        """Raises:
        Damaged: the server lists what is not in its chain.
        """
        if self._shown.chain is not None and (others := found.files.keys() - self._shown.names):
            raise Damaged(f"the server lists {', '.join(sorted(others)[:3])}, which its chain has not; nothing was taken: ask its operator")

    # ── what is to come ──

    def _look(self) -> Found:
        snapshot, since = self._lake.snapshot, self._options.since
        reaches_back = since is not None and snapshot.since is not None and since < snapshot.since
        if snapshot.cursor is None or reaches_back:
            return look(self._client, since, now=self._now, look_back=0)
        return look(self._client, snapshot.cursor, now=self._now, look_back=self._options.look_back)

    def _broken(self, manifest: Manifest | None) -> dict[str, File]:
        """What the lake should have and does not have as it should be."""
        wrong = verify.local(self._lake.directory, self._lake.snapshot)
        if manifest is not None:
            wrong += verify.against(self._lake.snapshot, manifest).wrong
        names = dict.fromkeys(item.name for item in wrong if item.name in self._lake.files or item.name in self._proofs)
        suffix = ".pgp" if manifest is not None and manifest.encrypted_to else ""
        return {name: File(PartName.parse(name), self._client.href(name) + suffix) for name in sorted(names)}

    # ── taking it ──

    def _take(self, wanted: dict[str, File], broken: set[str]) -> None:
        known = [self._proofs[name].bytes for name in wanted if name in self._proofs]
        self._progress.expect(len(wanted), sum(known) if len(known) == len(wanted) else None)
        with ThreadPoolExecutor(self._options.jobs, "pull") as pool:
            try:
                begun: deque[dict[Future[Staged], File]] = deque()
                for batch in _batches(list(wanted.values())):
                    begun.append({pool.submit(self._obtain, file): file for file in batch})
                    if len(begun) > 1:  # a batch becomes part of the lake while the next one comes
                        self._add(begun.popleft(), broken)
                for futures in begun:
                    self._add(futures, broken)
            except BaseException:
                self._stopped.set()
                pool.shutdown(cancel_futures=True)
                raise

    def _add(self, futures: dict[Future[Staged], File], broken: set[str]) -> None:
        """Make the files of a batch, in its order, that could be had part of the lake; of the others the summary says why not."""
        for future in as_completed(futures):
            self._check(futures[future], future.exception())
        staged = [future.result() for future in futures if future.exception() is None]
        if staged:
            self._summary.rewritten += self._lake.add(staged, keep_raw=self._options.keep_raw)
        for file in staged:
            self._count(file, file.kept.name in broken)

    def _count(self, file: Staged, repaired: bool) -> None:
        self._summary.repaired += repaired
        self._summary.new += not repaired
        self._summary.events += file.kept.source.events
        self._summary.bytes += file.kept.source.bytes
        self._progress.files(1)

    def _check(self, file: File, error: BaseException | None) -> None:
        if error is None:
            return
        if not isinstance(error, ShiftlogError) or isinstance(error, Denied | Unusable):
            raise error
        self._summary.failed[str(file.name)] = str(error)
        if isinstance(error, Missing | Gone):
            self._missing.add(str(file.name))
        self._busy += isinstance(error, Later)
        if self._busy >= _BUSY:
            raise error

    def _obtain(self, file: File) -> Staged:
        """Download a file until it is what it should be."""
        name, proof = str(file.name), self._proofs.get(str(file.name))
        kept = self._lake.files.get(name)
        raw = self._lake.directory / kept.raw if kept is not None and kept.raw else None
        if kept is not None and raw is not None and raw.is_file() and fingerprint(raw)[1] == kept.source.sha256:
            return self._staged(file, raw, proof)
        if proof is not None and self._takes_parquet(file, kept, proof):
            with suppress(Damaged, Missing, Gone):  # then the published file itself says what is wrong
                return self._obtain_parquet(file, proof)
        for left in reversed(range(_TRIES)):
            size = None if proof is None or _is_encrypted(file) else proof.bytes
            gz = self._client.download(file, self._lake.partial, size=size, on_bytes=self._on_bytes)
            try:
                if _is_encrypted(file):
                    gz = self._decrypted(file, gz)
                return self._staged(file, gz, proof)
            except Damaged:
                gz.unlink(missing_ok=True)
                if not left:
                    raise
        raise AssertionError

    def _takes_parquet(self, file: File, kept: Kept | None, proof: ManifestPart) -> bool:
        """Whether the chain proves the part's `.parquet`, and nobody asks for the `.gz`."""
        wants_gz = self._options.keep_raw or (kept is not None and kept.raw is not None) or _is_encrypted(file)
        return self._options.parquet and bool(proof.link and proof.parquet_sha256) and not wants_gz

    def _obtain_parquet(self, file: File, proof: ManifestPart) -> Staged:
        address = f"{self._client.href(file.name).removesuffix('.gz')}.parquet"
        parquet = self._client.download(File(file.name, address), self._lake.partial, on_bytes=self._on_bytes)
        try:
            with self._converting:
                return self._lake.stage_parquet(file.name, parquet, proof)
        finally:
            parquet.unlink(missing_ok=True)

    def _decrypted(self, file: File, message: Path) -> Path:
        gz = self._lake.partial / f"{file.name}.decrypted"
        gz.write_bytes(self._options.decrypt(message.read_bytes(), str(file.name)))
        message.unlink()
        return gz

    def _staged(self, file: File, gz: Path, proof: ManifestPart | None) -> Staged:
        with self._converting:
            return self._lake.stage(file.name, gz, proof)

    def _on_bytes(self, count: int) -> None:
        if self._stopped.is_set():
            raise Unusable("the pull was stopped")
        self._progress.bytes(count)

    # ── where the next one begins ──

    def _give_up(self, found: Found) -> None:
        """Files that were listed, could not be found, and are listed no more, were deleted meanwhile: nobody can have them."""
        if not self._missing:
            return
        listed = look(self._client, found.start, now=self._now, look_back=0).files
        for name in self._missing - listed.keys() - self._lake.files.keys():
            del self._summary.failed[name]
            self._summary.gone += 1
        if self._summary.gone and self._shown.chain is not None:
            self._keep_chain(self._client.manifest(0), 0)  # it says why

    def _advance(self, found: Found, manifest: Manifest | None) -> None:
        snapshot = self._lake.snapshot
        since = self._options.since if found.exact or self._options.since is not None else found.start
        fields: dict[str, int | None] = {"cursor": max(found.cursor, snapshot.cursor or 0)}
        if snapshot.cursor is None or (since is not None and snapshot.since is not None and since < snapshot.since):
            fields["since"] = since
        if manifest is not None:
            reached = [part for part in manifest.parts if part.generated < found.cursor]
            fields["sequence"] = max([snapshot.sequence, *(part.sequence for part in reached)])
            # Of parts that were published after the list was asked, the watermark may speak already.
            fields["watermark"] = manifest.watermark if len(reached) == len(manifest.parts) else snapshot.watermark
        self._lake.advance(**fields)


def _is_encrypted(file: File) -> bool:
    return file.href.partition("?")[0].endswith(".gz.pgp")


def _batches(files: Sequence[File]) -> Iterator[list[File]]:
    """Files in groups of about `BATCH`; those of one hour are in one, since they supersede each other."""
    hours: dict[int, list[File]] = {}
    for file in files:
        hours.setdefault(file.name.start, []).append(file)
    batch: list[File] = []
    for hour in hours.values():
        batch += hour
        if len(batch) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
