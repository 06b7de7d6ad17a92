"""The lake's writer: what its one pull does to it. Every change is one replacement of the snapshot.

Before it, new files lie under names that no snapshot has; after it, files that it names no more are removed. A writer that dies
leaves files that the next one removes, and a lake that is what its snapshot says.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from shiftlog import lake
from shiftlog.client import convert
from shiftlog.client.answers import ManifestPart
from shiftlog.errors import Invalid, Later, Unusable
from shiftlog.lake import Chain, Kept, Snapshot
from shiftlog.names import PartName

_SYNCS = 8  # files that are made durable side by side
_LOCK, _PARTIAL = "lake.lock", ".partial"
_OURS = {_LOCK, _PARTIAL, lake.SNAPSHOT, f".{lake.SNAPSHOT}", lake.CHAIN}


# ── who may write ──


@contextmanager
def held(directory: Path, account: str) -> Iterator[Writer]:
    """The lake of a directory, made where there is none, for as long as the block runs; what a killed pull left is removed.

    Raises:
        Later: another pull is at work in it.
        Invalid: it is another account's, or the directory has other things in it.
        Unusable: of a newer layout, or it cannot be written.
    """
    with writable(directory):
        directory.mkdir(parents=True, exist_ok=True)
        with locked(directory):
            writer = Writer(directory, _snapshot(directory, account))
            writer.sweep()
            yield writer


@contextmanager
def writable(directory: Path) -> Iterator[None]:
    """Says what it means when the operating system refuses."""
    try:
        yield
    except OSError as error:
        raise Unusable(f"the lake {directory} cannot be written: {error.strerror or error}; the next pull goes on from here") from None


@contextmanager
def locked(directory: Path, *, alone: bool = True) -> Iterator[None]:
    """The lake's lock, which dies with its process: alone to write, with others to read what must not change meanwhile.

    Raises:
        Later: another process has it.
    """
    with (directory / _LOCK).open("a+b") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Later(f"another pull or verify is at work in {directory}{_holder(file)}; run this again when it is done") from None
        file.truncate(0)
        file.write(str(os.getpid()).encode())
        file.flush()
        yield


def _holder(file: IO[bytes]) -> str:
    file.seek(0)
    number = file.read(20).decode(errors="replace")
    return f" (process {number})" if number.isdigit() else ""


def _snapshot(directory: Path, account: str) -> Snapshot:
    if not lake.is_lake(directory):
        others = sorted(path.name for path in directory.iterdir() if path.name not in _OURS)
        if others:
            raise Invalid(f"{directory} is not a lake, and not empty (it has {', '.join(others[:3])}); pull into a directory of its own")
        lake.write(directory, Snapshot(account=account))
    snapshot = lake.read(directory)
    if snapshot.account != account:
        raise Invalid(f"{directory} is the lake of account {snapshot.account}, not of {account}; pull into a directory of its own")
    return snapshot


# ── writing ──


class Staged(NamedTuple):
    """A file that is ready to become part of the lake: what it will be, where its rows lie, and its published file."""

    kept: Kept
    parquet: Path
    gz: Path | None = None


class Writer:
    """A lake in the hands of its one pull."""

    def __init__(self, directory: Path, snapshot: Snapshot) -> None:
        self.directory, self.snapshot = directory, snapshot
        self.partial = directory / _PARTIAL
        self.files = {kept.name: kept for kept in snapshot.files}
        self._parts: dict[str, PartName] = {}
        self._hours: dict[int, set[str]] = {}
        self._note(snapshot.files)

    def sweep(self) -> None:
        """Remove what a killed pull has left, but for what it had downloaded."""
        self.partial.mkdir(exist_ok=True)
        for path in [*self.partial.glob("*.parquet"), *filter(lake.is_ours, lake.strays(self.directory, self.snapshot))]:
            path.unlink()

    def clear(self) -> None:
        """Remove what was downloaded and is not needed any more."""
        for path in self.partial.iterdir():
            path.unlink()

    def stage(self, name: PartName, gz: Path, proof: ManifestPart | None) -> Staged:
        """Prove and convert a published file; see `convert.convert`."""
        target = self.partial / f"{name}.parquet"
        return Staged(convert.convert(name, gz, target, account=self.snapshot.account, proof=proof), target, gz)

    def stage_parquet(self, name: PartName, parquet: Path, proof: ManifestPart) -> Staged:
        """Prove the `.parquet` of a part, and prepare it; see `convert.taken`."""
        target = self.partial / f"{name}.parquet"
        return Staged(convert.taken(name, parquet, target, account=self.snapshot.account, proof=proof), target)

    def add(self, new: Sequence[Staged], *, keep_raw: bool) -> int:
        """Make files part of the lake, all at once. Returns how many others were written again for them."""
        staged = {file.kept.name: self._with_raw(file, keep_raw) for file in new}
        self._note(file.kept for file in new)
        for hour in dict.fromkeys(file.kept.part.start for file in new):
            staged |= {file.kept.name: file for file in self._superseded(hour, staged)}
        self._place([move for file in staged.values() for move in self._moves(file)])
        replaced = [self.files[name] for name in staged if name in self.files]
        self.files |= {name: file.kept for name, file in staged.items()}
        self._commit(self.snapshot)
        self._remove(replaced, new)
        return len(staged) - len(new)

    def drop(self, names: Iterable[str]) -> int:
        """Delete files from the lake, all at once; how many there were."""
        gone = [self.files.pop(name) for name in names if name in self.files]
        if gone:
            self._commit(self.snapshot)
        for kept in gone:
            self._hours[kept.part.start].discard(kept.name)
            for path in (kept.path, kept.raw):
                if path is not None:
                    (self.directory / path).unlink(missing_ok=True)
        return len(gone)

    def keep_chain(self, chain: Chain, lines: bytes) -> None:
        """Append lines to those of the chain that count (`bytes`), and take note of how far it reaches now."""
        with (self.directory / lake.CHAIN).open("ab") as file:
            file.truncate(chain.bytes)  # after that is what a killed pull has written
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        lake.sync(self.directory)
        self.advance(chain=msgspec.structs.replace(chain, bytes=chain.bytes + len(lines)))

    def advance(self, **fields: Any) -> None:
        """Replace fields of the snapshot: the checkpoint."""
        self._commit(msgspec.structs.replace(self.snapshot, **fields))

    # ── the steps of it ──

    def _note(self, files: Iterable[Kept]) -> None:
        for kept in files:
            part = self._parts[kept.name] = kept.part
            self._hours.setdefault(part.start, set()).add(kept.name)

    def _with_raw(self, file: Staged, keep_raw: bool) -> Staged:
        before = self.files.get(file.kept.name)
        if keep_raw or (before is not None and before.raw):
            raw = lake.raw_path(self.snapshot.account, file.kept.part)
            return file._replace(kept=msgspec.structs.replace(file.kept, raw=raw))
        return file

    def _superseded(self, hour: int, staged: dict[str, Staged]) -> Iterator[Staged]:
        """The files of an hour that have sessions which a higher revision has too, without these."""
        mine = (staged.get(name) or self._standing(self.files[name]) for name in self._hours[hour])
        ordered = sorted(mine, key=lambda file: (-file.kept.part.revision, file.kept.part))
        if ordered[0].kept.part.revision == ordered[-1].kept.part.revision:
            return
        taken: set[str] = set()
        for _, files in groupby(ordered, key=lambda file: file.kept.part.revision):
            own: set[str] = set()
            for file in files:
                ids = set(convert.rows(file.parquet)["agentSessionId"].unique())
                own |= ids.union(file.kept.withdrawn)
                if ids & taken:
                    account = self.snapshot.account
                    yield Staged(*convert.without(file.kept, file.parquet, ids & taken, self.partial, account=account), file.gz)
            taken |= own

    def _standing(self, kept: Kept) -> Staged:
        return Staged(kept, self.directory / kept.path)

    def _moves(self, file: Staged) -> Iterator[tuple[Path, Path]]:
        """From where to where the next snapshot will say that a file is."""
        for source, place in ((file.parquet, file.kept.path), (file.gz, file.kept.raw)):
            if source is not None and place is not None:
                yield source, self.directory / place

    def _place(self, moves: Sequence[tuple[Path, Path]]) -> None:
        """Move files to their places, durably."""
        _sync([source for source, _ in moves])
        directories = {target.parent for _, target in moves}
        for directory in directories:
            directory.mkdir(parents=True, exist_ok=True)
        for source, target in moves:
            if source != target:
                source.replace(target)
        _sync([*directories, *{above for directory in directories for above in directory.parents if above.is_relative_to(self.directory)}])

    def _commit(self, snapshot: Snapshot) -> None:
        ordered = sorted(self.files, key=self._parts.__getitem__)
        self.snapshot = msgspec.structs.replace(snapshot, files=tuple(self.files[name] for name in ordered))
        lake.write(self.directory, self.snapshot)

    def _remove(self, replaced: Iterable[Kept], new: Iterable[Staged]) -> None:
        """Remove what the snapshot names no more, and what had been downloaded for it."""
        for kept in replaced:
            if self.files[kept.name].path != kept.path:
                (self.directory / kept.path).unlink(missing_ok=True)
        for file in new:
            for leftover in (file.gz, file.parquet):
                if leftover is not None and leftover.parent == self.partial:
                    leftover.unlink(missing_ok=True)


def _sync(paths: Sequence[Path]) -> None:
    """Make durable what these are, several at once: a disk that many wait for writes once for all of them."""
    with ThreadPoolExecutor(_SYNCS, "sync") as pool:
        list(pool.map(_sync_all, (paths[start::_SYNCS] for start in range(min(_SYNCS, len(paths))))))


def _sync_all(paths: Sequence[Path]) -> None:
    for path in paths:
        lake.sync(path)
