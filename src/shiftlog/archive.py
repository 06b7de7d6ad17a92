"""Questions to a source of sessions: events, sessions, intervals, metrics, quality; in Python, and for every face.

    import shiftlog
    centre = shiftlog.open("/srv/shiftlog", account="75555851")
    centre.metrics(every="1h", by="group", start="2026-03-01", end="2026-03-08").collect()

Larger sources are answered a share of the agents at a time, from a directory of their own: memory holds a share, not the
history. What has a row an agent comes share by share too, as batches.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial, reduce
from operator import add
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

import polars as pl

from shiftlog import intervals as _intervals
from shiftlog import lake as _lake
from shiftlog import metrics as _metrics
from shiftlog import quality as _quality
from shiftlog.catalog import accounts
from shiftlog.engine import Engine
from shiftlog.engine.local import LOCAL
from shiftlog.errors import Invalid, Later, ShiftlogError, TooLarge
from shiftlog.hours import iso, parse
from shiftlog.house import House
from shiftlog.shares import Shares
from shiftlog.sources import ROWS, FilesSource, HouseSource, LakeSource, Rows, Source
from shiftlog.sources import groups as _groups

#: A time: epoch ms, ISO 8601 text (without an offset in the asked zone), or a datetime with a zone.
Time: TypeAlias = int | str | datetime
#: A window in epoch ms, half-open; None is no bound.
Window: TypeAlias = tuple[int | None, int | None]

SHARE_EVENTS = 1_000_000  # events of one share, about
UNTIL = ("now", "watermark")


def open(source: str | Path | Sequence[str | Path], *, account: str | None = None) -> Archive:
    """What is in a data directory, in a lake, in published files (`.gz`), or what a server publishes (its URL).

    A server's files are pulled into a temporary lake, with the key that the environment has (`SHIFTLOG_BEARER`, or the four
    of OAuth; see `client.profile`). For more than a glance keep a lake: `shiftlog pull`.

    Raises:
        Missing: nothing is there, or not this account.
        Invalid: a source of another account, or of several where none is named; a file that is none of ours.
        Unusable: a data directory that cannot be read.
        Denied, Later: the server refuses the key, or files did not come.
    """
    if not isinstance(source, str | Path):
        return files([Path(file).expanduser() for file in source], account=account)
    if str(source).startswith(("http://", "https://")):
        return server(str(source), account=account)
    path = Path(source).expanduser()
    if _lake.is_lake(path):
        return lake(path, account=account)
    return deployment(path, account=account) if path.is_dir() else files([path], account=account)


def files(paths: Sequence[Path], *, account: str | None = None) -> Archive:
    """What is in published files; the errors are those of `open`."""
    return Archive(FilesSource(paths, account))


def lake(directory: Path, *, account: str | None = None) -> Archive:
    """What is in a lake; the errors are those of `open`."""
    return Archive(LakeSource(directory, account))


def deployment(directory: Path | None, *, account: str | None = None) -> Archive:
    """What is in a data directory, or where the environment says; the errors are those of `open`."""
    house = House.open(directory)
    try:
        return Archive(HouseSource(house, _only_account(house) if account is None else account), house.close)
    except ShiftlogError:
        house.close()
        raise


def server(url: str, *, account: str | None = None) -> Archive:
    """What a server publishes; the errors are those of `open`."""
    # The client lies above this module, and is asked for by a URL alone.
    from shiftlog.client.http import Client
    from shiftlog.client.profile import Profile
    from shiftlog.client.pull import Options, pull

    directory = tempfile.TemporaryDirectory(prefix="shiftlog-lake-")
    meant = {"SHIFTLOG_URL": url} if account is None else {"SHIFTLOG_URL": url, "SHIFTLOG_ACCOUNT": account}
    try:
        with Client(Profile.load(environment={**os.environ, **meant})) as client:
            failed = pull(client, Path(directory.name), Options(), now=time.time_ns() // 1_000_000).failed
        if failed:
            name, reason = next(iter(failed.items()))
            raise Later(f"{len(failed)} files of {url} did not come, the first of them {name} ({reason}); ask again")
        return Archive(LakeSource(Path(directory.name), account, label=url), directory.cleanup)
    except ShiftlogError:
        directory.cleanup()
        raise


def _only_account(house: House) -> str:
    with house.catalog.read() as conn:
        known = [found.account for found in accounts.every(conn)]
    if len(known) != 1:
        raise Invalid(f"{house.directory} holds {len(known)} accounts ({', '.join(known[:10])}); say which")
    return known[0]


class Archive:
    """A source of sessions, and what can be asked of it.

    Times are given as `Time`; `start` and `end` bound a half-open window. `until="watermark"` leaves out what is not
    published, which gives what files alone give. All frames are lazy: `.collect()` makes a Polars frame of them, and that
    has `.to_pandas()` and `.to_arrow()`; DuckDB reads it by name.

    An archive may be used in a `with` statement, which closes what `open` opened.
    """

    def __init__(self, source: Source, close: Callable[[], object] = lambda: None, engine: Engine = LOCAL) -> None:
        self.source, self.close, self.engine = source, close, engine

    def on(self, engine: Engine) -> Archive:
        """The same, whose numbers are computed by another engine. What is closed, is closed for both."""
        return Archive(self.source, self.close, engine)

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def account(self) -> str:
        return self.source.account

    @property
    def watermark(self) -> int | None:
        """The end of the last complete hour (epoch ms); None where it is not known."""
        return self.source.watermark

    def events(self, *, start: Time | None = None, end: Time | None = None, tz: str | None = None, until: str = "now") -> pl.LazyFrame:
        """Events of the window with their sessions, columns `sources.ROWS`: the wire's 14 fields, `agentSessionId`,
        `sessionStartTime`, `sessionEndTime` (epoch ms), `eventIndex`, and `eventId`, `receivedAt`, `repeats`, `revision`,
        `part` where the source has them, and `open`."""
        return pl.concat(self.event_batches(start=start, end=end, tz=tz, until=until))

    def event_batches(
        self, *, start: Time | None = None, end: Time | None = None, tz: str | None = None, until: str = "now"
    ) -> Iterator[pl.LazyFrame]:
        """`events` in groups of bounded size, at least one, in no order; each session is whole in one."""
        first, last = self.window(start, end, tz)
        inside = pl.lit(True)
        if first is not None:
            inside &= pl.col("timestamp") >= first
        if last is not None:
            inside &= pl.col("timestamp") < last
        yield pl.LazyFrame(schema=ROWS)
        for rows in _groups(self.source, first, last, self.now(until)):
            yield rows.filter(inside)

    def sessions(self, *, start: Time | None = None, end: Time | None = None, tz: str | None = None, until: str = "now") -> pl.LazyFrame:
        """One row a session that has events in the window: agentID, agentSessionId, sessionStartTime, sessionEndTime (null
        where no logout was seen), lastEvent (epoch ms), events (in the window), open, part."""
        batches = self.event_batches(start=start, end=end, tz=tz, until=until)
        return pl.concat(sessions_of(rows) for rows in batches).sort("agentID", "sessionStartTime", "agentSessionId")

    def intervals(
        self,
        *,
        start: Time | None = None,
        end: Time | None = None,
        tz: str | None = None,
        until: str = "now",
        agents: Sequence[int] | None = None,
    ) -> pl.LazyFrame:
        """Stretches of time in which an agent's state and concurrency did not change, columns `intervals.INTERVALS`."""
        return pl.concat(self.interval_batches(start=start, end=end, tz=tz, until=until, agents=agents)).lazy()

    def interval_batches(
        self,
        *,
        start: Time | None = None,
        end: Time | None = None,
        tz: str | None = None,
        until: str = "now",
        agents: Sequence[int] | None = None,
    ) -> Iterator[pl.DataFrame]:
        """`intervals` share by share, at least one; in order of agent and time throughout."""
        first, last = self.window(start, end, tz)
        now = self.now(until)
        with self.shares(first, last, now, agents, _intervals.reads(*_intervals.KEPT)) as shares:
            for rows in shares:
                yield _intervals.intervals(rows, start=first, end=last, now=now, timeout=self.source.timeout)

    def metrics(
        self,
        *,
        every: str = "all",
        by: str = "agent",
        start: Time | None = None,
        end: Time | None = None,
        tz: str | None = None,
        until: str = "now",
        schedule: pl.DataFrame | None = None,
    ) -> pl.LazyFrame:
        """Measures and ratios (docs/metrics.md) by bucket and agent, group, profile or account; columns as `metrics.metrics`.

        `schedule` (columns `metrics.SCHEDULE`) stands in for what was imported into the deployment, if anything was.

        Raises:
            Invalid: an unknown bucket, key or zone; a window that is empty or ends before it starts.
        """
        batches = self.metric_batches(every=every, by=by, start=start, end=end, tz=tz, until=until, schedule=schedule)
        return pl.concat(batches).lazy()

    def metric_batches(
        self,
        *,
        every: str = "all",
        by: str = "agent",
        start: Time | None = None,
        end: Time | None = None,
        tz: str | None = None,
        until: str = "now",
        schedule: pl.DataFrame | None = None,
        most: int | None = None,
    ) -> Iterator[pl.DataFrame]:
        """`metrics` share by share, at least one, in order; rows that are not by agent come as one.

        Raises:
            TooLarge: agents times buckets are more than `most`; nothing was computed.
        """
        zone = self.zone(tz)
        first, last = self.window(start, end, tz)
        now, timeout = self.now(until), self.source.timeout
        plan = self.source.schedule(first, last) if schedule is None else schedule
        if self.engine.distant and plan is None and most is None:
            yield _metrics.ratios(self._measured_elsewhere(every, by, (first, last), zone, now))
            return
        with self.shares(first, last, now, columns=_metrics.reads(by)) as shares:
            if len(shares) > 1 or most is not None:
                first, last = _common_window(shares, every, (first, last), zone, now, timeout)
            if most is not None:
                _check_size(shares.agents, every, (first, last), zone, most)
            sums = (
                _metrics.measures(
                    rows,
                    every=every,
                    by=by,
                    start=first,
                    end=last,
                    tz=zone,
                    now=now,
                    timeout=timeout,
                    schedule=None if plan is None else plan.filter(share.holds("agent_id")),
                )
                for share, rows in shares.items()
            )
            yield from map(_metrics.ratios, sums if by == "agent" else [_metrics.added(sums)])

    def _measured_elsewhere(self, every: str, by: str, window: Window, zone: str, now: int | None) -> pl.DataFrame:
        """`metrics.measures`, of each piece of the source where the engine has room for it: what sessions add to the sums adds up.

        A schedule needs all sessions of an agent together, and is not known here.
        """
        timeout = self.source.timeout
        nothing = partial(_metrics.measures, pl.DataFrame(schema=ROWS), every=every, by=by, start=window[0], end=window[1], tz=zone)
        if window[0] is None or window[1] is None:
            spans = self.engine.run(partial(_extent, now=now, timeout=timeout), self.source.pieces(*window, now))
            window = _joint_window(spans, every, window, zone)
        start, end = window
        if start is None or end is None:
            return nothing()
        into = _intervals.buckets(every, start, end, zone)
        ask = partial(_sums, into=into, by=by, now=now, timeout=timeout)
        found = list(self.engine.run(ask, self.source.pieces(start, end, now)))
        return _metrics.total(found, into=into, by=by) if found else nothing()

    def quality(
        self, *, start: Time | None = None, end: Time | None = None, tz: str | None = None, until: str = "now"
    ) -> tuple[pl.DataFrame, _quality.Summary]:
        """What is doubtful in the window: findings (columns `quality.FINDINGS`), and their counts and shares."""
        first, last = self.window(start, end, tz)
        now, timeout = self.now(until), self.source.timeout
        ask = partial(_quality.findings, start=first, end=last, now=now, timeout=timeout, grace=self.source.grace)
        count = partial(_quality.summary, start=first, end=last, now=now, timeout=timeout, grace=self.source.grace)
        with self.shares(first, last, now) as shares:
            both = [(ask(rows), count(rows)) for rows in shares]
        found = pl.concat(findings for findings, _ in both)
        return found.sort("timestamp", "agent_id", "agentSessionId", "eventIndex", "code"), reduce(add, (summary for _, summary in both))

    def names(
        self, *, start: Time | None = None, end: Time | None = None, tz: str | None = None, until: str = "now"
    ) -> dict[tuple[str, int], str]:
        """What (kind, id) are called, kind being agent, group or profile: as it was imported for the window's end, and where
        an agent's name was not, the last nickname (user or login name) in its sessions."""
        first, last = self.window(start, end, tz)
        found: dict[int, tuple[int, str]] = {}
        for rows in _groups(self.source, first, last, self.now(until)):
            for agent, at, nickname in nicknames(rows).rows():
                found[agent] = max((at, nickname), found.get(agent, (at, nickname)))
        return {("agent", agent): nickname for agent, (_, nickname) in found.items()} | self.source.names(last)

    def extent(self, *, start: Time | None = None, end: Time | None = None, tz: str | None = None, until: str = "now") -> Window:
        """The window; where it is left open, as far as the data goes; None where there is no data."""
        first, last = self.window(start, end, tz)
        now = self.now(until)
        if first is not None and last is not None:
            return first, last
        with self.shares(first, last, now, columns=_intervals.reads()) as shares:
            return _common_window(shares, "all", (first, last), self.zone(tz), now, self.source.timeout)

    # ── what the questions are made of ──

    def zone(self, tz: str | None) -> str:
        """The zone that is asked for, whose default is the source's.

        Raises:
            Invalid: no such zone.
        """
        return _intervals.check_zone(self.source.zone if tz is None else tz).key

    def window(self, start: Time | None, end: Time | None, tz: str | None) -> Window:
        """The window in epoch ms.

        Raises:
            Invalid: a text that is no time, an unknown zone, or an empty window.
        """
        zone = self.zone(tz)
        first, last = _instant(start, zone), _instant(end, zone)
        if first is not None and last is not None and last <= first:
            raise Invalid(f"the window is empty: it ends at {iso(last, zone)}, and starts at {iso(first, zone)}")
        return first, last

    def now(self, until: str) -> int | None:
        """The instant by which open sessions are counted (epoch ms); None where they are left out."""
        if until not in UNTIL:
            raise Invalid(f"until {until!r} is not known; allowed: {', '.join(UNTIL)}")
        return self.source.now() if until == "now" else None

    @contextmanager
    def shares(
        self,
        start: int | None,
        end: int | None,
        now: int | None,
        agents: Sequence[int] | None = None,
        columns: Sequence[str] = tuple(ROWS),
    ) -> Iterator[Shares]:
        """Whole sessions that may meet a `window`, as they stand `now`, in shares of the agents; until the block ends.

        The rows have these of `sources.ROWS`, `agentID` among them; others are not even read where the source can leave them out.
        """
        groups = _groups(self.source, start, end, now)
        wanted = groups if agents is None else (rows.filter(pl.col("agentID").is_in(agents)) for rows in groups)
        schema = {name: ROWS[name] for name in columns}
        with tempfile.TemporaryDirectory(prefix="shiftlog-") as scratch:
            yield Shares((rows.select(columns) for rows in wanted), schema, Path(scratch), most=SHARE_EVENTS)


def sessions_of(rows: pl.LazyFrame) -> pl.LazyFrame:
    """One row a session, as `Archive.sessions` has it; whole sessions, columns `sources.ROWS`."""
    return rows.group_by("agentID", "agentSessionId").agg(
        pl.col("sessionStartTime", "sessionEndTime").first(),
        pl.col("timestamp").max().alias("lastEvent"),
        pl.len().alias("events"),
        pl.col("open", "part").first(),
    )


def nicknames(rows: pl.LazyFrame) -> pl.DataFrame:
    """What the agents of whole sessions (columns `sources.ROWS`) call themselves last: agentID, timestamp, name."""
    given = pl.coalesce(pl.col("agentNickname", "agentUsername", "agentLoginname").replace("", None)).alias("name")
    called = rows.select("agentID", "timestamp", given).drop_nulls()
    return called.group_by("agentID").agg(pl.col("timestamp").max(), pl.col("name").sort_by("timestamp", "name").last()).collect()


def _common_window(shares: Shares, every: str, window: Window, tz: str, now: int | None, timeout: int) -> Window:
    """The window that all shares are given: where it is left open, the one that `metrics` takes from all data together."""
    if window[0] is not None and window[1] is not None:
        return window
    return _joint_window((_intervals.extent(rows, now=now, timeout=timeout) for rows in shares), every, window, tz)


def _joint_window(spans: Iterable[tuple[int, int] | None], every: str, window: Window, tz: str) -> Window:
    """The same, from the shortest window that holds each share."""
    start, end = window
    found = [span for span in spans if span is not None]
    first = min((low for low, _ in found), default=None) if start is None else start
    last = max((high for _, high in found), default=None) if end is None else end
    if first is None or last is None or last <= first:
        return window
    into = _intervals.buckets(every, first, last, tz)
    return (into.edges[0] if start is None else start), (into.edges[-1] if end is None else end)


def _extent(piece: Rows, *, now: int | None, timeout: int) -> tuple[int, int] | None:
    return _intervals.extent(piece().select(_intervals.reads()), now=now, timeout=timeout)


def _sums(piece: Rows, *, into: _intervals.Buckets, by: str, now: int | None, timeout: int) -> pl.DataFrame:
    return _metrics.part_sums(piece().select(_metrics.reads(by)), into=into, by=by, now=now, timeout=timeout)


def _check_size(agents: int, every: str, window: Window, tz: str, most: int) -> None:
    start, end = window
    if start is None or end is None:
        return
    buckets = len(_intervals.buckets(every, start, end, tz).edges) - 1
    if agents * buckets > most:
        raise TooLarge(
            f"{agents} agents times {buckets} buckets are {agents * buckets}; at most {most} are answered at a time: "
            "ask for a shorter window or longer buckets"
        )


def _instant(time: Time | None, zone: str) -> int | None:
    if time is None or isinstance(time, int):
        return time
    if isinstance(time, str):
        return parse(time, zone)
    if time.tzinfo is None:
        raise Invalid(f"{time} has no time zone; give it one, or give ISO text, which is read in the asked zone")
    return round(time.timestamp() * 1000)
