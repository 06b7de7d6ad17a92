"""Proving a lake: that it is what its snapshot says, and that this is what the server has published."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import polars as pl

from shiftlog import chain, lake
from shiftlog.client import chained, convert
from shiftlog.client.answers import Manifest, ManifestPart
from shiftlog.client.checkpoint import KEPT, look, tells_its_reach
from shiftlog.client.http import Client
from shiftlog.client.writer import locked
from shiftlog.errors import Damaged, Invalid
from shiftlog.hours import iso
from shiftlog.lake import Kept, Snapshot


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that is not as it should be: the part that it is about (or none), and what it is."""

    name: str
    problem: str


@dataclass(slots=True)
class Comparison:
    """A lake against what its server has published: what is wrong, and what is worth knowing."""

    wrong: list[Wrong] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """What a lake holds, the first signing key that it was shown (its id), how far the chain reaches, and what is wrong."""

    account: str
    files: int
    sessions: int
    events: int
    bytes: int
    cursor: int | None
    watermark: int | None
    key: str | None
    head: int | None
    wrong: list[Wrong]
    remarks: list[str]


def verify(directory: Path, client: Client | None = None, *, now: int, on_file: Callable[[], None] = lambda: None) -> Report:
    """Prove a lake, by itself and, with a client, against the server; `now` is epoch ms.

    Raises:
        Missing: the directory is no lake.
        Invalid: the client's account is not the lake's.
        Later: a pull is at work in it.
    """
    snapshot = lake.read(directory)
    if client is not None and client.account != snapshot.account:
        raise Invalid(f"{directory} is the lake of account {snapshot.account}, and the profile is for {client.account}")
    with locked(directory, alone=False):
        snapshot = lake.read(directory)
        wrong = local(directory, snapshot, on_file)
    compared = Comparison() if client is None else _compared(client, snapshot, now)
    return Report(
        account=snapshot.account,
        files=len(snapshot.files),
        sessions=sum(kept.sessions for kept in snapshot.files),
        events=sum(kept.events for kept in snapshot.files),
        bytes=sum(kept.bytes for kept in snapshot.files),
        cursor=snapshot.cursor,
        watermark=snapshot.watermark,
        key=None if snapshot.chain is None else chain.key_id(snapshot.chain.pinned),
        head=None if snapshot.chain is None else snapshot.chain.head.sequence,
        wrong=wrong + [item for item in compared.wrong if not item.name or item.name not in {found.name for found in wrong}],
        remarks=compared.remarks,
    )


# ── by itself ──


def local(directory: Path, snapshot: Snapshot, on_file: Callable[[], None] = lambda: None) -> list[Wrong]:
    """What is wrong with a lake by itself: files, checksums, counts, sessions that are there twice, files that are too many."""
    wrong: list[Wrong] = []
    for _, hour in groupby(snapshot.files, key=lambda kept: kept.part.start):
        ids: list[tuple[Kept, set[str]]] = []
        for kept in hour:
            try:
                ids.append((kept, _checked(directory, kept)))
                _check_raw(directory, kept, snapshot.account)
            except Damaged as error:
                wrong.append(Wrong(kept.name, str(error)))
            on_file()
        wrong += _superseded(ids)
    wrong += [Wrong(*found) for found in chained.wrong(directory, snapshot)]
    wrong += [Wrong("", f"{path} is not a file of this lake; a plain glob counts it") for path in lake.strays(directory, snapshot)]
    return wrong


def _checked(directory: Path, kept: Kept) -> set[str]:
    """The sessions of a file that is as the snapshot says."""
    path = directory / kept.path
    _check_bytes(path, kept.bytes, kept.sha256)
    rows = convert.rows(path)
    found = (rows.height, rows["agentSessionId"].n_unique())
    if found != (kept.events, kept.sessions):
        raise Damaged(f"{path} holds {found[0]} events of {found[1]} sessions; the snapshot says {kept.events} of {kept.sessions}")
    if kept.sessions + kept.superseded != kept.source.sessions or (not kept.superseded and kept.events != kept.source.events):
        raise Damaged(f"{path} does not hold what {kept.name} had, less {kept.superseded} sessions that were superseded")
    return set(rows["agentSessionId"].unique())


def _check_raw(directory: Path, kept: Kept, account: str) -> None:
    """Where the published file is kept, the file of the lake holds what that has, and nothing else."""
    if kept.raw is None:
        return
    _check_bytes(directory / kept.raw, kept.source.bytes, kept.source.sha256)
    said = convert.published(kept.part, directory / kept.raw, account=account)
    found = convert.rows(directory / kept.path)
    if not said.filter(pl.col("agentSessionId").is_in(found["agentSessionId"].unique().implode())).equals(found):
        raise Damaged(f"{directory / kept.path} has other rows than {kept.raw}, of which it was made")


def _check_bytes(path: Path, size: int, checksum: str) -> None:
    if not path.is_file():
        raise Damaged(f"{path} is not there")
    found = convert.fingerprint(path)
    if found != (size, checksum):
        raise Damaged(f"{path} has {found[0]} bytes with SHA-256 {found[1]}; the snapshot says {size} with {checksum}")


def _superseded(ids: Iterable[tuple[Kept, set[str]]]) -> list[Wrong]:
    """Files of one hour that still have sessions which a higher revision has, or has withdrawn."""
    wrong: list[Wrong] = []
    taken: set[str] = set()
    ordered = sorted(ids, key=lambda item: -item[0].part.revision)
    for _, files in groupby(ordered, key=lambda item: item[0].part.revision):
        own: set[str] = set()
        for kept, mine in files:
            if mine & taken:
                wrong.append(Wrong(kept.name, f"{kept.path} has {len(mine & taken)} sessions that a revision has superseded"))
            own |= mine.union(kept.withdrawn)
        taken |= own
    return wrong


# ── against the server ──


def _compared(client: Client, snapshot: Snapshot, now: int) -> Comparison:
    if tells_its_reach(client, now):
        return against(snapshot, client.manifest())
    known = {kept.name for kept in snapshot.files}
    # Up to the checkpoint, and not further back than such a server keeps its files.
    start = max(snapshot.since or 0, now - KEPT)
    listed = look(client, start, now=snapshot.cursor, look_back=0).files if snapshot.cursor else {}
    return Comparison(
        [Wrong(name, f"{name} is listed by the server, and not in the lake") for name in listed if name not in known],
        ["the server has no manifest: what it lists was compared by name, and checksums with those of the files as they came"],
    )


def against(snapshot: Snapshot, manifest: Manifest) -> Comparison:
    """A lake against the manifest: every part up to the checkpoint is there, with the same bytes, checksum and counts."""
    found = Comparison()
    files = {kept.name: kept for kept in snapshot.files}
    deleted = erased = newer = 0
    for part in manifest.parts:
        kept = files.get(part.name)
        if kept is not None:
            found.wrong += _differing(kept, part)
        elif part.generated >= (snapshot.cursor or 0):
            newer += 1
        elif part.removed is not None and part.removed.reason == chain.ERASURE:
            erased += 1
        elif part.deleted is not None:
            deleted += 1
        elif part.generated >= (snapshot.since or 0):
            found.wrong.append(Wrong(part.name, f"{part.name} is missing: the hour {iso(part.scope_start)} is not whole"))
    unknown = files.keys() - {part.name for part in manifest.parts}
    found.wrong += [Wrong(name, f"{name} is in the lake, and the server has never published it") for name in sorted(unknown)]
    if newer:
        found.remarks.append(f"{newer} files have been published since the last pull")
    if erased:
        found.remarks.append(f"{erased} files were deleted to forget an agent")
    if deleted:
        found.remarks.append(f"{deleted} files were deleted on the server before this lake could have them")
    return found


def _differing(kept: Kept, part: ManifestPart) -> list[Wrong]:
    source = kept.source
    have = (source.bytes, source.sha256, source.sessions, source.withdrawals, source.events)
    said = (part.bytes, part.sha256, part.sessions, part.withdrawals, part.events)
    if have == said:
        return []
    return [
        Wrong(kept.name, f"{kept.name} was pulled with {have} (bytes, SHA-256, sessions, withdrawals, events); the manifest says {said}")
    ]
