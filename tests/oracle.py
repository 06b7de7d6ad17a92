"""The numbers computed step by step in plain Python, which knows nothing of frames, and streams to compare them on."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import strategies as st

from shiftlog.events import FLAT

Event = dict[str, Any]
Row = dict[str, int]
STATES = {2: "online_ms", 3: "back_soon_ms", 4: "away_ms", 1: "offline_ms", 0: "irrelevant_ms"}
TIMES = (
    *("login_ms", *STATES.values(), "unknown_ms", "chatting_ms", "online_chatting_ms", "online_idle_ms", "online_at_max_ms", "chat_ms"),
    *("online_chat_ms", "online_capacity_ms", "online_capacity_chat_ms", "open_ms"),
)
COUNTS = ("chats_started", "logins", "logouts", "status_changes", "chats_inherited")
SCHEDULED = ("scheduled_ms", "adherent_ms", "scheduled_online_ms", "online_in_schedule_ms")


@dataclass(frozen=True)
class Session:
    """One session: its events in order, all of one agent."""

    events: list[Event]
    open: bool = False

    @property
    def agent(self) -> int:
        return self.events[0]["agentID"]


class Interval(NamedTuple):
    """What an event opens: [start, end), and what held in it."""

    event: Event
    start: int
    end: int
    state: int
    c: int
    M: int | None
    open: bool


class Plan(NamedTuple):
    """One row of a schedule."""

    agent_id: int
    start: int
    end: int
    state: int


# ── frames of sessions ──


def flat(*sessions: Session, ids: tuple[str, ...] = ()) -> pl.DataFrame:
    """Sessions as a flat frame with the column `open`; what an event does not say is null, and ids are A-1, A-2, …"""
    rows = []
    for number, session in enumerate(sessions, 1):
        first, last = session.events[0], session.events[-1]
        about = {
            "agentSessionId": ids[number - 1] if ids else f"A-{number}",
            "sessionStartTime": first["timestamp"],
            "sessionEndTime": last["timestamp"] if last["type"] == 4 else None,
            "open": session.open,
        }
        rows += [{**dict.fromkeys(FLAT), **about, "eventIndex": i, **event} for i, event in enumerate(session.events)]
    return pl.DataFrame(rows, schema={**FLAT, "open": pl.Boolean()})


def plan_frame(plans: list[Plan]) -> pl.DataFrame:
    return pl.DataFrame(plans, schema=dict.fromkeys(Plan._fields, pl.Int64), orient="row")


# ── the oracle ──


def opened(session: Session, now: int | None, timeout: int) -> Iterator[Interval]:
    """The interval that each event opens, of length 0 where it opens none."""
    maximum, last = None, len(session.events) - 1
    for i, event in enumerate(session.events):
        if (event["maxConcurrentEng"] or 0) > 0:
            maximum = event["maxConcurrentEng"]
        start, marked = event["timestamp"], False
        end = session.events[i + 1]["timestamp"] if i < last else start
        if session.open:
            end = start + timeout if i == last else end
            marked, end = i == last or end > now, min(end, now)
        state = -1 if event["state"] is None else event["state"]
        yield Interval(event, start, end, state, max(0, event["concurrentEng"] or 0), maximum, marked)


def measure(
    sessions: list[Session],
    start: int,
    end: int,
    step: int,
    bucket: Callable[[int], Hashable],
    keys: Callable[[Event], list[Any]],
    now: int | None,
    timeout: int,
) -> dict[tuple[Any, Hashable], Row]:
    """All measures without a schedule, by (key, bucket), walking through every interval in steps of `step` ms."""
    rows: dict[tuple[Any, Hashable], Row] = {}
    agents: dict[tuple[Any, Hashable], set[int]] = {}
    for session in sessions:
        if session.open and now is None:
            continue
        before = None
        for interval in opened(session, now, timeout):
            places = keys(interval.event)
            if start <= interval.start < end:
                for key in places:
                    row = rows.setdefault((key, bucket(interval.start)), dict.fromkeys((*TIMES, *COUNTS), 0))
                    count(row, interval, before)
            before = interval
            for instant in range(max(interval.start, start), min(interval.end, end), step):
                for key in places:
                    place = (key, bucket(instant))
                    spend(rows.setdefault(place, dict.fromkeys((*TIMES, *COUNTS), 0)), interval, step)
                    agents.setdefault(place, set()).add(session.agent)
    return {place: {**row, "agents": len(agents.get(place, ()))} for place, row in rows.items()}


def count(row: Row, interval: Interval, before: Interval | None) -> None:
    row["logins"] += interval.event["type"] == 3
    row["logouts"] += interval.event["type"] == 4
    row["status_changes"] += before is not None and interval.state != before.state
    row["chats_started"] += max(0, interval.c - (before.c if before else 0))
    row["chats_inherited"] += 0 if before else interval.c


def spend(row: Row, interval: Interval, ms: int) -> None:
    c, maximum, online = interval.c, interval.M, interval.state == 2
    row["login_ms"] += ms
    row[STATES.get(interval.state, "unknown_ms")] += ms
    row["chatting_ms"] += ms * (c >= 1)
    row["chat_ms"] += ms * c
    row["open_ms"] += ms * interval.open
    if online:
        row["online_chatting_ms" if c >= 1 else "online_idle_ms"] += ms
        row["online_chat_ms"] += ms * c
    if online and maximum is not None:
        row["online_at_max_ms"] += ms * (c >= maximum)
        row["online_capacity_ms"] += ms * maximum
        row["online_capacity_chat_ms"] += ms * c


def plan_measures(
    sessions: list[Session], plans: list[Plan], start: int, end: int, step: int, now: int | None, timeout: int
) -> dict[tuple[int, int], Row]:
    """A schedule's measures by (place of the plan, instant), each instant one step long."""
    states: dict[tuple[int, int], set[int]] = {}
    for session in sessions:
        if not session.open or now is not None:
            for interval in opened(session, now, timeout):
                for instant in range(max(interval.start, start), min(interval.end, end), step):
                    states.setdefault((session.agent, instant), set()).add(interval.state)
    rows = {}
    for place, plan in enumerate(plans):
        for instant in range(max(plan.start, start), min(plan.end, end), step):
            actual = states.get((plan.agent_id, instant), {1})  # logged out counts as offline
            values = (1, plan.state in actual, plan.state == 2, 2 in actual)
            rows[place, instant] = {name: step * value for name, value in zip(SCHEDULED, values, strict=True)}
    return rows


# ── buckets ──


def bucket_of(every: str, tz: str) -> Callable[[int], Hashable]:
    """Which bucket an instant lies in, by what a clock on the wall shows: its date, its time, and the offset from UTC."""
    zone, minutes = ZoneInfo(tz), {"5m": 5, "15m": 15, "30m": 30, "1h": 60}.get(every)

    def bucket(instant: int) -> Hashable:
        local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=instant)).astimezone(zone)
        if minutes:
            return local.date(), (local.hour * 60 + local.minute) // minutes, local.utcoffset()
        return local.date() if every == "1d" else "all"

    return bucket


def bucket_bounds(bucket: Callable[[int], Hashable], start: int, end: int, step: int) -> dict[Hashable, tuple[int, int]]:
    """Where each bucket begins within the window, and how long it is there."""
    firsts: dict[Hashable, int] = {}
    for instant in range(start, end, step):
        firsts.setdefault(bucket(instant), instant)
    names, edges = list(firsts), [*firsts.values(), end]
    return {name: (begin, until - begin) for name, (begin, until) in zip(names, pairwise(edges), strict=True)}


# ── streams with every oddity ──


@st.composite
def sessions(draw: st.DrawFn, origin: int, step: int, steps: int) -> Session:
    """A session in [origin, origin + steps · step], all times whole steps: jumps, ties, gaps, odd codes, nulls, no login or logout."""
    times = sorted(draw(st.lists(st.integers(0, steps), min_size=1, max_size=7)))
    agent = draw(st.integers(1, 3))
    events = [draw(odd_events(agent, origin + time * step)) for time in times]
    if draw(st.integers(0, 3)):
        events[0] |= {"type": 3, "state": 0, "maxConcurrentEng": -9}
    if draw(st.integers(0, 3)):
        events[-1] |= {"type": 4, "maxConcurrentEng": -9}
    return Session(events, open=not draw(st.integers(0, 4)))


@st.composite
def odd_events(draw: st.DrawFn, agent: int, timestamp: int) -> Event:
    pick = lambda *values: draw(st.sampled_from(values))  # noqa: E731
    return {
        "agentID": agent,
        "timestamp": timestamp,
        "type": pick(1, 1, 1, 3, 4, -1, 7, None),
        "state": pick(2, 2, 2, 3, 4, 0, 1, -1, 9, None),
        "prevState": pick(2, 0, 3, None, 8),
        "concurrentEng": pick(0, 1, 2, 3, 4, -1, None),
        "prevConcurrentEng": pick(0, 1, 2, -1, None),
        "maxConcurrentEng": pick(3, 2, 1, 3, -9, 0, -1, None),
        "agentGroupID": pick(7, 7, 8, -1, None),
        "userProfileIDs": pick([5], [5, 6], [6, 6], [], None),
    }


def streams(origin: int, step: int, steps: int) -> st.SearchStrategy[list[Session]]:
    """Up to five sessions of three agents, which may overlap."""
    return st.lists(sessions(origin, step, steps), max_size=5)


@st.composite
def plans(draw: st.DrawFn, origin: int, step: int, steps: int) -> list[Plan]:
    """Rows of a schedule; agent 4 has no session, and rows may overlap."""
    times = st.tuples(st.integers(0, steps), st.integers(0, steps)).map(sorted)
    rows = draw(st.lists(st.tuples(st.integers(1, 4), times, st.sampled_from([2, 2, 1, 4])), max_size=5))
    return [Plan(agent, origin + a * step, origin + b * step, state) for agent, (a, b), state in rows if a < b]
