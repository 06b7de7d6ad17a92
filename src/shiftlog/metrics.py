"""Metrics: intervals as numbers. Every definition is that of docs/metrics.md, by section, and exact to the millisecond.

    metrics(flat, …)  =  ratios(measures(flat, …))

`measures` are sums, integers, and can be computed in pieces: where every agent lies in one piece whole, and all pieces
are given the same window, `added` makes them one. `ratios` are of sums, so they come last.

The window [start, end) is in epoch ms. Where it is left out it is taken from the data: from the beginning of the bucket
of the first event to the end of the bucket in which the last interval ends, so no bucket is cut; with `every="all"`,
from the first event to the last instant (a millisecond after the last event, which is to be counted too). A schedule
does not widen it.

There is a row for every bucket in which an agent (group, profile, account) has login time, an event, or planned time.
Events count in the bucket [start, end) of their timestamp, under their own group and profiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import polars as pl

from shiftlog import intervals as _intervals
from shiftlog import ordering, sweeping
from shiftlog.errors import Invalid
from shiftlog.events import AgentState
from shiftlog.hours import DAY
from shiftlog.intervals import COUNTS, END, START, Buckets, Frame, buckets, check_every, clip, opened, selected, span, split, steps


@dataclass(frozen=True, slots=True)
class Definition:
    """What a number is: its name, the definition in words, its unit, and what other products call it."""

    name: str
    text: str
    unit: str
    elsewhere: str = ""


#: Section 2: sums, per agent and bucket.
MEASURES = (
    Definition("login_ms", "Σ length of all intervals", "ms"),
    Definition("online_ms", "Σ length by state 2", "ms"),
    Definition("back_soon_ms", "Σ length by state 3", "ms"),
    Definition("away_ms", "Σ length by state 4", "ms"),
    Definition("offline_ms", "Σ length by state 1", "ms"),
    Definition("irrelevant_ms", "Σ length by state 0", "ms"),
    Definition("unknown_ms", "Σ length by state −1 and any unlisted code", "ms"),
    Definition("chatting_ms", "Σ length where c ≥ 1, in any state", "ms"),
    Definition("online_chatting_ms", "Σ length where state = 2 and c ≥ 1", "ms"),
    Definition("online_idle_ms", "Σ length where state = 2 and c = 0", "ms"),
    Definition("online_at_max_ms", "Σ length where state = 2 and M known and c ≥ M", "ms"),
    Definition("chat_ms", "∫ c dt, in any state (two chats for one minute count two minutes)", "ms"),
    Definition("online_chat_ms", "∫ c dt while state = 2", "ms"),
    Definition("online_capacity_ms", "∫ M dt while state = 2 and M known", "ms"),
    Definition("online_capacity_chat_ms", "∫ c dt while state = 2 and M known (numerator that matches the line above)", "ms"),
    Definition(
        "chats_started", "count: Σ max(0, c_i − c_{i−1}) over the session's events in the bucket, c before the first event = 0", "count"
    ),
    Definition("logins", "counts of events: type 3", "count"),
    Definition("logouts", "counts of events: type 4", "count"),
    Definition("status_changes", "counts of events: events whose state differs from the state before", "count"),
    Definition("open_ms", "part of `login_ms` that lies in intervals marked open", "ms"),
    Definition(
        "chats_inherited", "count: c of sessions' first events in the bucket (chats already in hand, part of `chats_started`)", "count"
    ),
    Definition("scheduled_ms", "Σ planned lengths", "ms"),
    Definition("adherent_ms", "Σ time in which the actual state equals the planned one (logged out counts as offline)", "ms"),
    Definition("scheduled_online_ms", "Σ planned Online", "ms"),
    Definition("online_in_schedule_ms", "Σ time Online in scheduled time, whatever was planned", "ms"),
)
#: Sections 3 and 6: of sums, null where the denominator is 0.
RATIOS = (
    Definition("availability", "online / login", "share", "available time share"),
    Definition("occupancy", "online_chatting / online", "share", "busy-time occupancy (Genesys, RingCentral)"),
    Definition("occupancy_handle", "online_chat / (online_chat + online_idle)", "share", "self-normalised (older Amazon Connect)"),
    Definition("occupancy_paid", "chatting / login", "share", "paid-time occupancy (Zendesk WFM)"),
    Definition(
        "utilization",
        "online_capacity_chat / online_capacity",
        "share",
        "slot or capacity utilisation (Salesforce, LivePerson's load)",
    ),
    Definition("at_capacity", "online_at_max / online", "share", "time at maximum concurrency"),
    Definition("concurrency", "online_chat / online_chatting", "chats", "average concurrency while busy"),
    Definition("concurrency_online", "online_chat / online", "chats", "handle time ÷ ready time; passes 1 with concurrent chats"),
    Definition("chats_per_login_hour", "chats_started · 3 600 000 / login_ms", "chats per hour"),
    Definition("chats_per_online_hour", "chats_started · 3 600 000 / online_ms", "chats per hour"),
    Definition("chat_handle_ms", "chat_ms / chats_started", "ms", "average handle time, as far as concurrency shows it"),
    Definition("adherence", "adherent / scheduled", "share"),
    Definition("conformance", "online_ms of the bucket, in or out of schedule, / scheduled_online_ms", "share"),
)
#: Section 3, last paragraph: average numbers in the bucket, and a count.
HEADCOUNTS = (
    Definition("staffed", "login_ms / bucket length", "agents"),
    Definition("agents_online", "online_ms / bucket length", "agents"),
    Definition("slots", "online_capacity_ms / bucket length", "slots"),
    Definition("agents", "the number of distinct agents with login_ms > 0", "agents"),
)
DEFINITIONS: dict[str, Definition] = {definition.name: definition for definition in (*MEASURES, *RATIOS, *HEADCOUNTS)}

SCHEDULED = ("scheduled_ms", "adherent_ms", "scheduled_online_ms", "online_in_schedule_ms")
#: A schedule: one row a planned stretch of an agent's time [start, end) in epoch ms, and the state planned for it.
SCHEDULE: dict[str, pl.DataType] = {"agent_id": pl.Int64(), "start": pl.Int64(), "end": pl.Int64(), "state": pl.Int64()}

#: The columns that name a row, by what rows are asked for.
KEYS: dict[str, tuple[str, ...]] = {"agent": ("agent_id",), "group": ("group_id",), "profile": ("profile_id",), "account": ()}
_KEPT = {"agent": (), "group": ("group_id",), "profile": ("profile_ids",), "account": ()}
# Profiles are added up by set first, and only the few sums are copied to each profile of their set.
_OWNER = {"agent": (), "group": ("group_id",), "profile": ("profile_set",), "account": ()}

_ms, _state, _c, _M = pl.col("ms"), pl.col("state"), pl.col("concurrency"), pl.col("maximum")
_online, _chatting, _known = _state == AgentState.ONLINE, _c >= 1, _M.is_not_null()
_listed = _state.is_between(AgentState.IRRELEVANT, AgentState.AWAY)
# A piece's part in each measure of time. A product with null is null, and counts as nothing in a sum.
_PARTS: dict[str, pl.Expr] = {
    "login_ms": _ms,
    "online_ms": _ms * _online,
    "back_soon_ms": _ms * (_state == AgentState.BACK_SOON),
    "away_ms": _ms * (_state == AgentState.AWAY),
    "offline_ms": _ms * (_state == AgentState.OFFLINE),
    "irrelevant_ms": _ms * (_state == AgentState.IRRELEVANT),
    "unknown_ms": _ms * ~_listed,
    "chatting_ms": _ms * _chatting,
    "online_chatting_ms": _ms * (_online & _chatting),
    "online_idle_ms": _ms * (_online & ~_chatting),
    "online_at_max_ms": _ms * (_online & (_c >= _M)),
    "chat_ms": _ms * _c,
    "online_chat_ms": _ms * _c * _online,
    "online_capacity_ms": _ms * _M * _online,
    "online_capacity_chat_ms": _ms * _c * (_online & _known),
    "open_ms": _ms * pl.col("open"),
    **{count: pl.col(count) * pl.col("begun") for count in COUNTS},
}
_SUMMED = ("agent_id", "start", "end", "state", "concurrency", "maximum", "open", *COUNTS)


def _of(numerator: str, *denominator: str, times: int = 1) -> pl.Expr:
    below = pl.sum_horizontal(denominator)
    return pl.when(below != 0).then(pl.col(numerator) * times / below)


_TERMS: dict[str, pl.Expr] = {
    "availability": _of("online_ms", "login_ms"),
    "occupancy": _of("online_chatting_ms", "online_ms"),
    "occupancy_handle": _of("online_chat_ms", "online_chat_ms", "online_idle_ms"),
    "occupancy_paid": _of("chatting_ms", "login_ms"),
    "utilization": _of("online_capacity_chat_ms", "online_capacity_ms"),
    "at_capacity": _of("online_at_max_ms", "online_ms"),
    "concurrency": _of("online_chat_ms", "online_chatting_ms"),
    "concurrency_online": _of("online_chat_ms", "online_ms"),
    "chats_per_login_hour": _of("chats_started", "login_ms", times=3_600_000),
    "chats_per_online_hour": _of("chats_started", "online_ms", times=3_600_000),
    "chat_handle_ms": _of("chat_ms", "chats_started"),
    "adherence": _of("adherent_ms", "scheduled_ms"),
    "conformance": _of("online_ms", "scheduled_online_ms"),
    "staffed": _of("login_ms", "bucket_ms"),
    "agents_online": _of("online_ms", "bucket_ms"),
    "slots": _of("online_capacity_ms", "bucket_ms"),
}


def metrics(
    flat: Frame,
    *,
    every: str = "all",
    by: str = "agent",
    start: int | None = None,
    end: int | None = None,
    tz: str = "UTC",
    now: int | None = None,
    timeout: int = DAY,
    schedule: Frame | None = None,
) -> pl.DataFrame:
    """Measures and ratios of sessions (columns `events.FLAT`), one row a key and bucket; see the module and `measures`.

    The columns: the key (`KEYS`), `bucket_start` (Datetime in `tz`), `bucket_ms`, those of `MEASURES`, `agents`, those
    of `RATIOS`, and the other three of `HEADCOUNTS`.

    Raises:
        Invalid: an unknown `every`, `by` or `tz`, or an empty window.
        TooLarge: too many buckets.
    """
    sums = measures(flat, every=every, by=by, start=start, end=end, tz=tz, now=now, timeout=timeout, schedule=schedule)
    return ratios(sums)


def measures(
    flat: Frame,
    *,
    every: str = "all",
    by: str = "agent",
    start: int | None = None,
    end: int | None = None,
    tz: str = "UTC",
    now: int | None = None,
    timeout: int = DAY,
    schedule: Frame | None = None,
) -> pl.DataFrame:
    """The sums alone: the key, `bucket_start`, `bucket_ms`, `MEASURES` and `agents`, in order of key and bucket.

    `bucket_start` is where the bucket begins within the window, and `bucket_ms` how long it is there. Open sessions
    count with `now` (epoch ms), up to min(now, last event + `timeout`). `schedule` (columns `SCHEDULE`) has the rows
    of the agents in question; without one its measures are null. Planned time belongs to the group and profiles of its
    agent's last event that has them up to the beginning of the plan's row, or else of the first one after it.

    Raises:
        Invalid: an unknown `every`, `by` or `tz`, or an empty window.
        TooLarge: too many buckets.
    """
    check_by(by)
    rows = selected(_hashed(flat), now=now, keep=_KEPT[by])
    into = _buckets(span(rows, now=now, timeout=timeout), every, start, end, tz)
    if into is None:
        return _labelled(_empty(by), buckets("all", 0, 1, tz), by)
    plan = None if schedule is None else schedule.lazy().select(SCHEDULE.keys()).filter(END.gt(START)).collect()
    shares = ordering.shares(rows) if plan is None else iter([ordering.in_order(rows)])
    del rows
    sums = (_by_agent(opened(share, now=now, timeout=timeout), into, by, plan) for share in shares)
    if by == "agent":
        return pl.concat(_labelled(_by_key(some, by), into, by) for some in sums)
    return _labelled(_by_key(pl.concat(sums), by), into, by)


def _hashed(flat: Frame) -> pl.LazyFrame:
    """Sessions have to be told apart, and not named: 8 bytes do that in a fraction of the time and room that text takes."""
    return flat.lazy().with_columns(pl.col("agentSessionId").hash())


def part_sums(flat: Frame, *, into: Buckets, by: str = "agent", now: int | None = None, timeout: int = DAY) -> pl.DataFrame:
    """What whole sessions add to the sums of their agents in these buckets: rows that `total` adds up, wherever they come from.

    Unlike the parts of `added`, an agent's sessions may lie in several of these. There is no schedule in them.
    """
    return _by_agent(steps(flat, now=now, timeout=timeout, keep=_KEPT[check_by(by)]), into, by)


def total(parts: Iterable[pl.DataFrame], *, into: Buckets, by: str = "agent") -> pl.DataFrame:
    """The `measures` of all sessions together, from `part_sums` of them; at least one."""
    owner = () if by == "agent" else KEYS[by]
    return _labelled(_by_key(_total(pl.concat(parts), ("agent_id", *owner, "bucket")), by), into, by)


def reads(by: str) -> list[str]:
    """The columns of a flat frame that `measures` looks at."""
    return _intervals.reads(*_KEPT[check_by(by)])


def added(parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """The `measures` of all, from those of its parts: one window, every agent in one part whole; at least one part."""
    rows = pl.concat(parts)
    keys = rows.columns[: rows.columns.index("bucket_ms") + 1]
    unplanned = [pl.lit(None, pl.Int64).alias(name) for name in SCHEDULED if rows[name].null_count() == len(rows)]
    return _total(rows, keys).with_columns(unplanned).select(rows.columns).sort(keys)


def ratios(sums: pl.DataFrame) -> pl.DataFrame:
    """`measures` with the ratios of section 3 (null where the denominator is 0) and the average numbers of agents."""
    return sums.with_columns(term.alias(name) for name, term in _TERMS.items())


def check_by(by: str) -> str:
    """The key's name itself, if rows can be asked for by it.

    Raises:
        Invalid: they cannot.
    """
    if by not in KEYS:
        raise Invalid(f"rows by {by!r} are not known; allowed: {', '.join(KEYS)}")
    return by


def _buckets(found: tuple[int, int] | None, every: str, start: int | None, end: int | None, tz: str) -> Buckets | None:
    """The window's buckets, with what was left out of the window taken from the data's span; None where that leaves nothing."""
    check_every(every)
    if start is not None and end is not None:
        return buckets(every, start, end, tz)
    first = start if start is not None else found and found[0]
    last = end if end is not None else found and found[1]
    if first is None or last is None or last <= first:
        return None
    into = buckets(every, first, last, tz)
    return replace(into, start=into.edges[0] if start is None else start, end=into.edges[-1] if end is None else end)


# ── sums ──


def _by_agent(events: pl.DataFrame, into: Buckets, by: str, plan: pl.DataFrame | None = None) -> pl.DataFrame:
    """The sums of each agent, by group or profile where that is asked for, and bucket."""
    if by == "profile":
        events = events.with_columns(pl.when(pl.col("profile_ids").is_not_null()).then(pl.col("profile_ids").rle_id()).alias("profile_set"))
    sums = _swept(events, into, _OWNER[by])
    if plan is not None:
        planned = _planned(_owned(plan, events, _OWNER[by]), events, into)
        sums = _total(pl.concat([sums, planned], how="diagonal"), ("agent_id", *_OWNER[by], "bucket"))
    return _by_profile(sums, events) if by == "profile" else sums


def _swept(events: pl.DataFrame, into: Buckets, owner: Sequence[str]) -> pl.DataFrame:
    keys = ("agent_id", *owner, "bucket")
    sums = sweeping.sums(events, into, *owner)
    if sums is None:
        return _summed(split(events.select(*_SUMMED, *owner), into), keys)
    return sums if _ascend(sums) else _total(sums, keys)


def _ascend(sums: pl.DataFrame) -> bool:
    """Whether no agent's bucket comes twice, as bucket follows bucket and agent follows agent."""
    agent, bucket = pl.col("agent_id"), pl.col("bucket")
    same = agent == agent.shift()
    return bool(sums.select((same & (bucket > bucket.shift()) | (agent > agent.shift())).slice(1).all()).item())


def _summed(pieces: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    # The products are made before grouping: plain sums of columns are several times as fast as sums of expressions.
    parts = pieces.lazy().with_columns((END - START).alias("ms")).select(*keys, *(part.alias(name) for name, part in _PARTS.items()))
    return _total(parts, keys)


def _total(rows: Frame, keys: Sequence[str]) -> pl.DataFrame:
    """Rows of equal keys added up; null is nothing."""
    return rows.lazy().group_by(keys).agg(pl.all().sum()).collect()


def _by_profile(sums: pl.DataFrame, opened: pl.DataFrame) -> pl.DataFrame:
    """Sums by agent and set of profiles as sums by agent and profile; without a profile there is no row."""
    sets = opened.unique("profile_set").select("profile_set", pl.col("profile_ids").list.unique().alias("profile_id"))
    each = sums.join(sets.explode("profile_id").drop_nulls(), on="profile_set").drop("profile_set")
    return _total(each, ("agent_id", "profile_id", "bucket"))


def _by_key(sums: pl.DataFrame, by: str) -> pl.DataFrame:
    """Sums of single agents as those of what was asked for, and in how many agents they have login time."""
    counted = sums.with_columns((pl.col("login_ms") > 0).cast(pl.Int64).alias("agents"))
    return counted if by == "agent" else _total(counted.drop("agent_id"), (*KEYS[by], "bucket"))


def _labelled(sums: pl.DataFrame, into: Buckets, by: str) -> pl.DataFrame:
    """The sums with their buckets' times for numbers, in order."""
    opening, closing = into.opening(sums["bucket"]), into.closing(sums["bucket"])
    moment = opening.cast(pl.Datetime("ms")).dt.replace_time_zone("UTC").dt.convert_time_zone(into.tz)
    planned = [pl.lit(None, pl.Int64).alias(name) for name in SCHEDULED if name not in sums.columns]
    labelled = sums.with_columns(moment.alias("bucket_start"), (closing - opening).alias("bucket_ms"), *planned)
    names = [definition.name for definition in MEASURES]
    return labelled.select(*KEYS[by], "bucket_start", "bucket_ms", *names, "agents").sort(*KEYS[by], "bucket_start")


def _empty(by: str) -> pl.DataFrame:
    return pl.DataFrame(schema=dict.fromkeys([*KEYS[by], "bucket", *(measure.name for measure in MEASURES), "agents"], pl.Int64()))


# ── schedules (section 6) ──


def _owned(plan: pl.DataFrame, opened: pl.DataFrame, owner: Sequence[str]) -> pl.DataFrame:
    """The plan's rows with their group or set of profiles, where that is asked for."""
    if not owner:
        return plan
    events = opened.select("agent_id", "start", *owner).drop_nulls().sort("start", maintain_order=True)
    ordered, (name,) = plan.sort("start"), owner
    before = ordered.join_asof(events, on="start", by="agent_id", strategy="backward", check_sortedness=False)
    after = ordered.join_asof(events, on="start", by="agent_id", strategy="forward", check_sortedness=False)
    return ordered.with_columns(before[name].fill_null(after[name]))


def _planned(plan: pl.DataFrame, opened: pl.DataFrame, into: Buckets) -> pl.DataFrame:
    """The four measures of a schedule for each piece of planned time."""
    pieces = split(plan, into).with_columns(pl.lit(AgentState.ONLINE.value, pl.Int64).alias("online"))
    actual = _actual(opened, plan.select("agent_id").unique(), into)
    for state, measure in (("state", "adherent_ms"), ("online", "online_in_schedule_ms")):
        pieces = _time_in(pieces, actual, state, measure)
    length = END - START
    lengths = pieces.with_columns(length.alias("scheduled_ms"), (length * _online).alias("scheduled_online_ms"))
    return lengths.drop("start", "end", "state", "begun", "online")


def _actual(opened: pl.DataFrame, agents: pl.DataFrame, into: Buckets) -> pl.DataFrame:
    """The stretches of the window that agents spent in each state; where they had no session, offline.

    Time that overlapping sessions spend in one state is one stretch [since, until); at an instant t of it the agent
    has spent t + `lead` in that state since the window's start.
    """
    lived = clip(opened.filter(END.gt(START)), into.start, into.end).select(SCHEDULE.keys()).join(agents, on="agent_id", how="semi")
    bounds = [
        agents.select("agent_id", pl.lit(at, pl.Int64).alias("start"), pl.lit(at, pl.Int64).alias("end")) for at in (into.start, into.end)
    ]
    logged = pl.concat([*bounds, _merged(lived, "agent_id")]).sort("agent_id", "start", "end")
    away = logged.select(
        "agent_id",
        END.alias("start"),
        START.shift(-1).over("agent_id").alias("end"),
        pl.lit(AgentState.OFFLINE.value, pl.Int64).alias("state"),
    )
    stretches = _merged(pl.concat([lived, away.filter(END.gt(START))]), "agent_id", "state").sort("start")
    length = END - START
    lead = (length.cum_sum() - length).over("agent_id", "state") - START
    return stretches.select("agent_id", "state", START.alias("since"), END.alias("until"), lead.alias("lead"))


def _merged(stretches: pl.DataFrame, *by: str) -> pl.DataFrame:
    """Stretches that overlap or touch as one, per `by`."""
    ordered = stretches.sort(*by, "start")
    apart = START.gt(END.cum_max().shift().over(by)).fill_null(True).cum_sum().alias("stretch")
    return ordered.lazy().group_by(*by, apart).agg(START.min(), END.max()).drop("stretch").collect()


def _time_in(pieces: pl.DataFrame, actual: pl.DataFrame, state: str, measure: str) -> pl.DataFrame:
    """The pieces with `measure`: how much of each their agent spent in the state that the column `state` names."""
    for at, spent in (("start", "_before"), ("end", "_after")):
        joined = pieces.sort(at).join_asof(
            actual, left_on=at, right_on="since", by_left=["agent_id", state], by_right=["agent_id", "state"], check_sortedness=False
        )
        pieces = joined.select(*pieces.columns, (pl.min_horizontal(at, "until") + pl.col("lead")).fill_null(0).alias(spent))
    return pieces.with_columns((pl.col("_after") - pl.col("_before")).alias(measure)).drop("_before", "_after")
