"""Where sessions are read from: a deployment's twins and what is pending beside them, a lake, or published files.

A source gives them in groups of bounded size: flat frames (`ROWS`) of whole sessions as they stand, each session in one
group. What a source cannot know is null.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

import polars as pl

from shiftlog import container, lake, pending
from shiftlog.catalog import accounts, batches, parts, publishing, schedules
from shiftlog.catalog.parts import Part
from shiftlog.errors import Damaged, Invalid, Later, Missing
from shiftlog.events import FLAT
from shiftlog.hours import DAY
from shiftlog.house import House
from shiftlog.lake import Kept
from shiftlog.metrics import SCHEDULE
from shiftlog.names import SUFFIXES, PartName
from shiftlog.pending import Live
from shiftlog.quality import GRACE
from shiftlog.store import Store, scan

#: Sessions as sources give them: the flat frame, what only shiftlog's own files keep, and whether the session is open.
ROWS: dict[str, pl.DataType] = {
    **FLAT,
    "eventId": pl.String(),
    "receivedAt": pl.Int64(),
    "repeats": pl.Int32(),
    "revision": pl.Int32(),
    "part": pl.String(),
    "open": pl.Boolean(),
}
GROUP_EVENTS = 500_000  # events read at a time, about
_KEPT_EVENTS = 500_000  # events of files that are kept in memory

_IDENTITY = ["scope", "agentSessionId"]
_SCOPE = pl.col("part").str.extract(r"^Agent\.(\d+)\.").cast(pl.Int64).alias("scope")


#: Whole sessions, not read yet: a flat frame of `ROWS`.
Rows: TypeAlias = Callable[[], pl.LazyFrame]


class Source(Protocol):
    """What can be asked of a place that holds sessions."""

    @property
    def label(self) -> str:
        """What it is called in captions and messages."""

    @property
    def account(self) -> str: ...

    @property
    def zone(self) -> str:
        """The time zone where none is asked for."""

    @property
    def timeout(self) -> int:
        """How long after its last event an open session ends (ms)."""

    @property
    def grace(self) -> int:
        """How long after its end an hour is published (ms)."""

    @property
    def watermark(self) -> int | None:
        """The end of the last complete hour (epoch ms), where the source knows it."""

    def now(self) -> int | None:
        """The clock by which open sessions are counted (epoch ms); None where there are none."""

    def pieces(self, start: int | None, end: int | None, now: int | None) -> Iterator[Rows]:
        """All sessions that may meet the window, among them those that are not published at `now`; without it, none of these.

        Each piece reads its sessions when it is called, and can be pickled, to be read where the same files can be reached.
        """

    def names(self, at: int | None) -> dict[tuple[str, int], str]:
        """What (kind, id) were called at an instant (epoch ms, None is now), as far as that was imported."""

    def schedule(self, start: int | None, end: int | None) -> pl.DataFrame | None:
        """What is planned in the window (columns `metrics.SCHEDULE`); None where nothing is."""


def groups(source: Source, start: int | None, end: int | None, now: int | None) -> Iterator[pl.LazyFrame]:
    """What the source's pieces hold, one after the other."""
    return (piece() for piece in source.pieces(start, end, now))


# ── a deployment ──


class HouseSource:
    """An account of a deployment: published sessions from their twins, and what is pending beside them."""

    def __init__(self, house: House, account: str, live: Callable[[str, int], Live] | None = None) -> None:
        """`live` gives the account's live view at an instant (epoch ms), where one is kept; else it is made anew each time."""
        with house.catalog.read() as conn:
            found = accounts.get(conn, account)
        self._live = live or partial(pending.live, house)
        self._house, self.account, self.zone = house, account, found.time_zone
        self.label = f"{account} at {house.directory}"
        self.timeout, self.grace = house.settings.session_timeout, house.settings.grace

    @property
    def watermark(self) -> int | None:
        with self._house.catalog.read() as conn:
            return publishing.state(conn, self.account).watermark

    def now(self) -> int:
        return self._house.catalog.now()

    def pieces(self, start: int | None, end: int | None, now: int | None) -> Iterator[Rows]:
        beside = None if now is None else self._live(self.account, now)
        with self._house.catalog.read() as conn:
            found = parts.overlapping(conn, self.account, 0 if start is None else start, 2**62 if end is None else end)
        # What was pending a moment ago may have been published since; it counts from here, and once.
        elsewhere = [] if beside is None else sorted({*beside.replaced, *beside.sessions["agentSessionId"]})
        there = [part for part in found if part.twin_gone is None]
        for some in _by_scope(there):
            revised = any(part.revision for part in some)
            yield partial(_of_twins, self._house.store, [part.twin_key for part in some], revised, elsewhere)
        if beside is not None and beside.sessions.height:
            yield partial(_of_frame, beside.sessions)

    def size(self, start: int | None, end: int | None, *, live: bool) -> int:
        """How many events `groups` has to read, about."""
        with self._house.catalog.read() as conn:
            found = parts.overlapping(conn, self.account, 0 if start is None else start, 2**62 if end is None else end)
            state = publishing.state(conn, self.account)
            new = batches.after(conn, self.account, state.consumed) if live else []
        return sum(part.events for part in found) + live * (state.carry_events + sum(batch.rows for batch in new))

    def names(self, at: int | None) -> dict[tuple[str, int], str]:
        with self._house.catalog.read() as conn:
            return accounts.names(conn, self.account, self.now() if at is None else at)

    def schedule(self, start: int | None, end: int | None) -> pl.DataFrame | None:
        with self._house.catalog.read() as conn:
            rows = schedules.planned(conn, self.account, start, end)
        return pl.DataFrame(rows, schema=SCHEDULE, orient="row") if rows else None


def _of_twins(store: Store, keys: Sequence[str], revised: bool, elsewhere: Sequence[str]) -> pl.LazyFrame:
    """The sessions of twins as they stand, without those of these ids."""
    rows = _standing(scan(store, keys).with_columns(_SCOPE), revised)
    return _shaped(rows.filter(~pl.col("agentSessionId").is_in(elsewhere)) if elsewhere else rows)


def _of_frame(rows: pl.DataFrame) -> pl.LazyFrame:
    return _shaped(rows.lazy())


def _by_scope(found: Sequence[Part]) -> Iterator[list[Part]]:
    """The parts in groups of about `GROUP_EVENTS`; all parts of a scope are in one, since revisions supersede each other there."""
    scopes = groupby(sorted(found, key=lambda part: (part.scope_start, part.seq)), key=lambda part: part.scope_start)
    return _in_groups([*scope] for _, scope in scopes)


class _Counted(Protocol):
    @property
    def events(self) -> int: ...


_C = TypeVar("_C", bound=_Counted)


def _in_groups(pieces: Iterable[Sequence[_C]]) -> Iterator[list[_C]]:
    """What has events in groups of about `GROUP_EVENTS`; a piece is not split."""
    group: list[_C] = []
    for piece in pieces:
        group += piece
        if sum(part.events for part in group) >= GROUP_EVENTS:
            yield group
            group = []
    if group:
        yield group


def _standing(rows: pl.LazyFrame, revised: bool) -> pl.LazyFrame:
    """The rows of sessions as they stand: of the highest revision, and not withdrawn."""
    latest = rows.filter(pl.col("revision") == pl.col("revision").max().over(_IDENTITY)) if revised else rows
    return latest.filter(pl.col("eventIndex").is_not_null())


def _shaped(rows: pl.LazyFrame) -> pl.LazyFrame:
    there = rows.collect_schema().names()
    defaults = {"open": pl.lit(False)}
    missing = [defaults.get(name, pl.lit(None, dtype)).alias(name) for name, dtype in ROWS.items() if name not in there]
    return rows.with_columns(missing).select(ROWS.keys())


# ── a lake ──


class LakeSource:
    """A lake that a pull keeps: published sessions, each once as it stands."""

    def __init__(self, directory: Path, account: str | None, *, label: str | None = None) -> None:
        found = lake.read(directory)
        if account not in (None, found.account):
            raise Invalid(f"the lake {directory} is of account {found.account}, not {account}")
        self.directory, self.account, self.zone = directory, found.account, "UTC"
        self.timeout, self.grace = DAY, GRACE
        self.label = label or f"lake {directory}"

    @property
    def watermark(self) -> int | None:
        return lake.read(self.directory).watermark

    def now(self) -> None:
        return None

    def pieces(self, start: int | None, end: int | None, now: int | None) -> Iterator[Rows]:
        there = [file for file in lake.read(self.directory).files if _meets(file, start, end)]
        for some in _in_groups([file] for file in sorted(there, key=lambda file: file.part)):
            yield partial(_of_lake, self.directory.absolute(), some)

    def names(self, at: int | None) -> dict[tuple[str, int], str]:
        return {}

    def schedule(self, start: int | None, end: int | None) -> None:
        return None


def _of_lake(directory: Path, files: Sequence[Kept]) -> pl.LazyFrame:
    try:
        return _shaped(lake.scan(directory, files).collect().lazy())
    except FileNotFoundError:
        raise Later(f"a pull has changed the lake {directory} meanwhile; ask again") from None


def _meets(file: Kept, start: int | None, end: int | None) -> bool:
    """Whether a file of the lake has events in the window, or on both sides of it."""
    if file.min_timestamp is None or file.max_timestamp is None:
        return False
    return (start is None or file.max_timestamp >= start) and (end is None or file.min_timestamp <= end)


# ── published files ──


class FilesSource:
    """Published files, ours or the original service's; what is superseded among them is left out by their names."""

    watermark = None

    def __init__(self, files: Sequence[Path], account: str | None) -> None:
        for file in files:
            if file.is_dir():
                raise Invalid(f"{file} is a directory; files are expected, and data directories and lakes are named as such")
            if not file.is_file():
                raise Missing(f"there is no file {file}")
        self._files, self._kept = files, dict[Path, pl.DataFrame]()
        self.account, self.zone = account or self._account_within(), "UTC"
        self.timeout, self.grace = DAY, GRACE
        self.label = files[0].name if len(files) == 1 else f"{len(files)} files"

    def __reduce__(self) -> tuple[type[FilesSource], tuple[Sequence[Path], str]]:
        """The files are named, and read again where they are needed."""
        return FilesSource, ([file.absolute() for file in self._files], self.account)

    def now(self) -> None:
        return None

    def pieces(self, start: int | None, end: int | None, now: int | None) -> Iterator[Rows]:
        named = sorted(((_part_name(file), file) for file in self._files), key=lambda pair: (pair[0] is None, pair[0], pair[1]))
        for _, scope in groupby(named, key=lambda pair: None if pair[0] is None else pair[0].start):
            yield partial(self._scope, list(scope))

    def _scope(self, files: Sequence[tuple[PartName | None, Path]]) -> pl.LazyFrame:
        """The sessions of the files of one scope."""
        rows = pl.concat([self._rows(name, file) for name, file in files], how="vertical")
        return _shaped(_standing(rows.lazy(), revised=True))

    def names(self, at: int | None) -> dict[tuple[str, int], str]:
        return {}

    def schedule(self, start: int | None, end: int | None) -> None:
        return None

    def _rows(self, name: PartName | None, file: Path) -> pl.DataFrame:
        rows = self._read(file)
        others = set(rows["accountId"].drop_nulls().unique()) - {self.account}
        if others:
            raise Invalid(f"{file} is of account {', '.join(sorted(others))}, not {self.account}")
        revision, scope = (0, None) if name is None else (name.revision, name.start)
        stated = {"revision": pl.lit(revision, pl.Int32), "scope": pl.lit(scope, pl.Int64), "part": pl.lit(name and str(name), pl.String)}
        return rows.select(FLAT.keys()).with_columns(**stated)

    def _read(self, file: Path) -> pl.DataFrame:
        """The sessions of a file. Those of the first files are kept: a source is asked more than once."""
        if file in self._kept:
            return self._kept[file]
        try:
            rows = container.read(file)
        except (Damaged, OSError) as error:
            # Of the files that someone names, any may be the wrong one.
            raise Invalid(f"{file} cannot be read as a published file: {error}") from None
        if rows.height + sum(kept.height for kept in self._kept.values()) <= _KEPT_EVENTS:
            self._kept[file] = rows
        return rows

    def _account_within(self) -> str:
        for file in self._files:
            found = self._read(file)["accountId"].drop_nulls()
            if len(found):
                return str(found[0])
        raise Invalid("the files hold no session; name their account with --account")


def _part_name(file: Path) -> PartName | None:
    """The part that a file is by its name, if it has a part's name."""
    stem = file.name
    for suffix in SUFFIXES:
        stem = stem.removesuffix(f".{suffix}")
    try:
        return PartName.parse(stem)
    except Invalid:
        return None
