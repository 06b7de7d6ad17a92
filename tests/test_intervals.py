"""Intervals between events, the windows that clip them, and the buckets they are split into."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import oracle
from oracle import Session, flat
from scenes import DAY, HOUR, MINUTE, T0, event, login, logout
from shiftlog.errors import Invalid, TooLarge
from shiftlog.hours import iso, parse
from shiftlog.intervals import EVERY, INTERVALS, Buckets, buckets, clip, extent, intervals, split


def shown(frame: pl.DataFrame, *names: str) -> list[tuple[Any, ...]]:
    """Start and end after `T0`, and more columns."""
    return frame.select(pl.col("start", "end") - T0, *names).rows()


def one(*events: dict[str, Any], **options: Any) -> pl.DataFrame:
    """The intervals of one closed session."""
    return intervals(flat(Session(list(events))), **options)


# ── from events ──


def test_an_interval_lies_between_two_events():
    """It carries what its first event set; a closed session's last event opens none."""
    found = one(login(T0), event(T0 + 5, state=2, concurrentEng=1, maxConcurrentEng=3), logout(T0 + 9))
    assert shown(found, "state", "concurrency", "maximum", "eventIndex") == [(0, 5, 0, 0, None, 0), (5, 9, 2, 1, 3, 1)]
    assert dict(found.schema) == INTERVALS


def test_intervals_without_length_are_dropped():
    """Of events of one instant, the last one in the session's order holds."""
    found = one(login(T0), event(T0, state=4), event(T0, state=2), logout(T0 + 7))
    assert shown(found, "state", "eventIndex") == [(0, 7, 2, 2)]


def test_the_last_known_maximum_holds():
    """−9, 0 and below, and null are not known; before the first known maximum it is null, in each session anew."""
    session = Session([event(T0 + i, maxConcurrentEng=m) for i, m in enumerate([-9, 3, 0, -1, None, 2, -9, 5])])
    assert intervals(flat(session, session))["maximum"].to_list() == [x for x in (None, 3, 3, 3, 3, 2, 2) for _ in range(2)]


def test_concurrency_is_never_negative():
    """What is below 0 or null counts as no chat; a state that is null is unknown."""
    found = one(event(T0, concurrentEng=-9, state=9), event(T0 + 1, state=None), event(T0 + 2, concurrentEng=2), event(T0 + 3))
    assert found.select("concurrency", "state").rows() == [(0, 9), (0, -1), (2, -1)]


def test_group_profiles_and_origin_are_those_of_the_first_event():
    """The event's id and part are there where the source has them, else null."""
    frame = flat(Session([event(T0, agentGroupID=7, userProfileIDs=[1, 2]), logout(T0 + 1)]))
    assert intervals(frame).select("group_id", "profile_ids", "eventId", "part").rows() == [(7, [1, 2], None, None)]
    full = frame.with_columns(eventId=pl.lit("e"), part=pl.lit("p"))
    assert intervals(full).select("eventId", "part").rows() == [("e", "p")]


def test_intervals_stand_in_order_of_agent_and_time():
    """Whatever order the sessions come in; overlapping sessions stay apart."""
    second = Session([event(T0 + 3, agentID=2), event(T0 + 4, agentID=2)])
    frame = flat(second, Session([event(T0 + 5), event(T0 + 9)]), Session([event(T0 + 1), event(T0 + 7)]))
    assert shown(intervals(frame), "agent_id", "agentSessionId") == [(1, 7, 1, "A-3"), (5, 9, 1, "A-2"), (3, 4, 2, "A-1")]


def test_events_out_of_time_are_taken_in_order_of_time():
    """A file of another make may hold a session's events in any order."""
    assert shown(one(event(T0 + 5, state=2), event(T0, state=3), event(T0 + 9)), "state") == [(0, 5, 3), (5, 9, 2)]


def test_withdrawn_sessions_and_rows_without_time_are_passed_over():
    """A withdrawn session is null from eventIndex on."""
    frame = flat(Session([event(T0), event(None), event(T0 + 4)]), Session([event(None)]))
    frame = frame.with_columns(pl.when(pl.col("agentSessionId") == "A-1").then("eventIndex"))
    assert shown(intervals(frame)) == [(0, 4)]


# ── open sessions ──


def opened(*times: int, **options: Any) -> list[tuple[Any, ...]]:
    return shown(intervals(flat(Session([event(T0 + time) for time in times], open=True)), **options), "open")


def test_an_open_session_ends_now():
    """Its last interval, which no event has ended yet, is marked."""
    assert opened(0, 5, now=T0 + 20) == [(0, 5, False), (5, 20, True)]


def test_an_open_session_ends_with_its_timeout():
    """However late it is."""
    assert opened(0, 5, now=T0 + 90, timeout=10) == [(0, 5, False), (5, 15, True)]


def test_nothing_of_an_open_session_lies_after_now():
    """An event that is ahead of now has not ended anything yet; one exactly now has."""
    assert opened(0, 5, 30, now=T0 + 20) == [(0, 5, False), (5, 20, True)]
    assert opened(0, 5, 20, now=T0 + 20) == [(0, 5, False), (5, 20, False)]
    assert opened(30, now=T0 + 20) == []


def test_open_sessions_need_to_know_what_time_it_is():
    """Without it they are left out, which gives what files alone give."""
    assert opened(0, 5) == []


@settings(max_examples=60, deadline=None)
@given(oracle.streams(T0, 1, 40), st.none() | st.integers(0, 60), st.integers(1, 30))
def test_intervals_equal_the_oracle(sessions: list[Session], now: int | None, timeout: int):
    """On streams with every oddity."""
    at = None if now is None else T0 + now
    frame = intervals(flat(*sessions), now=at, timeout=timeout)
    found = frame.select("agent_id", "start", "end", "state", "concurrency", "maximum", "open", "group_id", "profile_ids").rows()
    every = [
        (session.agent, i.start, i.end, i.state, i.c, i.M, i.open, i.event["agentGroupID"], i.event["userProfileIDs"])
        for session in sessions
        if at is not None or not session.open
        for i in oracle.opened(session, at, timeout)
        if i.end > i.start
    ]
    assert sorted(found, key=str) == sorted(every, key=str)


# ── windows ──


def test_a_window_clips_intervals():
    """What lies outside is dropped; either side may be open."""
    events = [event(T0), event(T0 + 10), event(T0 + 20), event(T0 + 30)]
    assert shown(one(*events, start=T0 + 5, end=T0 + 20)) == [(5, 10), (10, 20)]
    assert shown(one(*events, start=T0 + 20)) == [(20, 30)]
    assert shown(one(*events, end=T0 + 11)) == [(0, 10), (10, 11)]
    assert_frame_equal(clip(one(*events), T0 + 5, None), one(*events, start=T0 + 5))


def test_the_extent_holds_every_interval_and_every_event():
    """It ends after the last event, and there is none of nothing."""
    assert extent(flat(Session([event(T0), logout(T0 + 9)]))) == (T0, T0 + 10)
    assert extent(flat(Session([event(T0)], open=True)), now=T0 + 50) == (T0, T0 + 50)
    assert extent(flat()) is None
    assert extent(flat(Session([event(T0)]))) == (T0, T0 + 1)


# ── buckets ──


def edges(every: str, start: str, end: str, tz: str) -> list[str]:
    """The edges between two local times, as a clock of that zone shows them."""
    return [iso(edge, tz) for edge in buckets(every, parse(start, tz), parse(end, tz), tz).edges]


def test_all_is_the_window_itself():
    """One bucket, wherever it begins."""
    assert buckets("all", T0 + 1, T0 + 5, "Asia/Kolkata").edges.to_list() == [T0 + 1, T0 + 5]


@pytest.mark.parametrize(
    ("tz", "date", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("Asia/Kolkata", "2026-03-29", 24),
    ],
)
def test_days_have_the_hours_that_clocks_show(tz: str, date: str, hours: int):
    """Both changes of 2026, and a zone without."""
    day = buckets("1d", parse(f"{date}T12:00", tz), parse(f"{date}T13:00", tz), tz)
    assert [iso(edge, tz)[11:19] for edge in day.edges] == ["00:00:00", "00:00:00"]
    assert len(buckets("1h", day.edges[0], day.edges[1], tz).edges) - 1 == hours


def test_an_hour_that_clocks_show_twice_is_two_buckets():
    """And one that they leave out is none."""
    autumn = edges("1h", "2026-10-25T01:00", "2026-10-25T04:00", "Europe/Berlin")
    assert [edge[11:] for edge in autumn] == ["01:00:00+02:00", "02:00:00+02:00", "02:00:00+01:00", "03:00:00+01:00", "04:00:00+01:00"]
    spring = edges("1h", "2026-03-08T01:00", "2026-03-08T04:00", "America/New_York")
    assert [edge[11:] for edge in spring] == ["01:00:00-05:00", "03:00:00-04:00", "04:00:00-04:00"]


def test_buckets_begin_in_the_zone_that_was_asked_for():
    """Also where its offset is no whole hour."""
    assert [e[11:] for e in edges("1h", "2026-01-01T10:20", "2026-01-01T11:20", "Asia/Kolkata")] == [
        f"{h}:00:00+05:30" for h in (10, 11, 12)
    ]
    assert edges("30m", "2026-01-01T10:20", "2026-01-01T10:25", "Asia/Kathmandu")[0] == "2026-01-01T10:00:00+05:45"
    assert edges("1d", "2026-01-01T10:20", "2026-01-01T10:25", "Asia/Kathmandu")[0] == "2026-01-01T00:00:00+05:45"


def test_clocks_that_change_by_half_an_hour_begin_a_bucket():
    """Lord Howe Island goes back from 2:00 to 1:30, and on from 2:00 to 2:30."""
    autumn = edges("1h", "2026-04-05T00:30", "2026-04-05T03:00", "Australia/Lord_Howe")
    assert [edge[11:] for edge in autumn] == [
        *("00:00:00+11:00", "01:00:00+11:00", "01:30:00+10:30", "02:00:00+10:30", "03:00:00+10:30"),
    ]
    spring = edges("1h", "2026-10-04T01:00", "2026-10-04T04:00", "Australia/Lord_Howe")
    assert [edge[11:16] for edge in spring] == ["01:00", "02:30", "03:00", "04:00"]


def test_a_day_begins_at_the_first_instant_of_its_date():
    """Where midnight is left out it begins later, where it comes twice at the first, and a date that is left out has no day."""
    assert edges("1d", "2018-11-03T12:00", "2018-11-04T12:00", "America/Sao_Paulo")[1] == "2018-11-04T01:00:00-02:00"
    newfoundland = edges("1d", "2006-10-28T12:00", "2006-10-29T12:00", "America/St_Johns")
    assert newfoundland == ["2006-10-28T00:00:00-02:30", "2006-10-29T00:00:00-02:30", "2006-10-30T00:00:00-03:30"]
    assert [edge[:10] for edge in edges("1d", "2011-12-29T12:00", "2011-12-31T12:00", "Pacific/Apia")] == [
        "2011-12-29",
        "2011-12-31",
        "2012-01-01",
    ]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(
        ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns", "Africa/Casablanca"]
    ),
    st.sampled_from(EVERY),
    st.integers(1_700_000_000_000, 1_800_000_000_000),
    st.integers(1, 40 * DAY),
)
def test_buckets_cover_the_window_without_gap(tz: str, every: str, start: int, length: int):
    """Every instant lies in one bucket, the one whose edges are around it, and no bucket lies outside."""
    found, end = buckets(every, start, start + length, tz), start + length
    at = pl.Series([start, start + length // 2, start + length // 3, end - 1])
    number = found.at(at)
    assert ((found.opening(number) <= at) & (at < found.closing(number))).all()
    assert (found.opening(number) >= start).all()
    assert (found.closing(number) <= end).all()
    assert found.edges[0] <= start < found.edges[1]
    assert found.edges[-2] < end <= found.edges[-1]
    assert all(a < b for a, b in pairwise(found.edges.to_list()))


@pytest.mark.parametrize("every", ["2h", "", "ALL"])
def test_an_unknown_bucket_is_refused(every: str):
    """With the names of those that are known."""
    with pytest.raises(Invalid, match="5m, 15m, 30m, 1h, 1d, all"):
        buckets(every, T0, T0 + HOUR)


@pytest.mark.parametrize("tz", ["Mars/Base", "", "localtime", "../etc/passwd", "Factory"])
def test_an_unknown_zone_is_refused(tz: str):
    """Even where this machine has a file of that name."""
    with pytest.raises(Invalid, match="time zone"):
        buckets("all", T0, T0 + HOUR, tz)


@pytest.mark.parametrize(("start", "end"), [(T0, T0), (T0 + 1, T0), (-(10**15), T0), (T0, 10**18)])
def test_a_window_that_is_none_is_refused(start: int, end: int):
    """Empty, the wrong way round, or beyond the calendar."""
    with pytest.raises(Invalid, match="window"):
        buckets("1h", start, end)


def test_too_many_buckets_are_refused():
    """Before any memory is taken for them."""
    with pytest.raises(TooLarge, match="5m"):
        buckets("5m", 0, T0)


# ── splitting ──


def pieces(into: Buckets, *rows: tuple[int, int]) -> list[tuple[Any, ...]]:
    frame = pl.DataFrame([(T0 + a, T0 + b) for a, b in rows], schema={"start": pl.Int64, "end": pl.Int64}, orient="row")
    return sorted(shown(split(frame, into), "bucket", "begun"))


def test_rows_are_split_at_the_edges_of_buckets():
    """Only the piece in which the row begins is marked so."""
    into = buckets("15m", T0, T0 + HOUR)
    quarter = 15 * MINUTE
    assert pieces(into, (5, quarter), (quarter + 1, 2 * quarter + 1)) == [
        (5, quarter, 0, True),
        (quarter + 1, 2 * quarter, 1, True),
        (2 * quarter, 2 * quarter + 1, 2, False),
    ]


def test_rows_are_clipped_to_the_window_before():
    """What began before it has not begun in it; a row without length stays, unless it lies at the window's end."""
    into = buckets("1h", T0 + 10, T0 + 20)
    assert pieces(into, (0, 15), (15, 30), (0, 10), (20, 30)) == [(10, 15, 0, False), (15, 20, 0, True)]
    assert pieces(into, (10, 10), (9, 9), (20, 20)) == [(10, 10, 0, True)]
