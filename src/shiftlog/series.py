"""Series: the rows that charts are drawn from, pure Polars; and what charts call states, agents and times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias, TypeVar

import polars as pl

from shiftlog.errors import Invalid, TooLarge
from shiftlog.events import AgentState
from shiftlog.hours import DAY, HOUR, MINUTE, zone
from shiftlog.intervals import END, START, Buckets, buckets, split

Names: TypeAlias = Mapping[int, str]
#: What each agent is called in a chart; events that name no agent have a row too.
Labels: TypeAlias = dict[int | None, str]
Agent = TypeVar("Agent", int, int | None)

#: States as charts call them, in the order in which they are shown, and the measure of the time in each.
STATES: dict[str, tuple[AgentState, str]] = {
    "online": (AgentState.ONLINE, "online_ms"),
    "back soon": (AgentState.BACK_SOON, "back_soon_ms"),
    "away": (AgentState.AWAY, "away_ms"),
    "offline": (AgentState.OFFLINE, "offline_ms"),
    "before first status": (AgentState.IRRELEVANT, "irrelevant_ms"),
    "unknown": (AgentState.UNKNOWN, "unknown_ms"),
}
MEASURES = [measure for _, measure in STATES.values()]
_NAME_OF_CODE = {code.value: name for name, (code, _) in STATES.items()}
_NAME_OF_MEASURE = {measure: name for name, (_, measure) in STATES.items()}

WIDTHS = {"5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE, "1h": HOUR, "1d": DAY}
MOST_AGENTS = 1_000  # of which a chart can have rows
_BANDS = 40_000  # stretches of a timeline; where there are more, it shows the state held longest in each bucket
_FINEST = 1_500  # buckets of a timeline: narrower ones could not be seen
LONG = 120 * DAY  # a window in which a day is too narrow to show more than one state
_LEVELS = 30  # the highest level with a bar of its own

OCCUPANCY = pl.col("online_chatting_ms") / pl.col("online_ms")
WEEKDAY, HOUR_OF_DAY = pl.col("bucket_start").dt.weekday(), pl.col("bucket_start").dt.strftime("%H")
_STATE = pl.col("state").replace_strict(_NAME_OF_CODE, default="unknown", return_dtype=pl.String)
_LENGTH = (END - START).sum().alias("ms")


@dataclass(frozen=True, slots=True)
class About:
    """What a chart is about: the account, the window [start, end) in epoch ms, the time zone it is shown in, the source.

    Raises:
        Invalid: an empty window, or an unknown zone.
    """

    account: str
    start: int
    end: int
    tz: str = "UTC"
    source: str = ""

    def __post_init__(self) -> None:
        self.buckets("all")

    def __str__(self) -> str:
        return f"account {self.account} · {_wall(self.start, self.tz)} – {_wall(self.end, self.tz)} · {self.tz}"

    @property
    def length(self) -> int:
        return self.end - self.start

    def buckets(self, every: str) -> Buckets:
        """The window's buckets."""
        return buckets(every, self.start, self.end, self.tz)


# ── agents ──


def labels(agents: Sequence[Agent], names: Names | None = None) -> dict[Agent, str]:
    """What each agent is called: the name, with the id where several have that name; the id alone where there is none."""
    known = {agent: "no agent" if agent is None else (names or {}).get(agent) or str(agent) for agent in agents}
    often = Counter(known.values())
    # A name that ends as if it had an id is given one too: no two labels are equal.
    return {agent: f"{name} ({agent})" if often[name] > 1 or name.endswith(")") else name for agent, name in known.items()}


def called(label: Labels) -> pl.Expr:
    """The agent's label, as the column `agent`."""
    return pl.col("agent_id").replace_strict(label, return_dtype=pl.String).alias("agent")


def ordered(rows: pl.DataFrame, by: pl.Expr, about: About) -> list[int | None]:
    """The agents that have rows, in order of an aggregate of them.

    Raises:
        Invalid: there are none; TooLarge: more than a chart has room for.
    """
    some(rows, about)
    agents: list[int | None] = rows.group_by("agent_id").agg(by.alias("by")).sort("by", "agent_id")["agent_id"].to_list()
    if len(agents) > MOST_AGENTS:
        raise TooLarge(f"the chart has {len(agents)} agents, and room for {MOST_AGENTS}; ask for some of them, or for a shorter window")
    return agents


def some(rows: pl.DataFrame, about: About, what: str = "logged in") -> None:
    """Nothing, if there are rows.

    Raises:
        Invalid: there are none.
    """
    if rows.is_empty():
        raise Invalid(f"there is nothing to draw: nobody was {what} ({about}); ask for another window")


# ── stretches of time ──


def stretches(intervals: pl.DataFrame) -> pl.DataFrame:
    """Intervals of one session and state that touch, as one: agent_id, agentSessionId, state (as in `STATES`), start, end."""
    state = pl.col("state") if intervals.schema["state"] == pl.String else _STATE
    what = ["agent_id", "agentSessionId", "state"]
    rows = intervals.with_columns(state).sort("agent_id", "agentSessionId", "start")
    same = pl.all_horizontal(*(pl.col(name).eq_missing(pl.col(name).shift()) for name in what), START.eq_missing(END.shift()))
    runs = rows.group_by((~same).cum_sum().alias("run"), maintain_order=True)
    return runs.agg(pl.col(what).first(), START.min(), END.max()).drop("run")


def held_longest(stretches_: pl.DataFrame, into: Buckets) -> pl.DataFrame:
    """Whole buckets as `stretches`, each in the state that the agent held longest in it; time logged out does not count."""
    held = split(stretches_, into).group_by("agent_id", "bucket", "state").agg(_LENGTH).sort("agent_id", "bucket", "ms", "state")
    longest = held.group_by("agent_id", "bucket", maintain_order=True).last()
    opening, closing = into.opening(longest["bucket"]).alias("start"), into.closing(longest["bucket"]).alias("end")
    return stretches(longest.with_columns(opening, closing, pl.lit(None, pl.String).alias("agentSessionId")))


def fitting(kinds: dict[str, pl.DataFrame], about: About) -> tuple[dict[str, pl.DataFrame], str]:
    """Stretches of each kind that are not too many for a chart, and what was done to have them so."""
    if about.length <= LONG and _rows(kinds) <= _BANDS:
        return kinds, ""
    visible = [every for every, width in WIDTHS.items() if about.length // width <= _FINEST]
    for every in visible if about.length <= LONG else ["1d"]:
        coarse = {kind: held_longest(rows, about.buckets(every)) for kind, rows in kinds.items()}
        if _rows(coarse) <= _BANDS:
            break
    return coarse, f"each bucket of {every} is shown in the state that was held longest in it"


def _rows(kinds: Mapping[str, pl.DataFrame]) -> int:
    return sum(rows.height for rows in kinds.values())


def bands(kinds: Mapping[str, pl.DataFrame], label: Labels, about: About) -> pl.DataFrame:
    """Stretches of all kinds as a chart takes them: agent, kind, state, start, end, and both times as text, from and to."""
    rows = pl.concat([stretches.with_columns(pl.lit(kind).alias("kind")) for kind, stretches in kinds.items()])
    times = (_text("start", about.tz).alias("from"), _text("end", about.tz).alias("to"))
    return rows.select(called(label), "kind", "state", "start", "end", *times)


def steps(intervals: pl.DataFrame, label: Labels) -> pl.DataFrame:
    """Points of step lines of chats in hand and capacity, where these change and where a session ends.

    The columns: agent, agentSessionId, kind, start, chats (null where the capacity is not known).
    """
    line = ["agent_id", "agentSessionId", "kind"]
    kinds = {"chats in hand": "concurrency", "capacity": "maximum"}
    both = [intervals.select(*line[:2], pl.lit(kind).alias("kind"), "start", "end", chats=column) for kind, column in kinds.items()]
    rows = pl.concat(both).sort(*line, "start")
    level = pl.struct(*line, "chats")
    ends = rows.group_by(line, maintain_order=True).last().with_columns(END.alias("start")).select(rows.columns)
    points = pl.concat([rows.filter((level != level.shift()).fill_null(True)), ends]).sort(*line, "start")
    return points.select(called(label), "agentSessionId", "kind", "start", "chats")


# ── sums ──


def in_states(sums: pl.DataFrame, label: Labels) -> pl.DataFrame:
    """Measures by agent as rows by agent and state: agent, state, ms, hours, and the share of the login time."""
    each = sums.unpivot(MEASURES, index=["agent_id", "login_ms"], variable_name="state", value_name="ms").filter(pl.col("ms") > 0)
    state, share = pl.col("state").replace_strict(_NAME_OF_MEASURE), (pl.col("ms") / pl.col("login_ms")).alias("share")
    return each.select(called(label), state, "ms", hours("ms"), share).sort("agent", "state")


def typical_week(metrics: pl.DataFrame) -> pl.DataFrame:
    """Time online and chatting added up by agent (if they are there), weekday and hour, under the first bucket_start of each.

    The columns are those of measures, so that what was added up can be added up again.

    Raises:
        Invalid: buckets of more than an hour.
    """
    if metrics.select((pl.col("bucket_ms") > HOUR).any()).item():
        raise Invalid("occupancy by the hour needs buckets of an hour or less, and these are wider; ask for metrics every 1h")
    keys = [name for name in ("agent_id",) if name in metrics.columns]
    by_hour = metrics.group_by(*keys, WEEKDAY.alias("weekday"), HOUR_OF_DAY.alias("hour"))
    sums = by_hour.agg(pl.col("bucket_start").min(), pl.col("bucket_ms").max(), pl.col("online_chatting_ms", "online_ms").sum())
    return sums.drop("weekday", "hour").filter(pl.col("online_ms") > 0)


def time_at_levels(intervals: pl.DataFrame) -> pl.DataFrame:
    """How long agents had how many chats in hand: level, online (or in another state), ms."""
    online = (pl.col("state") == AgentState.ONLINE).alias("online")
    return intervals.group_by(pl.col("concurrency").alias("level"), online).agg(_LENGTH)


def bars(levels: pl.DataFrame) -> pl.DataFrame:
    """`time_at_levels` added up, the highest as one: level, label, state, ms, hours, and the share of all time."""
    level = pl.col("level").clip(upper_bound=_LEVELS)
    text = pl.when(level < _LEVELS).then(level.cast(pl.String)).otherwise(pl.lit(f"{_LEVELS}+")).alias("label")
    state = pl.when("online").then(pl.lit("online")).otherwise(pl.lit("in another state")).alias("state")
    sums = levels.group_by(level, text, state).agg(pl.col("ms").sum()).sort("level", "state")
    return sums.with_columns(hours("ms"), (pl.col("ms") / pl.col("ms").sum()).alias("share"))


def curves(metrics: pl.DataFrame, measures: Mapping[str, str], about: About) -> tuple[pl.DataFrame, str]:
    """Averages of measures in each bucket, as points of step lines over the whole window; and what they are averages of.

    The columns: start, series (a key of `measures`), value, time. No row for a bucket means that nobody was there: 0.
    """
    begins = pl.col("bucket_start").dt.epoch("ms").alias("start")
    sums = metrics.group_by(begins, "bucket_ms").agg(pl.col(measures.values()).sum()).sort("start")
    known = sums.select("start", *((pl.col(measure) / pl.col("bucket_ms")).alias(name) for name, measure in measures.items()))
    edges = sums.select(pl.col("start") + pl.col("bucket_ms")).extend(pl.DataFrame({"start": [about.start]})).unique()
    zeros = (
        edges.join(known, on="start", how="anti")
        .filter(pl.col("start") < about.end)
        .with_columns(pl.lit(0.0).alias(name) for name in measures)
    )
    points = pl.concat([known, zeros]).sort("start")
    whole = pl.concat([points, points.tail(1).with_columns(pl.lit(about.end).alias("start"))])
    rows = whole.unpivot([*measures], index="start", variable_name="series").with_columns(_text("start", about.tz).alias("time"))
    return rows, f"averages of {_bucket_text(max(sums['bucket_ms']), about)}"


def hours(measure: str) -> pl.Expr:
    """Milliseconds as `hours`."""
    return (pl.col(measure) / HOUR).alias("hours")


# ── words ──


def _bucket_text(widest: int, about: About) -> str:
    if widest == about.length:
        return "the whole window"
    # Those at the edges may be cut, and a day may have 25 hours.
    whole = next((width for width in WIDTHS.values() if widest <= width), DAY)
    return "a day" if whole == DAY else f"{whole // MINUTE} minutes"


def _wall(instant: int, tz: str) -> str:
    """An instant in the zone's time; seconds only where they are not 0."""
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=instant)).astimezone(zone(tz))
    return f"{local:%a} {local.day} {local:%b %Y %H:%M}{f':{local:%S}' if instant % MINUTE else ''}"


def _text(column: str, tz: str) -> pl.Expr:
    """Instants in the zone's time, with the second."""
    return pl.col(column).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC").dt.convert_time_zone(tz).dt.strftime("%a %-d %b %H:%M:%S")
