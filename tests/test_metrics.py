"""The numbers: the worked hour to the digit, and everything else against an oracle that walks step by step."""

from __future__ import annotations

import re
from typing import Any
from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import oracle
from oracle import Plan, Session, flat
from scenes import DAY, HOUR, MINUTE, T0, event, login, logout
from shiftlog import kernels
from shiftlog.errors import Invalid, TooLarge
from shiftlog.hours import parse
from shiftlog.metrics import DEFINITIONS, HEADCOUNTS, MEASURES, RATIOS, SCHEDULED, added, measures, metrics, ratios, reads
from worked import DOCS, minute, numbers, table, worked_hour

SUMS = [measure.name for measure in MEASURES if measure.name not in SCHEDULED]
KEY = {"agent": "agent_id", "group": "group_id", "profile": "profile_id"}


# ── the worked hour ──


def test_the_worked_hour_to_the_digit():
    """Every number of section 4 comes out as it stands there."""
    row = metrics(flat(Session(worked_hour())), start=T0, end=T0 + HOUR).row(0, named=True)
    assert {name: row[name] for name in numbers()} == numbers()
    names, values = table(4, "availability")
    for name, text in zip(names, values, strict=True):
        shown = re.fullmatch(r"\d+/\d+ = ([\d.]+)(?: %)?", text)[1]
        assert round(row[name] * (100 if "%" in text else 1), len(shown.partition(".")[2])) == float(shown)


def test_the_rest_of_the_worked_hour():
    """What section 4 does not print: counts, headcounts, and null without a schedule."""
    row = metrics(flat(Session(worked_hour())), start=T0, end=T0 + HOUR + 1).row(0, named=True)
    assert (row["logins"], row["logouts"], row["status_changes"], row["chats_inherited"], row["open_ms"]) == (1, 1, 3, 0, 0)
    row = metrics(flat(Session(worked_hour())), start=T0, end=T0 + HOUR).row(0, named=True)
    assert (row["logins"], row["logouts"]) == (1, 0)  # the logout lies at the window's end, in the next window
    assert (row["staffed"], row["agents_online"], row["slots"], row["agents"]) == (1.0, 50 / 60, 2.5, 1)
    assert (row["chats_per_login_hour"], row["chats_per_online_hour"], row["chat_handle_ms"]) == (4.0, 4.8, 62 * MINUTE / 4)
    assert [row[name] for name in (*SCHEDULED, "adherence", "conformance")] == [None] * 6


def test_the_worked_hour_of_an_open_session():
    """At minute 60, with the logout still to come, the times are the same, and the last five minutes are open."""
    frame = flat(Session(worked_hour()[:-1], open=True))
    closed = measures(flat(Session(worked_hour())), start=T0, end=T0 + HOUR)
    live = measures(frame, start=T0, end=T0 + HOUR, now=T0 + HOUR)
    assert live["open_ms"].item() == 5 * MINUTE
    assert_frame_equal(live.drop("open_ms"), closed.drop("open_ms"))
    assert metrics(frame).is_empty()


def test_an_open_session_ends_when_it_would_time_out():
    """A timeout after its last event, however late it is now."""
    frame = flat(Session([minute(0)], open=True))
    assert measures(frame, now=T0 + 9 * DAY, timeout=HOUR)["login_ms"].item() == HOUR
    assert measures(frame, now=T0 + MINUTE, timeout=HOUR)["open_ms"].item() == MINUTE


# ── the window ──


def test_a_window_left_out_is_that_of_the_data():
    """Whole buckets around it; and for all as one, up to a millisecond after the last event, which counts."""
    frame = flat(Session([minute(10), minute(70), logout(T0 + 2 * HOUR)]))
    whole, hours = measures(frame), measures(frame, every="1h")
    assert whole.select("bucket_ms", "login_ms", "logouts").rows() == [(110 * MINUTE + 1, 110 * MINUTE, 1)]
    assert hours.select("bucket_ms", "login_ms", "logouts").rows() == [(HOUR, 50 * MINUTE, 0), (HOUR, HOUR, 0), (HOUR, 0, 1)]


def test_half_a_window_may_be_left_out():
    """The given side stays as it is; where the data then leaves nothing, there is no row."""
    frame = flat(Session([minute(10), logout(T0 + HOUR)]))
    assert measures(frame, every="1h", start=T0 + 30 * MINUTE)["bucket_ms"].to_list() == [30 * MINUTE, HOUR]
    assert measures(frame, every="1h", end=T0 + 30 * MINUTE)["bucket_ms"].to_list() == [30 * MINUTE]
    assert measures(frame, start=T0 + DAY).is_empty()
    assert measures(frame, end=T0).is_empty()


@pytest.mark.parametrize("by", ["agent", "group", "profile", "account"])
def test_no_data_is_an_empty_frame_of_the_same_columns(by: str):
    """With and without a window."""
    frame, full = flat(), metrics(flat(Session(worked_hour())), by=by, tz="Europe/Berlin")
    for empty in (metrics(frame, by=by, tz="Europe/Berlin"), metrics(frame, by=by, tz="Europe/Berlin", start=T0, end=T0 + 1)):
        assert empty.is_empty()
        assert empty.schema == full.schema


@pytest.mark.parametrize(
    "wrong",
    [{"every": "2h"}, {"by": "team"}, {"tz": "Mars/Base"}, {"start": T0, "end": T0}, {"start": T0, "end": T0 - 1}, {"start": -(10**17)}],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]):
    """An unknown bucket, key or zone, an empty window, a time beyond the calendar."""
    with pytest.raises(Invalid):
        metrics(flat(Session(worked_hour())), **wrong)


def test_too_many_buckets_are_refused():
    """A clock that was wrong by decades does not make millions of rows."""
    with pytest.raises(TooLarge, match="1000000"):
        metrics(flat(Session([event(0), minute(0)])), every="5m")


def test_withdrawn_sessions_and_columns_left_out_change_nothing():
    """A row that is null from eventIndex on is passed over; a lazy frame of wire columns alone is enough."""
    frame = flat(Session(worked_hour()))
    withdrawn = pl.DataFrame({"agentSessionId": ["A-9"], "agentID": [1]}, schema={"agentSessionId": pl.String, "agentID": pl.Int64})
    both = pl.concat([frame, withdrawn], how="diagonal").drop("open").lazy()
    assert_frame_equal(metrics(both), metrics(frame))


@pytest.mark.parametrize("by", ["agent", "group", "profile", "account"])
def test_only_the_columns_that_are_read_are_needed(by: str):
    """So that a source may leave the others out."""
    frame = flat(Session(worked_hour()))
    assert_frame_equal(measures(frame.select(reads(by)), by=by), measures(frame, by=by))


def test_an_agent_without_an_event_in_a_bucket_counts_in_it():
    """Logged in throughout is logged in."""
    frame = flat(Session([minute(0), logout(T0 + 3 * HOUR)]))
    inner = metrics(frame, every="15m", start=T0 + HOUR, end=T0 + 2 * HOUR)
    assert inner["login_ms"].to_list() == [15 * MINUTE] * 4
    assert inner["agents"].to_list() == [1] * 4


def test_a_night_shift_over_midnight_and_month_end():
    """Its hours fall on both days, in the zone that was asked for."""
    start = parse("2026-01-31T22:00", "Europe/Berlin")
    frame = flat(Session([login(start), event(start, state=2), logout(start + 8 * HOUR)]))
    days = metrics(frame, every="1d", tz="Europe/Berlin")
    assert [moment.isoformat() for moment in days["bucket_start"]] == ["2026-01-31T00:00:00+01:00", "2026-02-01T00:00:00+01:00"]
    assert days["online_ms"].to_list() == [2 * HOUR, 6 * HOUR]
    assert days["staffed"].to_list() == [2 / 24, 6 / 24]


def test_profiles_of_an_agent_each_have_a_row():
    """An interval counts once in each of its profiles, and groups are those of the interval's first event."""
    frame = flat(Session([minute(0, userProfileIDs=[5, 6, 6]), minute(20, userProfileIDs=[6], agentGroupID=8), logout(T0 + HOUR)]))
    assert measures(frame, by="profile").select("profile_id", "online_ms").rows() == [(5, 20 * MINUTE), (6, HOUR)]
    assert measures(frame, by="group").select("group_id", "online_ms").rows() == [(None, 0), (7, 20 * MINUTE), (8, 40 * MINUTE)]


# ── against the oracle ──

STEP = 20_000
BY = st.sampled_from(["agent", "group", "profile", "account"])


def keys_of(by: str) -> Any:
    """The keys under which the oracle counts an event."""
    if by == "profile":
        return lambda event: sorted(set(event["userProfileIDs"] or []))
    return lambda event: [{"agent": event["agentID"], "group": event["agentGroupID"], "account": None}[by]]


def rows_of(frame: pl.DataFrame, by: str, names: list[str]) -> dict[Any, Any]:
    """The frame's rows by key and the bucket's beginning (epoch ms), its length with them."""
    key = pl.col(KEY[by]) if by in KEY else pl.lit(None).alias("key")
    plain = frame.select(key, pl.col("bucket_start").dt.epoch("ms"), "bucket_ms", *names)
    return {(row[0], row[1]): (row[2], dict(zip(names, row[3:], strict=True))) for row in plain.rows()}


def check(sessions: list[Session], every: str, by: str, tz: str, start: int, end: int, step: int, now: int | None, timeout: int) -> None:
    """The measures of a window are those of the oracle, row by row, whether a kernel adds them up or Polars."""
    found = measures(flat(*sessions), every=every, by=by, start=start, end=end, tz=tz, now=now, timeout=timeout)
    with patch.object(kernels, "load", lambda: None):
        assert_frame_equal(found, measures(flat(*sessions), every=every, by=by, start=start, end=end, tz=tz, now=now, timeout=timeout))
    bucket = oracle.bucket_of(every, tz)
    bounds = oracle.bucket_bounds(bucket, start, end, step)
    expected = oracle.measure(sessions, start, end, step, bucket, keys_of(by), now, timeout)
    assert rows_of(found, by, [*SUMS, "agents"]) == {
        (key, bounds[name][0]): (bounds[name][1], row) for (key, name), row in expected.items()
    }


@settings(max_examples=80, deadline=None)
@given(oracle.streams(T0, STEP, 180), st.sampled_from(["5m", "15m", "30m", "1h", "all"]), BY, st.data())
def test_measures_equal_the_oracle(sessions: list[Session], every: str, by: str, data: st.DataObject):
    """Whatever is odd in the stream, every measure of every bucket is what walking through it step by step gives."""
    start, end = sorted(data.draw(st.lists(st.integers(-10, 190), min_size=2, max_size=2, unique=True)))
    now = data.draw(st.none() | st.integers(0, 250))
    now = None if now is None else T0 + now * STEP
    check(sessions, every, by, "UTC", T0 + start * STEP, T0 + end * STEP, STEP, now, 30 * STEP)


@settings(max_examples=40, deadline=None)
@given(oracle.streams(T0 + 15 * MINUTE - 60, 1, 120), BY, st.integers(0, 200))
def test_measures_are_exact_to_the_millisecond(sessions: list[Session], by: str, now: int):
    """Around the edge of a bucket, walking in steps of one millisecond."""
    edge = T0 + 15 * MINUTE
    check(sessions, "15m", by, "Asia/Kolkata", edge - 50, edge + 70, 1, edge + now - 50, 40)


CHANGES = [
    ("Europe/Berlin", "2026-03-28T22:00Z"),
    ("Europe/Berlin", "2026-10-24T21:00Z"),
    ("America/New_York", "2026-03-08T04:30Z"),
    ("America/New_York", "2026-11-01T03:00Z"),
    ("Asia/Kolkata", "2026-01-31T12:00Z"),
    ("Asia/Kathmandu", "2026-01-31T12:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T08:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T08:00Z"),
    ("America/St_Johns", "2026-03-08T00:00Z"),
]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CHANGES), st.sampled_from(["30m", "1h", "1d"]), st.data())
def test_measures_equal_the_oracle_where_clocks_change(change: tuple[str, str], every: str, data: st.DataObject):
    """Both changes of 2026, zones off by half and quarter hours, and a change of half an hour."""
    (tz, text), step = change, 5 * MINUTE
    start = parse(text)
    check(data.draw(oracle.streams(start, step, 400)), every, "agent", tz, start, start + 400 * step, step, None, DAY)


@settings(max_examples=60, deadline=None)
@given(oracle.streams(T0, STEP, 180), oracle.plans(T0, STEP, 180), st.sampled_from(["15m", "all"]), st.data())
def test_schedules_equal_the_oracle(sessions: list[Session], plans: list[Plan], every: str, data: st.DataObject):
    """Planned and adherent time by agent, for agents with and without sessions, in parts of the window too."""
    start, end = (T0 + n * STEP for n in sorted(data.draw(st.lists(st.integers(0, 180), min_size=2, max_size=2, unique=True))))
    now = data.draw(st.sampled_from([None, T0 + 100 * STEP]))
    found = measures(flat(*sessions), every=every, start=start, end=end, now=now, timeout=HOUR, schedule=oracle.plan_frame(plans))
    bucket, expected = oracle.bucket_of(every, "UTC"), {}
    bounds = oracle.bucket_bounds(bucket, start, end, STEP)
    for (place, instant), values in oracle.plan_measures(sessions, plans, start, end, STEP, now, HOUR).items():
        row = expected.setdefault((plans[place].agent_id, bounds[bucket(instant)][0]), dict.fromkeys(SCHEDULED, 0))
        row |= {name: row[name] + value for name, value in values.items()}
    got = {key: row for key, (_, row) in rows_of(found, "agent", list(SCHEDULED)).items() if row["scheduled_ms"]}
    assert got == expected
    assert_frame_equal(
        found.filter(pl.col("login_ms") > 0).drop(SCHEDULED),
        measures(flat(*sessions), every=every, start=start, end=end, now=now, timeout=HOUR).filter(pl.col("login_ms") > 0).drop(SCHEDULED),
    )


# ── what must hold of all numbers ──


@settings(max_examples=50, deadline=None)
@given(oracle.streams(T0, STEP, 180), st.sampled_from(["5m", "1h", "all"]), BY)
def test_both_identities_hold_in_every_bucket(sessions: list[Session], every: str, by: str):
    """States add up to login time, chatting and idle to online time, and no ratio of parts to wholes passes 1."""
    rows = metrics(flat(*sessions), every=every, by=by, now=T0 + HOUR, timeout=HOUR)
    states = pl.sum_horizontal("online_ms", "back_soon_ms", "away_ms", "offline_ms", "irrelevant_ms", "unknown_ms")
    chats = pl.col("online_chatting_ms") + pl.col("online_idle_ms")
    assert rows.filter((states != pl.col("login_ms")) | (chats != pl.col("online_ms"))).is_empty()
    assert rows.filter(
        pl.any_horizontal(pl.col("availability", "occupancy", "occupancy_handle", "occupancy_paid", "at_capacity") > 1)
    ).is_empty()


@settings(max_examples=50, deadline=None)
@given(oracle.streams(T0, STEP, 180), BY, st.integers(1, 179))
def test_two_halves_of_a_window_add_up_to_the_whole(sessions: list[Session], by: str, cut: int):
    """Wherever it is cut."""
    frame, end, middle = flat(*sessions), T0 + 180 * STEP, T0 + cut * STEP
    halves = [measures(frame, by=by, start=a, end=b, now=end, timeout=HOUR) for a, b in ((T0, middle), (middle, end))]
    assert_frame_equal(totals(pl.concat(halves), by), totals(measures(frame, by=by, start=T0, end=end, now=end, timeout=HOUR), by))


@settings(max_examples=40, deadline=None)
@given(oracle.streams(T0, STEP, 720), BY, st.sampled_from(["UTC", "Asia/Kolkata", "Asia/Kathmandu"]))
def test_bucket_sizes_agree_with_each_other(sessions: list[Session], by: str, tz: str):
    """However a window is cut into buckets, they add up to the same."""
    frame, end = flat(*sessions), T0 + 720 * STEP + 1
    whole = totals(measures(frame, by=by, start=T0, end=end, tz=tz), by)
    for every in ("5m", "15m", "30m", "1h", "1d"):
        assert_frame_equal(totals(measures(frame, every=every, by=by, start=T0, end=end, tz=tz), by), whole)


def totals(rows: pl.DataFrame, by: str) -> pl.DataFrame:
    """All buckets of a key added up."""
    key = [KEY[by]] if by in KEY else []
    return rows.group_by(*key, pl.lit(0).alias("_")).agg(pl.col(SUMS).sum()).sort(*key, "_")


@settings(max_examples=50, deadline=None)
@given(oracle.streams(T0, STEP, 180), oracle.plans(T0, STEP, 180), BY, st.booleans())
def test_partitions_of_the_agents_add_up_to_all(sessions: list[Session], plans: list[Plan], by: str, planned: bool):
    """Sums computed agent by agent and added are those of all at once, schedule or none."""
    window = {"every": "15m", "by": by, "start": T0, "end": T0 + HOUR, "now": T0 + HOUR, "timeout": HOUR}

    def part(*agents: int) -> pl.DataFrame:
        rows = oracle.plan_frame([plan for plan in plans if plan.agent_id in agents]) if planned else None
        return measures(flat(*(session for session in sessions if session.agent in agents)), schedule=rows, **window)

    whole = part(1, 2, 3, 4)
    assert_frame_equal(added([part(1), part(2), part(3, 4)]), whole)
    assert_frame_equal(ratios(whole), ratios(added([whole])))


# ── schedules ──


def test_adherence_and_conformance_of_a_shift():
    """Late by ten minutes and longer by twenty: adherence falls, conformance passes 1."""
    plan = oracle.plan_frame([Plan(1, T0, T0 + 2 * HOUR, 2), Plan(1, T0 + 2 * HOUR, T0 + 150 * MINUTE, 4)])
    frame = flat(Session([minute(10), logout(T0 + 140 * MINUTE)]))
    row = metrics(frame, schedule=plan, start=T0, end=T0 + 3 * HOUR).row(0, named=True)
    assert (row["scheduled_ms"], row["adherent_ms"]) == (150 * MINUTE, 110 * MINUTE)
    assert (row["scheduled_online_ms"], row["online_in_schedule_ms"]) == (120 * MINUTE, 130 * MINUTE)
    assert (row["adherence"], row["conformance"]) == (110 / 150, 130 / 120)


def test_a_scheduled_agent_without_a_session_has_a_row():
    """Planned work is missed, and a planned day off is kept."""
    plan = oracle.plan_frame([Plan(8, T0, T0 + HOUR, 2), Plan(9, T0, T0 + HOUR, 1)])
    rows = metrics(flat(), every="30m", schedule=plan, start=T0, end=T0 + HOUR)
    assert rows.select("agent_id", "agents", "login_ms", "scheduled_ms", "adherence").rows() == [
        *[(8, 0, 0, 30 * MINUTE, 0.0)] * 2,
        *[(9, 0, 0, 30 * MINUTE, 1.0)] * 2,
    ]


def test_planned_time_belongs_to_the_group_of_the_last_event_before_it():
    """Or else to that of the first event after it, and to none where the agent has no event; the account has it all."""
    events = [
        minute(30, agentGroupID=7),
        minute(40, agentGroupID=8, userProfileIDs=[6]),
        minute(60, agentGroupID=None, userProfileIDs=None),
    ]
    hours = [Plan(1, T0, T0 + HOUR, 2), Plan(1, T0 + HOUR, T0 + 3 * HOUR, 2), Plan(2, T0, T0 + 5 * HOUR, 2)]
    frame, plan, window = flat(Session(events)), oracle.plan_frame(hours), {"start": T0, "end": T0 + DAY}
    groups = measures(frame, by="group", schedule=plan, **window)
    assert dict(groups.select("group_id", "scheduled_ms").rows()) == {None: 5 * HOUR, 7: HOUR, 8: 2 * HOUR}
    profiles = measures(frame, by="profile", schedule=plan, **window)
    assert dict(profiles.select("profile_id", "scheduled_ms").rows()) == {5: HOUR, 6: 3 * HOUR}
    assert measures(frame, by="account", schedule=plan, **window)["scheduled_ms"].item() == 8 * HOUR


def test_time_in_overlapping_sessions_is_adherent_once():
    """A short session within a long one, both as planned, are one stretch of time as planned."""
    long, short = [minute(0), logout(T0 + HOUR)], [minute(10), logout(T0 + 20 * MINUTE)]
    later = [minute(30), logout(T0 + 90 * MINUTE)]
    plan = oracle.plan_frame([Plan(1, T0, T0 + 2 * HOUR, 2)])
    row = measures(flat(Session(long), Session(short), Session(later)), schedule=plan, start=T0, end=T0 + 2 * HOUR).row(0, named=True)
    assert (row["online_ms"], row["adherent_ms"], row["online_in_schedule_ms"]) == (130 * MINUTE, 90 * MINUTE, 90 * MINUTE)


# ── definitions ──


def test_the_definitions_are_those_of_the_documentation():
    """Names, words and what others call them stand in both places, and are the same."""
    documented = {}
    for names, text in table(2, "name")[1:]:
        documented[tuple(re.findall(r"`(\w+)`", names))] = text
    assert [name for names in documented for name in names] == [measure.name for measure in MEASURES]
    for names, text in documented.items():
        assert said_of(names) == text
    assert [(f"`{ratio.name}`", ratio.text, ratio.elsewhere) for ratio in RATIOS[:-2]] == [tuple(row) for row in table(3, "name")[1:]]
    prose = " ".join(DOCS.replace("`", "").split())
    for definition in (*HEADCOUNTS, *RATIOS[-2:], *(DEFINITIONS[name] for name in SCHEDULED)):
        assert re.search(rf"\b{definition.name} (=|is) {re.escape(definition.text)}", prose), definition.name


def said_of(names: tuple[str, ...]) -> str:
    """The words of several measures as the documentation puts them into one line."""
    if names == SCHEDULED:
        return "only with a schedule (section 6); else null"
    texts = [DEFINITIONS[name].text for name in names]
    for common, between in (("Σ length by state ", ", "), ("counts of events: ", "; ")):
        if texts[0].startswith(common):
            return common + between.join(text.removeprefix(common) for text in texts)
    assert len(texts) == 1
    return texts[0]


def test_every_column_has_a_definition():
    """What a row shows beside its key is explained."""
    columns = metrics(flat(Session(worked_hour()))).columns
    assert sorted(columns[3:]) == sorted(DEFINITIONS)
    assert columns[:3] == ["agent_id", "bucket_start", "bucket_ms"]
