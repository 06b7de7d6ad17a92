"""Charts: numbers as pictures, one definition for the web, the command line and the notebook.

    chart("staffing", sessions, account="75555851", tz="Europe/Berlin")  →  an Altair chart
    save(…, "staffing.png")                                              →  a picture

`chart` asks `intervals` and `metrics` what a chart of `CHARTS` needs of sessions; the functions of the charts' names are
pure, from frames to charts. Definitions are those of docs/metrics.md: a chart shows sums, clipped to its window, and
ratios of sums; a point of a curve is the average of its bucket.

    series    frames of intervals and metrics → the rows that are drawn
    drawing   rows → an Altair chart
    pictures  an Altair chart → PNG, SVG, HTML, JSON

Altair and vl-convert are the extra `charts`; without it everything that draws raises `Unusable`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import polars as pl

from shiftlog import intervals as _intervals
from shiftlog import metrics as _metrics
from shiftlog import series
from shiftlog.errors import Invalid
from shiftlog.hours import DAY, HOUR
from shiftlog.intervals import END, START, Frame, check_every, clip, extent
from shiftlog.pictures import FORMATS, render, save, to_spec
from shiftlog.series import STATES, About, Names, labels, ordered, some, stretches, time_at_levels, typical_week

if TYPE_CHECKING:
    from shiftlog.drawing import Chart, Sheet

__all__ = [
    "BY",
    "CHARTS",
    "FORMATS",
    "STATES",
    "About",
    "Kind",
    "chart",
    "check_name",
    "concurrency",
    "labels",
    "occupancy",
    "render",
    "save",
    "staffing",
    "states",
    "stretches",
    "time_at_levels",
    "timeline",
    "to_spec",
    "typical_week",
]

#: Sessions, or shares of them by turns with every agent whole in one; gone through more than once.
Shares: TypeAlias = Frame | Iterable[Frame]

#: What the rows of an occupancy map may be.
BY = ("agent", "weekday")

_STRIPS, _STRIPS_INTERVALS, _STRIPS_MS = 20, 8_000, 7 * DAY  # up to these, a timeline shows the chats in hand too
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_STAFFING = {"staffed": "login_ms", "online": "online_ms", "chatting": "chatting_ms", "at maximum": "online_at_max_ms"}
_CONCURRENCY = {"chats in hand": "chat_ms", "capacity": "online_capacity_ms"}
# Buckets of a curve by the longest window, unless asked otherwise: several hundred fill it; a day may have 25 hours.
_CURVE = {DAY + HOUR: "5m", 3 * DAY + HOUR: "15m", 8 * DAY: "30m", 32 * DAY: "1h"}
LOGGED_IN = pl.col("login_ms") > 0


# ── the charts: frames in, a chart out ──


def timeline(
    intervals: pl.DataFrame, about: About, *, names: Names | None = None, schedule: pl.DataFrame | None = None, theme: str = "light"
) -> Chart:
    """Each agent's states over time, in the order of their beginnings; with a schedule, the planned states beside the actual.

    Up to 20 agents and a week have a strip each, with the chats in hand as a step line, and the capacity. More have a
    thin row each; where there are too many stretches, a row shows the state held longest in each bucket, and says so.
    `intervals` has the columns `intervals.INTERVALS`, or is `stretches` of them; `schedule` has `metrics.SCHEDULE`.

    Raises:
        Invalid: nothing in the window.
        TooLarge: more than 1 000 agents.
    """
    from shiftlog import drawing

    shown = clip(intervals, about.start, about.end)
    kinds = {"actual": stretches(shown)}
    if schedule is not None:
        plan = clip(schedule.filter(END.gt(START)), about.start, about.end)
        kinds["planned"] = stretches(plan.with_columns(pl.lit(None, pl.String).alias("agentSessionId")))
    label = labels(ordered(pl.concat(kinds.values()), START.min(), about), names)
    if has_room(shown, about) and len(label) <= _STRIPS:
        sheet = _sheet("Agents' time and chats in hand", about, theme)
        return drawing.strips(sheet, series.bands(kinds, label, about), series.steps(shown, label), [*label.values()])
    fitting, note = series.fitting(kinds, about)
    return drawing.rows_of_time(_sheet("Agents' time", about, theme, note), series.bands(fitting, label, about), [*label.values()])


def states(metrics: pl.DataFrame, about: About, *, names: Names | None = None, theme: str = "light") -> Chart:
    """The time that each agent spent in each state, stacked; the agents with the most login time come first.

    `metrics` is `metrics.measures` or `metrics.metrics` by agent, in any buckets, which are added up.

    Raises:
        Invalid: no login time.
        TooLarge: more than 1 000 agents.
    """
    from shiftlog import drawing

    sums = metrics.group_by("agent_id").agg(pl.col("login_ms", *series.MEASURES).sum()).filter(LOGGED_IN)
    label = labels(ordered(sums, -pl.col("login_ms").sum(), about), names)
    return drawing.stacks(_sheet("Time in state", about, theme), series.in_states(sums, label), [*label.values()])


def occupancy(metrics: pl.DataFrame, about: About, *, by: str = "agent", names: Names | None = None, theme: str = "light") -> Chart:
    """Occupancy (online_chatting / online) by hour of the day: of each agent, the busiest first, or of each weekday.

    A cell is the ratio of the sums of all its hours in the window, and empty where nobody was online. `metrics` is
    `metrics.measures` or `metrics.metrics` by agent (for weekdays, any key but profile) in buckets of an hour or less,
    or the `typical_week` of them.

    Raises:
        Invalid: an unknown `by`, wider buckets, or no time online.
        TooLarge: more than 1 000 agents.
    """
    from shiftlog import drawing

    check_by(by)
    week = typical_week(metrics.with_columns(pl.col("bucket_start").dt.convert_time_zone(about.tz)))
    some(week, about, "online")
    if by == "agent":
        busiest = -(pl.col("online_chatting_ms").sum() / pl.col("online_ms").sum())
        label = labels(ordered(week, busiest, about), names)
        key, keys = series.called(label), [*label.values()]
    else:
        key, keys = series.WEEKDAY.replace_strict(dict(enumerate(_WEEKDAYS, 1)), return_dtype=pl.String), [*_WEEKDAYS]
    cells = week.group_by(key.alias("key"), series.HOUR_OF_DAY.alias("hour")).agg(pl.col("online_chatting_ms", "online_ms").sum())
    rows = cells.sort("key", "hour").with_columns(series.OCCUPANCY.alias("share"), series.hours("online_ms"))
    return drawing.heat(_sheet(f"Occupancy by {by} and hour of the day", about, theme), rows, keys, "occupancy (chatting / online)")


def concurrency(metrics: pl.DataFrame, levels: pl.DataFrame, about: About, *, theme: str = "light") -> Chart:
    """Chats in hand, and the capacity of the agents online, over time; beside it, how long agents had how many chats in hand.

    The bars add up to the login time, and times their level to the area under the curve of the chats. `metrics` is
    `metrics.measures` or `metrics.metrics` by account, group or agent, which are added up; `levels` is `time_at_levels`.

    Raises:
        Invalid: no login time.
    """
    from shiftlog import drawing

    some(levels, about)
    rows, note = series.curves(metrics, _CONCURRENCY, about)
    return drawing.lines_and_levels(_sheet("Chats in hand", about, theme, note), rows, [*_CONCURRENCY], series.bars(levels))


def staffing(metrics: pl.DataFrame, about: About, *, theme: str = "light") -> Chart:
    """How many agents were logged in (staffed), online, chatting in any state, and online at their maximum, over time.

    `metrics` is `metrics.measures` or `metrics.metrics` by account, group or agent, which are added up.

    Raises:
        Invalid: no login time.
    """
    from shiftlog import drawing

    some(metrics.filter(LOGGED_IN), about)
    rows, note = series.curves(metrics, _STAFFING, about)
    return drawing.lines(_sheet("Staffing", about, theme, note), rows, [*_STAFFING], "agents")


def check_by(by: str) -> str:
    """The kind of rows itself, if an occupancy map has it.

    Raises:
        Invalid: it has not.
    """
    if by not in BY:
        raise Invalid(f"an occupancy map by {by!r} is not known; allowed: {', '.join(BY)}")
    return by


def has_room(intervals: pl.DataFrame, about: About) -> bool:
    """Whether a timeline of these intervals has room for the chats in hand."""
    few = intervals["agent_id"].n_unique() <= _STRIPS and intervals.height <= _STRIPS_INTERVALS
    return few and about.length <= _STRIPS_MS and "concurrency" in intervals.columns


def _sheet(title: str, about: About, theme: str, note: str = "") -> Sheet:
    from shiftlog.drawing import Sheet

    source = f"source: {about.source}" if about.source else ""
    lines = [str(about), " · ".join(filter(None, (source, note)))]
    return Sheet(title, [line for line in lines if line], about.start, about.end, about.tz, theme)


# ── from sessions ──


@dataclass(frozen=True, slots=True)
class Question:
    """What a chart is asked to show, and of what: flat frames of sessions, which are looked at one by one."""

    shares: Shares
    about: About
    now: int | None
    timeout: int
    every: str | None
    by: str | None
    names: Names | None
    schedule: pl.DataFrame | None
    theme: str

    def intervals(self) -> Iterator[pl.DataFrame]:
        """The window's intervals of each share."""
        start, end = self.about.start, self.about.end
        return (_intervals.intervals(rows, start=start, end=end, now=self.now, timeout=self.timeout) for rows in _each(self.shares))

    def measures(self, every: str, by: str) -> Iterator[pl.DataFrame]:
        """The window's measures of each share."""
        start, end, tz = self.about.start, self.about.end, self.about.tz
        for rows in _each(self.shares):
            yield _metrics.measures(rows, every=every, by=by, start=start, end=end, tz=tz, now=self.now, timeout=self.timeout)

    def bucket(self) -> str:
        """The bucket of a curve: the asked one, else one of which the window has several hundred."""
        return self.every or next((every for longest, every in _CURVE.items() if self.about.length <= longest), "1d")

    def called(self) -> Names:
        """The agents' names: those that were given, else the nicknames (user or login names) of their last events."""
        if self.names is not None:
            return self.names
        return {agent: name for rows in _each(self.shares) for agent, name in _names(rows).iter_rows()}


def _timeline(asked: Question) -> Chart:
    shown = pl.concat([_reduced(rows, asked.about) for rows in asked.intervals()], how="diagonal")
    return timeline(shown, asked.about, names=asked.called(), schedule=asked.schedule, theme=asked.theme)


def _states(asked: Question) -> Chart:
    return states(pl.concat(asked.measures("all", "agent")), asked.about, names=asked.called(), theme=asked.theme)


def _occupancy(asked: Question) -> Chart:
    by = check_by(asked.by or "agent")
    weeks = pl.concat([typical_week(rows) for rows in asked.measures("1h", "agent" if by == "agent" else "account")])
    return occupancy(weeks, asked.about, by=by, names=asked.called() if by == "agent" else None, theme=asked.theme)


def _concurrency(asked: Question) -> Chart:
    levels = pl.concat([time_at_levels(rows) for rows in asked.intervals()])
    return concurrency(pl.concat(asked.measures(asked.bucket(), "account")), levels, asked.about, theme=asked.theme)


def _staffing(asked: Question) -> Chart:
    return staffing(pl.concat(asked.measures(asked.bucket(), "account")), asked.about, theme=asked.theme)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of chart: what it shows, which of `every`, `by`, `names` and `schedule` it takes, and how it is made."""

    text: str
    options: tuple[str, ...]
    draw: Callable[[Question], Chart]


#: The charts there are.
CHARTS: dict[str, Kind] = {
    "timeline": Kind(
        "each agent's states over time, with chats in hand and capacity; planned beside actual", ("names", "schedule"), _timeline
    ),
    "states": Kind("the time of each agent in each state, stacked", ("names",), _states),
    "occupancy": Kind("occupancy by agent or weekday and hour of the day", ("by", "names"), _occupancy),
    "concurrency": Kind("chats in hand and capacity over time, and the time at each level", ("every",), _concurrency),
    "staffing": Kind("agents staffed, online, chatting and at their maximum over time", ("every",), _staffing),
}


def chart(
    name: str,
    sessions: Shares,
    *,
    account: str,
    start: int | None = None,
    end: int | None = None,
    tz: str = "UTC",
    source: str = "",
    now: int | None = None,
    timeout: int = DAY,
    every: str | None = None,
    by: str | None = None,
    names: Names | None = None,
    schedule: pl.DataFrame | None = None,
    theme: str = "light",
) -> Chart:
    """A chart of `CHARTS` of sessions: a flat frame (columns `events.FLAT`), or shares of the agents by turns.

    The window [start, end) is in epoch ms; what is left out of it is taken from the data. Open sessions count with `now`
    (epoch ms). `every` is the bucket of a curve (else several hundred fill the window), `by` is one of `BY`, `schedule` has the
    columns `metrics.SCHEDULE`. Names that are not given are taken from the events.

    Raises:
        Invalid: no such chart, zone, bucket or theme; an option that this chart does not have; nothing to draw.
        TooLarge: more agents or points than a chart has room for.
        Unusable: the extra `charts` is not installed.
    """
    kind = check_name(name)
    for option, value in {"every": every, "by": by, "schedule": schedule}.items():
        if value is not None and option not in kind.options:
            raise Invalid(f"chart {name} does not take {option!r}; leave it out")
    if every is not None:
        check_every(every)
    about = About(account, *_window(sessions, account, start, end, now, timeout), tz, source)
    return kind.draw(Question(sessions, about, now, timeout, every, by, names, schedule, theme))


def check_name(name: str) -> Kind:
    """The chart of this name.

    Raises:
        Invalid: there is none.
    """
    if name not in CHARTS:
        raise Invalid(f"chart {name!r} is not known; allowed: {', '.join(CHARTS)}")
    return CHARTS[name]


def _each(shares: Shares) -> Iterable[Frame]:
    return [shares] if isinstance(shares, pl.DataFrame | pl.LazyFrame) else shares


def _window(shares: Shares, account: str, start: int | None, end: int | None, now: int | None, timeout: int) -> tuple[int, int]:
    """The window, with what was left out taken from the data."""
    if start is not None and end is not None:
        return start, end
    found = [span for rows in _each(shares) if (span := extent(rows, now=now, timeout=timeout)) is not None]
    if not found:
        raise Invalid(f"there is nothing to draw: the source has no events of account {account}")
    return min(low for low, _ in found) if start is None else start, max(high for _, high in found) if end is None else end


def _names(rows: Frame) -> pl.DataFrame:
    """agentID and name."""
    given = pl.coalesce(pl.col("agentNickname", "agentUsername", "agentLoginname").replace("", None)).alias("name")
    called = rows.lazy().select("agentID", "timestamp", given).drop_nulls()
    return called.group_by("agentID").agg(pl.col("name").sort_by("timestamp", "name").last()).collect()


def _reduced(intervals: pl.DataFrame, about: About) -> pl.DataFrame:
    """As much of a share's intervals as the timeline of all can show: a long window does not fill the memory."""
    if has_room(intervals, about):
        return intervals
    merged = stretches(intervals)
    return series.held_longest(merged, about.buckets("1d")) if about.length > series.LONG else merged
