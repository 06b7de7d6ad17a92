"""Questions to a source of sessions: events, sessions, intervals, metrics, quality; in Python, and for every face.

    import shiftlog
    centre = shiftlog.open("/srv/shiftlog", account="75555851")
    centre.metrics(every="1h", by="group", start="2026-03-01", end="2026-03-08").collect()

Larger sources are answered a share of the agents at a time, from a directory of their own: memory holds a share, not the
history.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial, reduce
from operator import add
from pathlib import Path
from typing import TypeAlias

import polars as pl

from shiftlog import intervals as _intervals
from shiftlog import metrics as _metrics
from shiftlog import quality as _quality
from shiftlog.errors import Invalid
from shiftlog.hours import iso, parse
from shiftlog.house import House
from shiftlog.sessions import BUCKET, bucket
from shiftlog.sources import ROWS, FilesSource, Group, HouseSource, Source

#: A time: epoch ms, ISO 8601 text (without an offset in the asked zone), or a datetime with a zone.
Time: TypeAlias = int | str | datetime

SHARE_EVENTS = 2_000_000  # events of one share, about
UNTIL = ("now", "watermark")


def open(source: str | Path | Sequence[str | Path], *, account: str | None = None) -> Archive:
    """What is in a data directory, or in published files (`.gz`).

    Raises:
        Missing: nothing is there, or not this account.
        Invalid: a source of another account, or of several where none is named.
        Unusable: a data directory that cannot be read.
    """
    if not isinstance(source, str | Path):
        return Archive(FilesSource([Path(file) for file in source], account))
    path = Path(source).expanduser()
    if path.is_dir():
        return Archive(HouseSource(*_house(path, account)))
    return Archive(FilesSource([path], account))


def _house(directory: Path, account: str | None) -> tuple[House, str]:
    from shiftlog.catalog import accounts

    house = House.open(directory)
    if account is None:
        with house.catalog.read() as conn:
            known = [found.account for found in accounts.every(conn)]
        if len(known) != 1:
            raise Invalid(f"{directory} holds {len(known)} accounts ({', '.join(known[:10])}); say which")
        account = known[0]
    return house, account


class Archive:
    """A source of sessions, and what can be asked of it.

    Times are given as `Time`; `start` and `end` bound a half-open window. `until="watermark"` leaves out what is not
    published, which gives what files alone give. All frames are lazy: `.collect()` makes a Polars frame of them, and that
    has `.to_pandas()` and `.to_arrow()`; DuckDB reads it by name.
    """

    def __init__(self, source: Source) -> None:
        self.source = source

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
        first, last = self._window(start, end, tz)
        groups = self.source.groups(first, last, self._now(until))
        rows = pl.concat([group.rows for group in groups] or [pl.LazyFrame(schema=ROWS)])
        inside = pl.lit(True)
        if first is not None:
            inside &= pl.col("timestamp") >= first
        if last is not None:
            inside &= pl.col("timestamp") < last
        return rows.filter(inside)

    def sessions(self, *, start: Time | None = None, end: Time | None = None, tz: str | None = None, until: str = "now") -> pl.LazyFrame:
        """One row a session that has events in the window: agentID, agentSessionId, sessionStartTime, sessionEndTime (null
        where no logout was seen), lastEvent (epoch ms), events (in the window), open, part."""
        return (
            self.events(start=start, end=end, tz=tz, until=until)
            .group_by("agentID", "agentSessionId")
            .agg(
                pl.col("sessionStartTime", "sessionEndTime").first(),
                pl.col("timestamp").max().alias("lastEvent"),
                pl.len().alias("events"),
                pl.col("open", "part").first(),
            )
            .sort("agentID", "sessionStartTime", "agentSessionId")
        )

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
        first, last = self._window(start, end, tz)
        now = self._now(until)
        with self._shares(first, last, now, agents) as shares:
            found = [_intervals.intervals(rows, start=first, end=last, now=now, timeout=self.source.timeout) for rows in shares]
        return pl.concat(found).sort("agent_id", "start", "agentSessionId", "eventIndex").lazy()

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

        Raises:
            Invalid: an unknown bucket, key or zone; a window that is empty or ends before it starts.
        """
        zone = self.source.zone if tz is None else tz
        first, last = self._window(start, end, tz)
        now, timeout = self._now(until), self.source.timeout
        with self._shares(first, last, now) as shares:
            first, last = _common_window(shares, every, first, last, zone, now, timeout)
            sums = [
                _metrics.measures(rows, every=every, by=by, start=first, end=last, tz=zone, now=now, timeout=timeout, schedule=plan)
                for rows, plan in zip(shares, _plans(schedule, len(shares)), strict=True)
            ]
        return _metrics.ratios(_metrics.added(sums)).lazy()

    def quality(
        self, *, start: Time | None = None, end: Time | None = None, tz: str | None = None, until: str = "now"
    ) -> tuple[pl.DataFrame, _quality.Summary]:
        """What is doubtful in the window: findings (columns `quality.FINDINGS`), and their counts and shares."""
        first, last = self._window(start, end, tz)
        now, timeout = self._now(until), self.source.timeout
        ask = partial(_quality.findings, start=first, end=last, now=now, timeout=timeout, grace=self.source.grace)
        count = partial(_quality.summary, start=first, end=last, now=now, timeout=timeout, grace=self.source.grace)
        with self._shares(first, last, now) as shares:
            both = [(ask(rows), count(rows)) for rows in shares]
        found = pl.concat(findings for findings, _ in both)
        return found.sort("timestamp", "agent_id", "agentSessionId", "eventIndex", "code"), reduce(add, (summary for _, summary in both))

    # ── what the questions are made of ──

    def _now(self, until: str) -> int | None:
        if until not in UNTIL:
            raise Invalid(f"until {until!r} is not known; allowed: {', '.join(UNTIL)}")
        return self.source.now() if until == "now" else None

    def _window(self, start: Time | None, end: Time | None, tz: str | None) -> tuple[int | None, int | None]:
        zone = self.source.zone if tz is None else tz
        first, last = _instant(start, zone), _instant(end, zone)
        if first is not None and last is not None and last <= first:
            raise Invalid(f"the window is empty: it ends at {iso(last, zone)}, and starts at {iso(first, zone)}")
        return first, last

    @contextmanager
    def _shares(self, start: int | None, end: int | None, now: int | None, agents: Sequence[int] | None = None) -> Iterator[_Shares]:
        groups = list(self.source.groups(start, end, now))
        if agents is not None:
            groups = [Group(group.rows.filter(pl.col("agentID").is_in(agents)), group.events) for group in groups]
        count = max(1, -(-sum(group.events for group in groups) // SHARE_EVENTS))
        with tempfile.TemporaryDirectory(prefix="shiftlog-") as scratch:
            yield _Shares(groups, count, Path(scratch))


class _Shares:
    """Flat frames of the agents' shares, each agent whole in one; more than one share lies in a directory, not in memory."""

    def __init__(self, groups: Sequence[Group], count: int, scratch: Path) -> None:
        self._whole = pl.concat([group.rows for group in groups] or [pl.LazyFrame(schema=ROWS)])
        self._directories = [scratch / str(share) for share in range(count)] if count > 1 else []
        for directory in self._directories:
            directory.mkdir()
        for number, group in enumerate(groups if self._directories else ()):
            dealt = (
                group.rows.with_columns((BUCKET % count).alias("share")).collect().partition_by("share", as_dict=True, include_key=False)
            )
            for (share,), rows in dealt.items():
                rows.write_parquet(self._directories[share] / f"{number}.parquet", compression="lz4")

    def __len__(self) -> int:
        return max(1, len(self._directories))

    def __iter__(self) -> Iterator[pl.DataFrame]:
        if not self._directories:
            yield self._whole.collect()
        for directory in self._directories:
            files = sorted(directory.iterdir())
            yield pl.read_parquet(files) if files else pl.DataFrame(schema=ROWS)


def _common_window(
    shares: _Shares, every: str, start: int | None, end: int | None, tz: str, now: int | None, timeout: int
) -> tuple[int | None, int | None]:
    """The window that all shares are given: where it is left open, the one that `metrics` takes from all data together."""
    if len(shares) == 1 or (start is not None and end is not None):
        return start, end
    found = [span for rows in shares if (span := _intervals.extent(rows, now=now, timeout=timeout)) is not None]
    if not found:
        return start, end
    first = min(low for low, _ in found) if start is None else start
    last = max(high for _, high in found) if end is None else end
    if last <= first:
        return start, end
    into = _intervals.buckets(every, first, last, tz)
    return (into.edges[0] if start is None else start), (into.edges[-1] if end is None else end)


def _plans(schedule: pl.DataFrame | None, shares: int) -> list[pl.DataFrame | None]:
    """The schedule's rows of the agents of each share."""
    if schedule is None or shares == 1:
        return [schedule] * shares
    share = pl.col("share")
    dealt = schedule.with_columns((bucket("agent_id") % shares).alias("share"))
    return [dealt.filter(share == number).drop("share") for number in range(shares)]


def _instant(time: Time | None, zone: str) -> int | None:
    if time is None or isinstance(time, int):
        return time
    if isinstance(time, str):
        return parse(time, zone)
    if time.tzinfo is None:
        raise Invalid(f"{time} has no time zone; give it one, or give ISO text, which is read in the asked zone")
    return round(time.timestamp() * 1000)
