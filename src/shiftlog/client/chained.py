"""The chain over the parts, as a client keeps and checks it (PROTOCOL: The chain).

The first public key that a lake is shown is pinned, and its successors are trusted; what a server shows later has to go on from what it
has shown before. What the lake keeps of the chain is enough to prove its files without the server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from shiftlog import chain, hours, lake
from shiftlog.client.answers import Manifest, ManifestPart
from shiftlog.errors import Damaged
from shiftlog.lake import Chain, Head, Kept, Snapshot


@dataclass(frozen=True, slots=True)
class Shown:
    """What a lake was shown of a chain, row by row: the parts by sequence number."""

    chain: Chain | None
    parts: Mapping[int, ManifestPart]

    def link(self, sequence: int) -> str:
        """Raises:
        Damaged: there is none of this number.
        """
        if sequence not in self.parts:
            raise Damaged(f"{lake.CHAIN} has no part {sequence}; with shiftlog pull --repair the server shows the chain again")
        return self.parts[sequence].link or ""

    @property
    def names(self) -> set[str]:
        return {part.name for part in self.parts.values()}

    def erased(self, before: int) -> list[str]:
        """The parts whose files were deleted before an instant (epoch ms) so that an agent is forgotten."""
        return [
            part.name
            for part in self.parts.values()
            if part.removed is not None and part.removed.reason == chain.ERASURE and (part.deleted or 0) < before
        ]


def read(directory: Path, snapshot: Snapshot) -> Shown:
    """What a lake has kept of the chain.

    Raises:
        Damaged: the file is not what the checkpoint says.
    """
    if snapshot.chain is None:
        return Shown(None, {})
    path = directory / lake.CHAIN
    try:
        with path.open("rb") as file:
            text = file.read(snapshot.chain.bytes)
    except FileNotFoundError:
        raise Damaged(f"{path} is not there; with shiftlog pull --repair the server shows the chain again") from None
    try:
        parts = msgspec.json.decode(b"[" + b",".join(text.splitlines()) + b"]", type=list[ManifestPart])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Damaged(f"{path} is not a chain ({error}); with shiftlog pull --repair the server shows it again") from None
    return Shown(snapshot.chain, {part.sequence: part for part in parts})


def extended(account: str, shown: Shown, manifest: Manifest, after: int) -> tuple[Chain, list[ManifestPart]]:
    """What was shown, and what a manifest of the parts after a sequence number adds to it or tells anew of it (`bytes` is left as it was).

    Raises:
        Damaged: it does not go on from what was shown, or is no chain by itself.
    """
    before = shown.chain
    if manifest.head is None or (before is not None and manifest.head.sequence < before.head.sequence):
        reached = "nowhere" if manifest.head is None else f"to part {manifest.head.sequence}"
        known = 0 if before is None else before.head.sequence
        raise Damaged(
            f"the server's history of {account} reaches {reached}; it reached to part {known} when this lake was last pulled: {_REFUSED}"
        )
    keys = chain.trusted(account, manifest.keys, None if before is None else before.pinned)
    previous = chain.START if after == 0 else shown.link(after)
    follow(account, keys, manifest.parts, manifest.head, after=after, previous=previous)
    for part in manifest.parts:
        known_part = shown.parts.get(part.sequence)
        if known_part is not None and known_part.link != part.link:
            check(account, shown)  # it may have been the lake's own file
            raise Damaged(
                f"{part.name}, part {part.sequence} of {account}, is another than this lake was shown as {known_part.name}: {_REFUSED}"
            )
    pinned = manifest.keys[0].public if before is None else before.pinned
    changed = [part for part in manifest.parts if part != shown.parts.get(part.sequence)]
    return Chain(pinned, manifest.keys, manifest.head, 0 if before is None else before.bytes, manifest.erased), changed


_REFUSED = "the server has changed its past, and nothing was taken; ask its operator"


def follow(
    account: str, keys: Mapping[str, str], parts: Iterable[ManifestPart], head: Head, *, after: int = 0, previous: str = chain.START
) -> None:
    """Return if parts are links that follow each other from the one before them to the head, and everything signed is signed.

    Raises:
        Damaged: the first part that is not.
    """
    sequence = after
    for part in parts:
        if part.sequence != sequence + 1:
            raise Damaged(f"part {sequence + 1} of {account} is missing in the chain, before {part.name}")
        sequence, previous = part.sequence, chain.link(account, previous, _facts(part))
        if part.link != previous:
            raise Damaged(
                f"{part.name}, part {part.sequence} of {account}, does not follow in the chain: it, or one before it, was changed"
            )
        _check_removal(account, keys, part)
    if sequence == head.sequence and previous != head.link:
        raise Damaged(f"the signed head of {account} has another last link than its part {sequence}: the past of one of them was changed")
    if sequence != head.sequence:
        raise Damaged(f"the chain of {account} ends at part {sequence}, the signed head is that of part {head.sequence}")
    chain.check(keys, head.key, chain.head(account, head.sequence, head.link), head.signature, f"the head of {account}'s chain")


def _facts(part: ManifestPart) -> chain.Facts:
    return chain.Facts(*(getattr(part, name) for name in chain.Facts._fields))


def _check_removal(account: str, keys: Mapping[str, str], part: ManifestPart) -> None:
    if part.removed is None or part.deleted is None or part.link is None:
        return  # what nobody has signed excuses no lake that lacks the part: see `wrong`
    what = f"the deletion of {part.name}"
    statement = chain.removal(account, part.sequence, part.link, part.removed.reason, part.deleted)
    chain.check(keys, part.removed.key, statement, part.removed.signature, what)


# ── proving a lake ──


def check(account: str, shown: Shown) -> None:
    """Return if what a lake has kept is a chain, signed with keys that follow the pinned one.

    Raises:
        Damaged: it is not.
    """
    if shown.chain is not None:
        keys = chain.trusted(account, shown.chain.keys, shown.chain.pinned)
        follow(account, keys, [part for _, part in sorted(shown.parts.items())], shown.chain.head)


def wrong(directory: Path, snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """What of a lake is not as the chain says that it keeps, offline: names of parts (or none) and what is wrong with them."""
    if snapshot.chain is None:
        return
    try:
        shown = read(directory, snapshot)
        check(snapshot.account, shown)
    except Damaged as error:
        yield "", str(error)
        return
    parts = {part.name: part for part in shown.parts.values()}
    files = {kept.name: kept for kept in snapshot.files}
    for name in sorted(files.keys() - parts.keys()):
        yield name, f"{name} was added: it is not in the chain that the server has signed"
    for name in sorted(files.keys() & parts.keys()):
        if (difference := _differing(files[name], parts[name])) is not None:
            yield name, difference
    for part in shown.parts.values():
        due = part.removed is None and (snapshot.since or 0) <= part.generated < (snapshot.cursor or 0)
        if due and part.name not in files:
            hour = hours.iso(part.scope_start)
            yield part.name, f"{part.name} was removed: the signed chain has it, and the lake has not; the hour {hour} is not whole"


def _differing(kept: Kept, part: ManifestPart) -> str | None:
    source = kept.source
    have = (source.bytes, source.sha256, source.sessions, source.withdrawals, source.events)
    said = (part.bytes, part.sha256, part.sessions, part.withdrawals, part.events)
    if have == said:
        return None
    return f"{kept.name} was changed: the lake says {have} (bytes, SHA-256, sessions, withdrawals, events), the signed chain {said}"
