"""Findings: each code in a small scene, all of them against plain Python, and what the login time rests on."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from oracle import Session, flat
from scenes import HOUR, MINUTE, T0, event, login, logout
from shiftlog.names import PartName
from shiftlog.quality import CODES, FINDINGS, NEEDS, Summary, findings, summary


def good(*between: dict[str, Any], **fields: Any) -> Session:
    """A session from T0 for an hour, with these events in it."""
    return Session([login(T0, **fields), *between, logout(T0 + HOUR, **fields)])


def codes(*sessions: Session, **options: Any) -> list[tuple[str, str, int]]:
    """Code, session and event of each finding."""
    return findings(flat(*sessions), **options).select("code", "agentSessionId", "eventIndex").rows()


def detail(*sessions: Session) -> str:
    return str(findings(flat(*sessions))["detail"].item())


def test_a_session_without_fault_has_no_finding():
    """Neither has no session at all; the columns are there."""
    assert codes(good(event(T0 + 5, state=2, prevState=0, concurrentEng=1, prevConcurrentEng=0, maxConcurrentEng=3))) == []
    assert dict(findings(flat()).schema) == FINDINGS


def test_a_missing_login_is_found_at_the_first_event():
    """What it begins with is said."""
    session = Session([event(T0, type=1), logout(T0 + 9)])
    assert codes(session) == [("missing_login", "A-1", 0)]
    assert "begins with type 1" in detail(session)


def test_a_missing_logout_is_found_at_the_last_event():
    """Of a closed session; an open one has still time."""
    events = [login(T0), event(T0 + 9, type=None)]
    assert codes(Session(events)) == [("missing_logout", "A-1", 1)]
    assert codes(Session(events, open=True), now=T0 + 10) == []


def test_overlapping_sessions_are_found_where_the_later_one_begins():
    """It names the one that reaches furthest; sessions that touch, and those of other agents, do not overlap."""
    long, short = good(), Session([login(T0 + 10), logout(T0 + 20)])
    later, touching = Session([login(T0 + 30), logout(T0 + 2 * HOUR)]), Session([login(T0 + 2 * HOUR), logout(T0 + 3 * HOUR)])
    other = good(agentID=2)
    assert codes(later, long, touching, short, other) == [("overlapping_sessions", "A-4", 0), ("overlapping_sessions", "A-1", 0)]
    assert f"{HOUR - 30} ms before session A-2" in findings(flat(later, long, short))["detail"][1]
    last = Session([login(T0 + HOUR + 1), logout(T0 + HOUR + 2)])
    assert f"{HOUR - 1} ms before session A-1" in findings(flat(later, long, last))["detail"][1]


def test_an_open_session_overlaps_up_to_now():
    """It has not ended."""
    assert codes(Session([login(T0)], open=True), Session([login(T0 + 5), logout(T0 + 6)]), now=T0 + 9)[0][0] == "overlapping_sessions"


def test_a_state_jump_is_a_prevState_that_was_not_the_state():
    """A first event, and a prevState that is null, say nothing."""
    session = good(event(T0 + 1, state=2, prevState=4), event(T0 + 2, state=3), event(T0 + 3, state=3, prevState=3), prevState=None)
    assert codes(session) == [("state_jump", "A-1", 1)]
    assert detail(session) == "prevState is 4, the state before is 0"


def test_a_concurrency_jump_is_a_prevConcurrentEng_that_was_not_the_concurrency():
    """Below 0 is 0 on both sides."""
    session = good(event(T0 + 1, concurrentEng=2, prevConcurrentEng=-9), event(T0 + 2, concurrentEng=1, prevConcurrentEng=1))
    assert codes(session) == [("concurrency_jump", "A-1", 2)]
    assert detail(session) == "prevConcurrentEng is 1, the concurrency before is 2"


def test_over_capacity_is_against_the_maximum_known_at_the_event():
    """As many as the maximum are not over it, and an unknown maximum is none."""
    session = good(*(event(T0 + i, concurrentEng=c, maxConcurrentEng=m) for i, c, m in [(1, 9, -9), (2, 3, 3), (3, 4, 0)]))
    assert codes(session) == [("over_capacity", "A-1", 3)]
    assert detail(session) == "4 chats, the maximum is 3"


def test_an_unknown_code_is_one_that_is_not_listed():
    """−1 is listed, and null is no code."""
    session = good(event(T0 + 1, type=2), event(T0 + 2, state=5), event(T0 + 3, state=-1, type=-1), event(T0 + 4, prevState=7, state=None))
    assert [finding for finding in codes(session) if finding[0] == "unknown_code"] == [("unknown_code", "A-1", i) for i in (1, 2, 4)]


# ── what only shiftlog's own files tell ──


def twin(session: Session, received: list[int], repeats: int = 0, revision: int = 1) -> pl.DataFrame:
    """A session as published under the hour from T0, its events received at these times after T0."""
    return flat(session).with_columns(
        pl.Series("receivedAt", received) + T0,
        pl.int_range(pl.len()).cast(pl.String).alias("eventId"),
        repeats=pl.lit(repeats, pl.Int32),
        revision=pl.lit(revision, pl.Int32),
        part=pl.lit(str(PartName(T0, T0 + HOUR, 0, revision))),
    )


def test_dropped_repeats_are_one_finding_an_event():
    """It says how many, and names the event and its part."""
    frame = twin(Session([login(T0), logout(T0 + 1)]), [2, 2], repeats=3)
    assert findings(frame).select("code", "eventId", "eventIndex", "timestamp", "part", "detail").rows() == [
        ("duplicate_event", str(i), i, T0 + i, f"Agent.{T0}.{T0 + HOUR}.part-00000-1", "3 repeats were dropped") for i in (0, 1)
    ]


def test_a_clock_is_ahead_where_an_event_is_older_than_its_arrival():
    """Arrival in the same millisecond is in time."""
    frame = twin(Session([login(T0), event(T0 + 5), logout(T0 + 9)]), [0, 2, 9])
    assert findings(frame).select("code", "eventIndex", "detail").rows() == [("clock_ahead", 1, f"3 ms after its arrival at {T0 + 2}")]


DUE = HOUR + 5 * MINUTE


@pytest.mark.parametrize(
    ("received", "revision", "found"),
    [
        ([0, DUE, 10], 1, [1]),  # late, and the logout after it was there in time
        ([0, DUE, 10], 0, []),  # published once only, so it was in time
        ([0, DUE - 1, 10], 1, []),  # before its hour was due
        ([0, 10, DUE], 1, []),  # nothing after it
        ([0, DUE, DUE], 1, []),  # what follows it came late itself
        ([DUE, DUE + 9, 10], 2, [0, 1]),
    ],
)
def test_an_event_is_out_of_order_when_a_later_one_was_published_before_it_came(received: list[int], revision: int, found: list[int]):
    """As far as the arrivals, the revision and the hour in the part's name tell."""
    frame = twin(Session([login(T0), event(T0 + 5), logout(T0 + 9)]), received, revision=revision)
    assert findings(frame).filter(pl.col("code") == "out_of_order")["eventIndex"].to_list() == found


def test_what_a_bare_file_does_not_tell_is_unavailable():
    """Null is not 0: the columns are not there, or hold nothing."""
    frame = flat(good())
    unavailable = {code: None if code in NEEDS else 0 for code in CODES}
    assert summary(frame).counts == unavailable
    empty = frame.with_columns(
        pl.lit(None, t).alias(n) for n, t in (("receivedAt", pl.Int64), ("repeats", pl.Int32), ("revision", pl.Int32))
    )
    assert summary(empty.with_columns(part=pl.lit("p"))).counts == unavailable
    assert summary(twin(good(), [0, HOUR])).counts == dict.fromkeys(CODES, 0)


# ── the window, and all together ──


def test_a_window_holds_the_findings_of_its_events():
    """An event exactly at its end belongs to the next."""
    session = Session([event(T0), event(T0 + 9)])
    assert codes(session, start=T0, end=T0 + 9) == [("missing_login", "A-1", 0)]
    assert codes(session, start=T0 + 1) == [("missing_logout", "A-1", 1)]
    assert summary(flat(session), start=T0, end=T0 + 9).counts["missing_logout"] == 0


def test_login_time_is_observed_inferred_or_open():
    """The three parts add up to it, within the window."""
    inferred, running = Session([login(T0, agentID=2), event(T0 + HOUR, agentID=2)]), Session([login(T0, agentID=3)], open=True)
    found = summary(flat(good(), inferred, running), start=T0, end=T0 + 30 * MINUTE, now=T0 + 20 * MINUTE)
    assert (found.login_ms, found.observed_ms, found.inferred_ms, found.open_ms) == tuple(n * MINUTE for n in (80, 30, 30, 20))
    assert found.shares() == {"observed": 30 / 80, "inferred": 30 / 80, "open": 20 / 80}


def test_shares_of_nothing_are_null():
    """No login time, no share."""
    assert summary(flat()).shares() == {"observed": None, "inferred": None, "open": None}


def plain(sessions: list[Session], now: int, timeout: int) -> Counter[str]:
    """How many findings of each code that wire fields tell, event by event."""
    found: Counter[str] = Counter()
    for session in sessions:
        before, intervals = None, list(oracle.opened(session, now, timeout))
        found["missing_login"] += session.events[0]["type"] != 3
        found["missing_logout"] += not session.open and session.events[-1]["type"] != 4
        for interval in intervals:
            sent = interval.event
            if before:
                found["state_jump"] += sent["prevState"] not in (None, before.state)
                found["concurrency_jump"] += sent["prevConcurrentEng"] is not None and max(0, sent["prevConcurrentEng"]) != before.c
            found["over_capacity"] += interval.M is not None and interval.c > interval.M
            states = {sent["state"], sent["prevState"]} - {None, -1, 0, 1, 2, 3, 4}
            found["unknown_code"] += bool(states) or sent["type"] not in (None, -1, 1, 3, 4)
            before = interval
    bounds = sorted(
        (s.agent, first := s.events[0]["timestamp"], max(first, *(i.end for i in oracle.opened(s, now, timeout)))) for s in sessions
    )
    for i, (agent, start, _) in enumerate(bounds):
        found["overlapping_sessions"] += any(a == agent and end > start for a, _, end in bounds[:i])
    return found


@settings(max_examples=80, deadline=None)
@given(oracle.streams(T0, 1, 40), st.integers(0, 60), st.integers(1, 30))
def test_counts_equal_those_of_plain_python(sessions: list[Session], now: int, timeout: int):
    """On streams with every oddity; summaries of single agents add up to that of all."""
    options = {"now": T0 + now, "timeout": timeout}
    whole = summary(flat(*sessions), **options)
    assert {code: count for code, count in whole.counts.items() if count is not None} == {
        code: plain(sessions, T0 + now, timeout)[code] for code in CODES if code not in NEEDS
    }
    parts = [summary(flat(*(s for s in sessions if s.agent == agent)), **options) for agent in (1, 2, 3)]
    assert parts[0] + parts[1] + parts[2] == whole
    assert isinstance(whole, Summary)
