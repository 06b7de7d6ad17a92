"""Intervals: stretches of time in which an agent's state and concurrency did not change, and the buckets they fall in.

The rule is section 1 of docs/metrics.md. Sessions come as a flat frame (columns `events.FLAT`, rows in any order).
Withdrawn sessions, and rows without a timestamp, are passed over. Columns that not every source has may be missing:
`open` (then every session is closed), `eventId`, `part` and what else only shiftlog's own files keep (null).

Open sessions need to know what time it is. With `now` they end at min(now, last event + `timeout`), and nothing of them
lies after; without it they are left out, which gives what files alone give.

Instants are epoch milliseconds, lengths milliseconds; every range is half-open.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo

import polars as pl

from shiftlog.errors import Invalid, TooLarge
from shiftlog.events import AgentState, EventType
from shiftlog.hours import DAY, HOUR, MINUTE, zone
from shiftlog.ordering import NEW_SESSION, in_order

Frame: TypeAlias = pl.DataFrame | pl.LazyFrame

#: One row an interval. `state` is the event's code (−1 where it has none), `concurrency` is never negative, `maximum` is
#: null where it is not known, `open` says that the end was not observed; group and profiles are those of the event
#: that opens the interval, and so are `eventIndex`, `eventId` and `part`, by which the event is found again.
INTERVALS: dict[str, pl.DataType] = {
    "agent_id": pl.Int64(),
    "agentSessionId": pl.String(),
    "eventIndex": pl.Int32(),
    "start": pl.Int64(),
    "end": pl.Int64(),
    "state": pl.Int64(),
    "concurrency": pl.Int64(),
    "maximum": pl.Int64(),
    "open": pl.Boolean(),
    "group_id": pl.Int64(),
    "profile_ids": pl.List(pl.Int64()),
    "eventId": pl.String(),
    "part": pl.String(),
}
#: What else intervals have of the events that open them.
KEPT = ("group_id", "profile_ids", "eventId", "part")
#: What an event counts, in the bucket of its timestamp.
COUNTS = ("logins", "logouts", "status_changes", "chats_started", "chats_inherited")

_WIDTHS = {"5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE, "1h": HOUR, "1d": DAY}
#: The buckets there are.
EVERY = (*_WIDTHS, "all")
MOST_BUCKETS = 1_000_000
_CALENDAR = range(-62_000_000_000_000, 253_000_000_000_000)  # years 5 to 9987: what datetime can hold, with room at both ends

_SOURCES = {
    "agent_id": "agentID",
    "start": "timestamp",
    "concurrency": "concurrentEng",
    "maximum": "maxConcurrentEng",
    "group_id": "agentGroupID",
    "profile_ids": "userProfileIDs",
}
_NEEDED = ("agentSessionId", "eventIndex", "agent_id", "start", "type", "state", "concurrency", "maximum", "open")
#: Columns that not every source has, and the values that stand for them.
OPTIONAL: dict[str, pl.Expr] = {
    "open": pl.lit(False),
    "eventId": pl.lit(None, pl.String),
    "receivedAt": pl.lit(None, pl.Int64),
    "repeats": pl.lit(None, pl.Int32),
    "revision": pl.lit(None, pl.Int32),
    "part": pl.lit(None, pl.String),
}

START, END, OPEN = pl.col("start"), pl.col("end"), pl.col("open")
FIRST = (pl.col("session") != pl.col("session").shift()).fill_null(True)
LAST = (pl.col("session") != pl.col("session").shift(-1)).fill_null(True)
# A session's first row is given 0 where its maximum is unknown, so that filling forward never reaches into the session before.
KNOWN_MAXIMUM = pl.when(pl.col("maximum") > 0).then("maximum").when("first").then(0).forward_fill()
MORE_CHATS = pl.col("concurrency") - pl.when("first").then(0).otherwise(pl.col("concurrency").shift())


def intervals(flat: Frame, *, start: int | None = None, end: int | None = None, now: int | None = None, timeout: int = DAY) -> pl.DataFrame:
    """The intervals of all sessions, clipped to the window [start, end) where it is given, in order of agent and time.

    The columns are those of `INTERVALS`. Intervals without length are not among them.
    """
    opened = steps(flat, now=now, timeout=timeout, keep=KEPT).filter(END.gt(START))
    clipped = clip(opened.select(INTERVALS.keys()), start, end)
    return clipped.sort("agent_id", "start", "agentSessionId", "eventIndex")


def clip(frame: pl.DataFrame, start: int | None, end: int | None) -> pl.DataFrame:
    """What of the rows' [start, end) lies in the window [start, end); None is no bound. Rows outside are dropped."""
    if start is not None:
        frame = frame.filter(END.gt(start)).with_columns(START.clip(lower_bound=start))
    if end is not None:
        frame = frame.filter(START.lt(end)).with_columns(END.clip(upper_bound=end))
    return frame


def extent(flat: Frame, *, now: int | None = None, timeout: int = DAY) -> tuple[int, int] | None:
    """The shortest window that holds every interval and every event; None where there is no event."""
    return span(selected(flat, now=now), now=now, timeout=timeout)


def span(rows: pl.DataFrame, *, now: int | None, timeout: int) -> tuple[int, int] | None:
    """The shortest window that holds all of `selected` rows. It ends after the last event, since an event at its end is not in it."""
    first, last, opened = rows.select(START.min(), START.max().alias("last"), START.filter(OPEN).max().alias("opened")).row(0)
    if first is None:
        return None
    # The last of the open sessions' events opens the interval that ends last.
    return first, last + 1 if now is None or opened is None else max(last + 1, min(opened + timeout, now))


# ── events with the intervals they open ──


def reads(*keep: str) -> list[str]:
    """The columns of a flat frame that `steps` looks at; of those in `OPTIONAL`, any may be missing."""
    return [_SOURCES.get(name, name) for name in dict.fromkeys((*_NEEDED, *keep))]


def steps(flat: Frame, *, now: int | None = None, timeout: int = DAY, keep: Sequence[str] = ()) -> pl.DataFrame:
    """One row an event: the interval [start, end) that it opens, of length 0 where it opens none, and what it counts.

    The columns are `session` (a number), agent_id, agentSessionId, eventIndex, type, start, end, state, concurrency,
    maximum, open, `first` and `last` (of its session), `COUNTS`, and those of `keep`, named as in `INTERVALS` or `FLAT`.
    """
    return opened(in_order(selected(flat, now=now, keep=keep)), now=now, timeout=timeout)


def selected(flat: Frame, *, now: int | None, keep: Sequence[str] = ()) -> pl.DataFrame:
    """The events that count, with the columns of `steps` that they have themselves."""
    lazy = flat.lazy()
    there = lazy.collect_schema().names()
    columns = [
        OPTIONAL[name].alias(name) if name in OPTIONAL and name not in there else pl.col(_SOURCES.get(name, name)).alias(name)
        for name in dict.fromkeys((*_NEEDED, *keep))
    ]
    events = lazy.filter(pl.col("eventIndex").is_not_null() & pl.col("timestamp").is_not_null()).select(columns)
    known = OPEN.fill_null(False)
    return (events.filter(~known) if now is None else events.with_columns(known)).collect()


def opened(rows: pl.DataFrame, *, now: int | None, timeout: int) -> pl.DataFrame:
    """The `steps` of `selected` rows that are in order."""
    numbered = rows.with_columns(NEW_SESSION.cum_sum().alias("session")).with_columns(FIRST.alias("first"), LAST.alias("last"))
    cleaned = numbered.with_columns(
        pl.col("state").fill_null(AgentState.UNKNOWN),
        pl.col("concurrency").fill_null(0).clip(lower_bound=0),
        KNOWN_MAXIMUM.replace(0, None).alias("maximum"),
    )
    return cleaned.with_columns(*_ends(now, timeout), *_counts())


def _ends(now: int | None, timeout: int) -> tuple[pl.Expr, pl.Expr]:
    """Each interval's `end`, and whether it is `open`."""
    following, last = START.shift(-1), pl.col("last")
    closed_end = pl.when(last).then(START).otherwise(following)
    if now is None:
        return closed_end.alias("end"), OPEN
    open_end = pl.min_horizontal(pl.when(last).then(START + timeout).otherwise(following), pl.lit(now))
    # An event ahead of `now` opens nothing yet.
    end = pl.when(OPEN).then(pl.max_horizontal(open_end, START)).otherwise(closed_end)
    return end.alias("end"), OPEN & (last | (following > now))


def _counts() -> list[pl.Expr]:
    kind, state, first = pl.col("type"), pl.col("state"), pl.col("first")
    counted = (
        kind == EventType.LOGIN,
        kind == EventType.LOGOUT,
        # The first event has no state before it.
        ~first & (state != state.shift()),
        MORE_CHATS.clip(lower_bound=0),
        pl.when(first).then("concurrency").otherwise(0),
    )
    return [count.cast(pl.Int64).fill_null(0).alias(name) for name, count in zip(COUNTS, counted, strict=True)]


# ── buckets ──


@dataclass(frozen=True, slots=True)
class Buckets:
    """Stretches [edges[i], edges[i + 1]) that cover the window [start, end); the outer two may reach beyond it.

    `edges` ascend, in epoch ms; `width` is their distance in ms where that is the same for all, else None.
    """

    start: int
    end: int
    tz: str
    edges: pl.Series
    width: int | None

    def at(self, instants: pl.Series) -> pl.Series:
        """The numbers of the buckets in which instants of the window lie."""
        if self.width is not None:
            since: pl.Series = instants - self.edges[0]
            return since // self.width
        return self.edges.search_sorted(instants, side="right").cast(pl.Int64) - 1

    def opening(self, numbers: pl.Series) -> pl.Series:
        """Where the buckets of these numbers begin, clipped to the window."""
        return self.edges.gather(numbers).clip(lower_bound=self.start)

    def closing(self, numbers: pl.Series) -> pl.Series:
        """Where the buckets of these numbers end, clipped to the window."""
        return self.edges.gather(numbers + 1).clip(upper_bound=self.end)


def buckets(every: str, start: int, end: int, tz: str = "UTC") -> Buckets:
    """The buckets of a window, which begin at whole 5, 15, 30 or 60 minutes or days of the zone `tz`, or the window itself.

    A day begins at the first instant of its date. A change of the zone's offset begins a bucket, so an hour that the
    clocks show twice is two.

    Raises:
        Invalid: an unknown bucket or zone, or a window that is empty or beyond the calendar.
        TooLarge: more than `MOST_BUCKETS`.
    """
    check_every(every)
    known = check_zone(tz)
    if end <= start:
        raise Invalid(
            f"the window begins at {start} and ends at {end} (epoch ms), so nothing lies in it; its end must come after its start"
        )
    if start not in _CALENDAR or end not in _CALENDAR:
        raise Invalid(f"the window from {start} to {end} (epoch ms) reaches beyond the calendar; the years 5 to 9987 are allowed")
    if every == "all":
        return Buckets(start, end, tz, pl.Series([start, end], dtype=pl.Int64), end - start)
    if (end - start) // _WIDTHS[every] > MOST_BUCKETS:
        raise TooLarge(f"the window from {start} to {end} (epoch ms) has more than {MOST_BUCKETS} buckets of {every}; ask for less")
    edges = _trimmed(_edges(every, start, end, known), start, end)
    widths = edges.diff().drop_nulls().unique()
    return Buckets(start, end, tz, edges, widths[0] if len(widths) == 1 else None)


def check_every(every: str) -> str:
    """The bucket's name itself, if it is one.

    Raises:
        Invalid: no such bucket.
    """
    if every not in EVERY:
        raise Invalid(f"bucket {every!r} is not known; allowed: {', '.join(EVERY)}")
    return every


def split(frame: pl.DataFrame, into: Buckets) -> pl.DataFrame:
    """Rows with `start` and `end`, clipped to the window and split at its buckets' edges.

    Adds `bucket`, its number, and `begun`: whether the piece begins where its row did. A row of length 0 is one piece.
    """
    inside = frame.filter(START.lt(into.end) & (START.ge(into.start) | END.gt(into.start)))
    clipped = inside.with_columns(START.clip(lower_bound=into.start), END.clip(upper_bound=into.end), START.ge(into.start).alias("begun"))
    last_instant = clipped.select(pl.max_horizontal(END - 1, START)).to_series()
    numbered = clipped.with_columns(into.at(clipped["start"]).alias("bucket"), into.at(last_instant).alias("_last"))
    whole = pl.col("bucket") == pl.col("_last")
    # Few rows reach over an edge; only those go the slow way.
    reaching = numbered.filter(~whole).with_columns(pl.int_ranges("bucket", pl.col("_last") + 1)).explode("bucket")
    opening, closing = into.opening(reaching["bucket"]), into.closing(reaching["bucket"])
    pieces = reaching.with_columns(
        pl.max_horizontal(START, opening).alias("start"),
        pl.min_horizontal(END, closing).alias("end"),
        pl.col("begun") & START.ge(opening),
    )
    return pl.concat([numbered.filter(whole), pieces]).drop("_last")


def check_zone(tz: str) -> ZoneInfo:
    """The time zone of this name, if Polars knows it too.

    Raises:
        Invalid: there is none.
    """
    known = zone(tz)
    try:
        pl.Series([0], dtype=pl.Int64).cast(pl.Datetime("ms")).dt.replace_time_zone(tz)
    except pl.exceptions.ComputeError:
        # This machine's files may name zones (localtime, posixrules) that the IANA database does not.
        raise Invalid(f"time zone {tz!r} is not known; an IANA name is expected, such as Europe/Berlin or UTC") from None
    return known


def _trimmed(edges: pl.Series, start: int, end: int) -> pl.Series:
    """Of the edges, those from the last at or before `start` to the first at or after `end`."""
    first = int(edges.search_sorted(start, side="right")) - 1
    return edges[first : int(edges.search_sorted(end, side="left")) + 1]


def _edges(every: str, start: int, end: int, tz: ZoneInfo) -> pl.Series:
    """More edges than the window needs, by three days on either side: the very first of them is none."""
    stretches = _offsets(start - 3 * DAY, end + 3 * DAY, tz)
    if every == "1d":
        return pl.Series(list(_day_edges(stretches)), dtype=pl.Int64)
    return pl.concat([_even_edges(_WIDTHS[every], *stretch) for stretch in stretches])


def _even_edges(width: int, begin: int, end: int, offset: int) -> pl.Series:
    """A stretch's beginning, and all of its whole `width`s of local time after that."""
    rest = pl.int_range(begin + width - (begin + offset) % width, end, width, eager=True, dtype=pl.Int64)
    return pl.concat([pl.Series([begin], dtype=pl.Int64), rest.alias("")])


def _day_edges(stretches: list[tuple[int, int, int]]) -> Iterator[int]:
    """The first instant of each date. Where clocks go back over midnight, the date that comes twice has begun already."""
    reached = stretches[0][0] // DAY - 2
    for begin, end, offset in stretches:
        first, last = (begin + offset) // DAY, (end - 1 + offset) // DAY
        yield from (max(begin, date * DAY - offset) for date in range(max(first, reached + 1), last + 1))
        reached = max(reached, last)


def _offsets(start: int, end: int, tz: ZoneInfo) -> list[tuple[int, int, int]]:
    """The stretches (begin, end, UTC offset in ms) of one offset each that cover [start, end)."""
    stretches, begin, offset = [], start, _offset(start, tz)
    for probe in range(start + DAY, end, DAY):
        if _offset(probe, tz) != offset:
            change = _change(probe - DAY, probe, tz)
            stretches.append((begin, change, offset))
            begin, offset = change, _offset(change, tz)
    return [*stretches, (begin, end, offset)]


def _change(start: int, end: int, tz: ZoneInfo) -> int:
    """The first instant up to `end` whose offset is not that of `start`; there is one."""
    old, instants = _offset(start, tz), range(start, end + 1)
    return instants[bisect_left(instants, True, key=lambda instant: _offset(instant, tz) != old)]


def _offset(instant: int, tz: ZoneInfo) -> int:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=instant)
    return (moment.astimezone(tz).utcoffset() or timedelta()) // timedelta(milliseconds=1)
