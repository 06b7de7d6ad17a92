"""Quality: what is doubtful in the data (docs/metrics.md, section 5). Nothing is repaired, and no number leaves it out.

A finding lies at an event and in the window of that event's timestamp. What each code means, exactly:

- `missing_login`: a session's first event is no login. `missing_logout`: the last event of a closed session is no logout.
- `overlapping_sessions`: a session begins before an earlier one of its agent has ended; at its first event.
- `state_jump`, `concurrency_jump`: prevState is not the state before, prevConcurrentEng not the concurrency before
  (below 0 is 0 on both sides). A first event has nothing before it, and a field that is null says nothing.
- `over_capacity`: more chats than the maximum that was known at the event.
- `unknown_code`: a type, state or prevState that the wire format does not list. It lists −1, and null is no code.
- `duplicate_event`: repeats of the event were dropped; one finding, however many.
- `clock_ahead`: the timestamp lies after the arrival.
- `out_of_order`: the event arrived when its session's hour was due to be published, or later, and a later event of the
  session had arrived before that; and the hour has been revised since. An hour is due `grace` after its end, which the
  name of the part tells. When it really was published, a little later, a session does not say: what arrived in between
  may have been published in time, and is counted all the same if the session was revised for another event.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from shiftlog.events import AgentState, EventType
from shiftlog.hours import DAY, MINUTE
from shiftlog.intervals import END, START, Frame, clip, steps

#: One row a finding. The session's id begins with the account's name; what the source has not got is null.
FINDINGS: dict[str, pl.DataType] = {
    "code": pl.String(),
    "agent_id": pl.Int64(),
    "agentSessionId": pl.String(),
    "eventId": pl.String(),
    "eventIndex": pl.Int32(),
    "timestamp": pl.Int64(),
    "part": pl.String(),
    "detail": pl.String(),
}
GRACE = 5 * MINUTE
_KEPT = ("prevState", "prevConcurrentEng", "eventId", "receivedAt", "repeats", "revision", "part")

_type, _first, _last, _before = pl.col("type"), pl.col("first"), pl.col("last"), pl.col("concurrency").shift()
_stated = pl.col("prevConcurrentEng").clip(lower_bound=0)
_received = pl.col("receivedAt")
_no_logout = _last & ~pl.col("open") & _type.ne_missing(EventType.LOGOUT)
_strange_type = ~_type.is_in(list(EventType))
_strange_state, _strange_before = (~pl.col(name).is_in(list(AgentState)) for name in ("state", "prevState"))

#: Every code, with when an event has it and what is said of it. `_prepared` has the columns.
_RULES: dict[str, tuple[pl.Expr, pl.Expr]] = {
    "missing_login": (
        _first & _type.ne_missing(EventType.LOGIN),
        pl.format("the session begins with type {}; a login (3) is expected", "_type"),
    ),
    "missing_logout": (
        _no_logout,
        pl.format("the session ends with type {}; a logout (4) is expected, and time is counted up to here", "_type"),
    ),
    "overlapping_sessions": (
        _first & pl.col("_overlap").is_not_null(),
        pl.format("begins {} ms before session {} of the same agent ends; both are counted", "_overlap", "_other"),
    ),
    "state_jump": (
        ~_first & (pl.col("prevState") != pl.col("state").shift()),
        pl.format("prevState is {}, the state before is {}", "prevState", pl.col("state").shift()),
    ),
    "concurrency_jump": (
        ~_first & (_stated != _before),
        pl.format("prevConcurrentEng is {}, the concurrency before is {}", "prevConcurrentEng", _before),
    ),
    "over_capacity": (
        pl.col("concurrency") > pl.col("maximum"),
        pl.format("{} chats, the maximum is {}", "concurrency", "maximum"),
    ),
    "duplicate_event": (pl.col("repeats") > 0, pl.format("{} repeats were dropped", "repeats")),
    "out_of_order": (
        (pl.col("revision") > 0) & (_received >= pl.col("_due")) & (pl.col("_later") < pl.col("_due")),
        pl.format("arrived at {}, after its hour was due at {}; a later event arrived at {}", "receivedAt", "_due", "_later"),
    ),
    "unknown_code": (
        _strange_type | _strange_state | _strange_before,
        pl.format("type {}, state {}, prevState {}; one of them is not listed", "_type", "state", pl.col("prevState").fill_null("none")),
    ),
    "clock_ahead": (START.gt(_received), pl.format("{} ms after its arrival at {}", START - _received, "receivedAt")),
}
CODES = tuple(_RULES)
#: The columns without which a code cannot be decided.
NEEDS: dict[str, tuple[str, ...]] = {
    "duplicate_event": ("repeats",),
    "out_of_order": ("receivedAt", "revision", "part"),
    "clock_ahead": ("receivedAt",),
}


@dataclass(frozen=True, slots=True)
class Summary:
    """How many findings of each code lie in a window (None: this source cannot tell), and what its login time rests on.

    The three parts of `login_ms` add up: `inferred_ms` lies in closed sessions without a logout, `open_ms` in intervals
    whose end was not observed, `observed_ms` is the rest. Summaries of parts of the agents add up to that of all.
    """

    counts: dict[str, int | None]
    login_ms: int
    inferred_ms: int
    open_ms: int

    @property
    def observed_ms(self) -> int:
        return self.login_ms - self.inferred_ms - self.open_ms

    def shares(self) -> dict[str, float | None]:
        """The shares of `login_ms` that are observed, inferred and open; None where there is no login time."""
        parts = {"observed": self.observed_ms, "inferred": self.inferred_ms, "open": self.open_ms}
        return {name: part / self.login_ms if self.login_ms else None for name, part in parts.items()}

    def __add__(self, other: Summary) -> Summary:
        both = ((code, self.counts[code], other.counts[code]) for code in CODES)
        counts = {code: None if mine is None or theirs is None else mine + theirs for code, mine, theirs in both}
        return Summary(counts, self.login_ms + other.login_ms, self.inferred_ms + other.inferred_ms, self.open_ms + other.open_ms)


def findings(
    flat: Frame,
    *,
    start: int | None = None,
    end: int | None = None,
    now: int | None = None,
    timeout: int = DAY,
    grace: int = GRACE,
) -> pl.DataFrame:
    """All findings at events of the window [start, end) (epoch ms, None is no bound), in order of time.

    `flat` is as for `intervals.intervals`, and so are `now` and `timeout`. The columns are those of `FINDINGS`.
    """
    events = _prepared(steps(flat, now=now, timeout=timeout, keep=_KEPT), grace)
    return _found(events, start, end).sort("timestamp", "agent_id", "agentSessionId", "eventIndex", "code")


def summary(
    flat: Frame,
    *,
    start: int | None = None,
    end: int | None = None,
    now: int | None = None,
    timeout: int = DAY,
    grace: int = GRACE,
) -> Summary:
    """The findings of the window [start, end) in numbers; the arguments are those of `findings`."""
    events = _prepared(steps(flat, now=now, timeout=timeout, keep=_KEPT), grace)
    found = dict(_found(events, start, end).group_by("code").len().rows())
    there = set(flat.lazy().collect_schema().names())
    counts = {code: found.get(code, 0) if _decidable(code, there, events) else None for code in CODES}
    length, marked = END - START, pl.col("open")
    login, inferred, unobserved = (
        clip(events.filter(END.gt(START)), start, end)
        .select(length.sum().alias("login"), length.filter("_inferred").sum().alias("inferred"), length.filter(marked).sum().alias("open"))
        .row(0)
    )
    return Summary(counts, login, inferred, unobserved)


def _decidable(code: str, there: set[str], events: pl.DataFrame) -> bool:
    """Whether the source has what the code needs: the columns, and any value in the first of them."""
    needs = NEEDS.get(code, ())
    return there.issuperset(needs) and (not needs or events.is_empty() or events[needs[0]].null_count() < len(events))


def _found(events: pl.DataFrame, start: int | None, end: int | None) -> pl.DataFrame:
    named = [pl.col("start").alias(name) if name == "timestamp" else pl.col(name) for name in FINDINGS if name not in ("code", "detail")]
    inside = pl.lit(True)
    if start is not None:
        inside &= START.ge(start)
    if end is not None:
        inside &= START.lt(end)
    lazy = events.lazy()
    each = [
        # What is said looks at the row before, so it is said before rows are dropped.
        lazy.select(pl.lit(code).alias("code"), *named, detail.alias("detail"), (condition & inside).alias("_found")).filter("_found")
        for code, (condition, detail) in _RULES.items()
    ]
    return pl.concat(pl.collect_all(each)).select(FINDINGS.keys())


def _prepared(events: pl.DataFrame, grace: int) -> pl.DataFrame:
    """The events with what the rules look at beside them."""
    hour_end = pl.col("part").str.extract(r"^Agent\.\d+\.(\d+)\.part-", 1).cast(pl.Int64)
    later = pl.when(~_last).then(_received.cum_min(reverse=True).over("session").shift(-1))
    return events.with_columns(
        _type.cast(pl.String).fill_null("none").alias("_type"),
        (hour_end + grace).alias("_due"),
        later.alias("_later"),
        pl.when(_last).then(_no_logout).backward_fill().alias("_inferred"),
    ).join(_overlaps(events), on="session", how="left", maintain_order="left")


def _overlaps(events: pl.DataFrame) -> pl.DataFrame:
    """The sessions that begin before an earlier one of their agent has ended: by how much (ms), and which one."""
    # An event ahead of now opens no interval, so it does not make its session longer.
    end = END.filter(END.gt(START)).max().fill_null(START.min())
    sessions = events.lazy().group_by("session").agg(pl.col("agent_id", "agentSessionId").first(), START.min(), end)
    reach = END.cum_max().shift().over("agent_id")
    # Which session it is that reaches furthest so far.
    furthest = pl.when(END.gt(reach).fill_null(True)).then("agentSessionId").forward_fill().over("agent_id")
    return (
        sessions.sort("agent_id", "start", "end", "agentSessionId")
        .with_columns((reach - START).alias("_overlap"), furthest.shift().over("agent_id").alias("_other"))
        .filter((pl.col("_overlap") > 0) & pl.col("agent_id").is_not_null())
        .select("session", "_overlap", "_other")
        .collect()
    )
