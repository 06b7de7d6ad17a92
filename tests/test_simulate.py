"""The simulated contact centre: its events against its truth, and its truth against the rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from shiftlog import events
from shiftlog.errors import Invalid
from shiftlog.events import NDJSON, NO_MAXIMUM, SENT, AgentState, EventType
from shiftlog.hours import DAY, HOUR, MINUTE, SECOND, parse
from shiftlog.simulate import CHATS, SESSIONS, STATES, Centre, Simulation, simulate, to_ndjson

MONDAY = parse("2026-03-02")
LOGIN, LOGOUT = pl.col("type") == EventType.LOGIN, pl.col("type") == EventType.LOGOUT
TIES = ["agentID", "timestamp"]


def scene(**options: Any) -> Simulation:
    """Forty agents, Monday to Wednesday, unless asked otherwise."""
    return simulate(options.pop("account", "acme"), **{"agents": 40, "days": 3, "start": MONDAY, "seed": 1, **options})


@pytest.fixture(scope="module")
def centre() -> Simulation:
    """A fortnight in which a third of the logouts never comes; it takes two blocks to make."""
    return scene(agents=150, days=14, no_logout=0.3)


def of_sessions(simulation: Simulation) -> pl.DataFrame:
    """The events with the number of the session in which they happened, by the truth's times."""
    sessions = simulation.truth().sessions.select("agentID", "session", "start", "end").sort("start")
    return simulation.events.join_asof(sessions, left_on="timestamp", right_on="start", by="agentID", check_sortedness=False)


# ── determinism ──


def test_same_seed_same_bytes() -> None:
    """Equal arguments give equal events, arrivals and truth, to the byte."""
    one, two = (scene(late=0.1, repeat=0.1) for _ in range(2))
    assert to_ndjson(one.events) == to_ndjson(two.events)
    assert_frame_equal(one.arrivals(), two.arrivals())
    assert_frame_equal(one.truth().sessions, two.truth().sessions)


@pytest.mark.parametrize("other", [{"seed": 2}, {"account": "other"}])
def test_other_seed_or_account_other_bytes(other: dict[str, Any]) -> None:
    """Another seed, or another account, is another centre."""
    assert to_ndjson(scene(**other).events) != to_ndjson(scene().events)


def test_a_seed_gives_the_same_everywhere() -> None:
    """What a seed gives does not depend on machine or process, so that figures measured with it can be measured again."""
    events = simulate("acme", agents=3, days=1, start=MONDAY, seed=7).events
    assert (events.height, events["timestamp"][0], events["timestamp"].sum()) == (816, 1772441698828, 1446329554730307)


def test_blocks_joined_are_the_whole() -> None:
    """Events, truth and arrivals that are made piece by piece are those that are made at once."""
    options = {"agents": 700, "days": 5, "start": MONDAY, "seed": 3, "late": 0.1, "repeat": 0.05}
    blocks, whole = list(Centre("acme", **options).blocks()), simulate("acme", **options)
    assert len(blocks) > 2
    assert_frame_equal(pl.concat(b.events for b in blocks), whole.events)
    assert_frame_equal(pl.concat(b.truth().sessions for b in blocks), whole.truth().sessions)
    assert_frame_equal(pl.concat(Centre("acme", **options).arrivals()), whole.arrivals())


def test_arrivals_come_in_pieces_of_bounded_size() -> None:
    """A long simulation is never held as a whole: no piece is much larger than a block."""
    pieces = [piece.height for piece in Centre("acme", 700, 8, MONDAY, 3, late=0.1).arrivals()]
    assert len(pieces) == 4
    assert max(pieces) < sum(pieces) / 2


# ── the frames ──


def test_frames_have_the_promised_columns(centre: Simulation) -> None:
    """Events have the columns a producer sends, arrivals the time as well, the truth its own."""
    truth = centre.truth()
    assert centre.events.schema == SENT
    assert centre.arrivals().schema == {**SENT, "arrivesAt": pl.Int64}
    assert [truth.sessions.schema, truth.states.schema, truth.chats.schema] == [SESSIONS, STATES, CHATS]


def test_every_field_is_filled(centre: Simulation) -> None:
    """Only the sessionId, which was not asked for, is null."""
    assert centre.events.drop("sessionId").null_count().sum_horizontal().item() == 0
    assert centre.events["sessionId"].null_count() == centre.events.height


def test_events_are_in_true_order(centre: Simulation) -> None:
    """Events are in order of (timestamp, agentID, sequence), across blocks too."""
    assert_frame_equal(centre.events, centre.events.sort("timestamp", "agentID", "sequence"))


def test_sequence_and_event_id_number_an_agents_events(centre: Simulation) -> None:
    """The sequence counts an agent's events from 1 without a gap, and with the agentID makes the unique eventId."""
    counted = centre.events.with_columns(pl.int_range(1, pl.len() + 1).over("agentID").alias("counted"))
    assert counted["sequence"].equals(counted["counted"])
    assert counted["eventId"].equals(counted.select(pl.format("{}-{}", "agentID", "sequence")).to_series())
    assert counted["eventId"].n_unique() == counted.height


def test_a_millisecond_can_hold_several_events_of_an_agent(centre: Simulation) -> None:
    """Ties in time do occur, a login and its Online among them, and only the sequence orders them."""
    tied = centre.events.filter(pl.struct(TIES).is_duplicated())
    assert tied.filter(LOGIN).height > 100


# ── events against the truth ──


def test_concurrency_is_the_number_of_chats_in_hand(centre: Simulation) -> None:
    """After an agent's last event of a millisecond, concurrentEng is the number of chats that have begun and not ended."""
    last = centre.events.unique(TIES, keep="last", maintain_order=True)
    begun, ended = (counted_until(last, centre.truth().chats, edge) for edge in ("start", "end"))
    assert (begun - ended).equals(last["concurrentEng"], check_names=False)


def counted_until(rows: pl.DataFrame, chats: pl.DataFrame, edge: str) -> pl.Series:
    """How many of the agent's chats have passed this edge at each row's timestamp."""
    counted = chats.sort(edge).with_columns((pl.int_range(pl.len()) + 1).over("agentID").alias("count"))
    joined = rows.join_asof(counted, left_on="timestamp", right_on=edge, by="agentID", check_sortedness=False)
    return joined["count"].fill_null(0)


def test_every_chat_has_its_two_events(centre: Simulation) -> None:
    """The times at which concurrency rises are the chats' starts, and those at which it falls their ends."""
    delta, chats = pl.col("concurrentEng") - pl.col("prevConcurrentEng"), centre.truth().chats
    for step, edge in ((1, "start"), (-1, "end")):
        seen = centre.events.filter(delta == step).select("agentID", "timestamp").sort(TIES)
        assert_frame_equal(seen, chats.select("agentID", pl.col(edge).alias("timestamp")).sort(TIES))


def test_concurrency_never_exceeds_capacity(centre: Simulation) -> None:
    """No event, between login and logout, has more chats than the agent can take; capacities from 1 to 6 occur."""
    between = centre.events.filter(~LOGIN & ~LOGOUT)
    assert between.filter(pl.col("concurrentEng") > pl.col("maxConcurrentEng")).is_empty()
    assert sorted(between["maxConcurrentEng"].unique()) == [1, 2, 3, 4, 5, 6]
    assert between.filter(pl.col("concurrentEng") == pl.col("maxConcurrentEng")).height > 1000


def test_chats_start_only_online_and_may_end_away(centre: Simulation) -> None:
    """Every chat starts while its agent is Online; some end in a break or after the shift."""
    states = centre.truth().states.sort("start").rename({"start": "since", "end": "until"})
    for edge, allowed in (("start", {AgentState.ONLINE}), ("end", set(AgentState) - {AgentState.UNKNOWN, AgentState.IRRELEVANT})):
        chats = centre.truth().chats.sort(edge)
        at = chats.join_asof(states, left_on=edge, right_on="since", by="session", check_sortedness=False)
        assert set(at["state"].unique()) == allowed


def test_chats_start_in_the_state_that_the_event_says(centre: Simulation) -> None:
    """An event that raises the concurrency has the state Online."""
    risen = centre.events.filter(pl.col("concurrentEng") > pl.col("prevConcurrentEng"))
    assert risen["state"].unique().to_list() == [AgentState.ONLINE]


def test_previous_fields_chain(centre: Simulation) -> None:
    """Between two logins, prevState and prevConcurrentEng are what the agent's event before had."""
    rows = centre.events.sort("agentID", "sequence").with_columns(
        pl.col("state", "concurrentEng").shift().over("agentID").name.suffix("_before"),
    )
    later = rows.filter(~LOGIN)
    assert later["prevState"].equals(later["state_before"])
    assert later["prevConcurrentEng"].equals(later["concurrentEng_before"])


def test_logins_and_logouts_are_as_in_the_seed(centre: Simulation) -> None:
    """A login sets state 0 after Offline, a logout Offline; both have no chats in hand and −9 for the maximum."""
    fields = ["type", "state", "concurrentEng", "maxConcurrentEng"]
    found = centre.events.filter(LOGIN | LOGOUT).select(fields).unique().sort("type")
    assert found.rows() == [(EventType.LOGIN, 0, 0, NO_MAXIMUM), (EventType.LOGOUT, AgentState.OFFLINE, 0, NO_MAXIMUM)]
    assert centre.events.filter(LOGIN).select("prevState", "prevConcurrentEng").unique().rows() == [(AgentState.OFFLINE, 0)]


def test_sessions_hold_all_events_of_their_time(centre: Simulation) -> None:
    """Each session begins with a login, holds as many events as the truth says, and ends with a logout where it has an endTime."""
    found = (
        of_sessions(centre)
        .group_by("session")
        .agg(
            pl.len().cast(pl.Int64).alias("events"),
            pl.col("timestamp").first().alias("start"),
            pl.col("timestamp").last().alias("end"),
            pl.col("timestamp").filter(LOGOUT).last().alias("endTime"),
            LOGIN.first().alias("begins with login"),
            LOGIN.sum().alias("logins"),
        )
        .sort("session")
    )
    truth = centre.truth().sessions.sort("session")
    assert found["begins with login"].all()
    assert found["logins"].unique().to_list() == [1]
    assert_frame_equal(
        found.select("session", "events", "start", "end", "endTime"), truth.select("session", "events", "start", "end", "endTime")
    )


def test_time_in_states_adds_up_to_the_session(centre: Simulation) -> None:
    """The stretches of a session follow each other without a gap, and their sums by state add up to its length."""
    truth = centre.truth()
    total = pl.sum_horizontal("irrelevant_ms", "offline_ms", "online_ms", "back_soon_ms", "away_ms")
    assert truth.sessions.filter(total != pl.col("end") - pl.col("start")).is_empty()
    assert truth.states.filter(pl.col("start") != pl.col("end").shift().over("session")).is_empty()
    assert truth.sessions.select(pl.col("^.*_ms$").sum() > 0).row(0) == (True,) * 6


def test_time_in_states_is_what_the_events_say(centre: Simulation) -> None:
    """The time from each event to the next, summed by its state, is the truth's."""
    until = pl.col("timestamp").shift(-1).over("session")
    seen = of_sessions(centre).with_columns((until - pl.col("timestamp")).alias("ms")).group_by("session", "state").agg(pl.sum("ms"))
    known = centre.truth().states.group_by("session", "state").agg((pl.col("end") - pl.col("start")).sum().alias("ms"))
    assert_frame_equal(seen.filter(pl.col("ms") > 0), known, check_row_order=False)


def test_chats_of_a_session_are_counted_and_summed(centre: Simulation) -> None:
    """`chats` and `chat_ms` of a session are the number and the total length of its chats."""
    length = pl.col("end") - pl.col("start")
    counted = centre.truth().chats.group_by("session").agg(pl.len().cast(pl.Int64).alias("chats"), length.sum().alias("chat_ms"))
    sessions = centre.truth().sessions.filter(pl.col("chats") > 0).select("session", "chats", "chat_ms")
    assert_frame_equal(counted, sessions, check_row_order=False)


# ── when sessions close ──


def cut(rows: list[tuple[int, int, int]], timeout: int) -> Iterator[tuple[int, int, int | None, int]]:
    """Sessions by the rule, told as a story: (start, end, endTime, closedAt) of one agent's events (timestamp, sequence, type)."""
    start, last, kind = rows[0][0], rows[0][0], rows[0][2]
    for time, _, now in [*rows[1:], (None, 0, EventType.LOGIN)]:
        closed = None
        if kind == EventType.LOGOUT:
            closed = last
        elif time is None or time - last >= timeout:
            closed = last + timeout
        elif now == EventType.LOGIN:
            closed = time
        if closed is not None:
            yield start, last, last if kind == EventType.LOGOUT else None, closed
            start = time
        last, kind = time, now


@pytest.mark.parametrize("timeout", [12 * HOUR, DAY, 3 * DAY])
def test_truth_follows_from_the_rule_of_sessions(centre: Simulation, timeout: int) -> None:
    """Cutting each agent's events by hand, by login, logout and time-out, gives the truth's sessions."""
    truth = centre.truth(timeout).sessions
    for (agent,), rows in centre.events.select("agentID", "timestamp", "sequence", "type").group_by("agentID"):
        known = truth.filter(pl.col("agentID") == agent).sort("start").select("start", "end", "endTime", "closedAt").rows()
        assert list(cut(sorted(rows.drop("agentID").rows()), timeout)) == known


def test_sessions_close_in_all_three_ways(centre: Simulation) -> None:
    """A fortnight has sessions that were closed by logout, by the next login, and by time-out."""
    ways = centre.truth().sessions.select(
        logout=pl.col("endTime").is_not_null(),
        login=pl.col("endTime").is_null() & (pl.col("closedAt") < pl.col("end") + DAY),
        timeout=pl.col("endTime").is_null() & (pl.col("closedAt") == pl.col("end") + DAY),
    )
    assert ways.sum().row(0) > (10, 10, 10)
    assert ways.sum_horizontal().unique().to_list() == [1]


def test_session_ids_name_sessions_and_only_time_closes_them() -> None:
    """With session ids every event bears its session's, valid and not of the derived form; another session's login closes nothing."""
    simulation = scene(days=7, no_logout=0.5, session_ids=True)
    truth = simulation.truth().sessions
    joined = of_sessions(simulation).join(truth.select("session", pl.col("sessionId").alias("true")), on="session")
    assert joined["sessionId"].equals(joined["true"], check_names=False)
    assert truth["sessionId"].n_unique() == truth.height
    assert not any(map(events.derived, truth["sessionId"]))
    assert truth.filter(pl.col("endTime").is_null() & (pl.col("closedAt") != pl.col("end") + DAY)).is_empty()


def test_short_time_out_is_refused(centre: Simulation) -> None:
    """The truth is not known for a time-out that could cut a quiet session in two."""
    with pytest.raises(Invalid, match="12 hours"):
        centre.truth(HOUR)


# ── rates ──


def test_late_events_arrive_hours_later() -> None:
    """The asked share of events arrives 1 to 30 hours late, all others within 5 seconds, and arrivals are in order of arrival."""
    arrivals = scene(late=0.2).arrivals()
    delay = arrivals["arrivesAt"] - arrivals["timestamp"]
    late = delay.filter(delay >= HOUR)
    assert late.len() / arrivals.height == pytest.approx(0.2, abs=0.02)
    assert late.max() < 30 * HOUR
    assert delay.filter(delay < HOUR).is_between(1, 5 * SECOND).all()
    assert arrivals["arrivesAt"].is_sorted()


def test_repeats_are_exact_and_come_later() -> None:
    """The asked share of events comes once more, the same in every field, after the first."""
    simulation = scene(repeat=0.1)
    arrivals, count = simulation.arrivals(), simulation.events.height
    assert (arrivals.height - count) / count == pytest.approx(0.1, abs=0.01)
    assert arrivals.select(SENT.keys()).unique().height == count
    apart = (
        arrivals.group_by("eventId")
        .agg(pl.len(), (pl.col("arrivesAt").max() - pl.col("arrivesAt").min()).alias("ms"))
        .filter(pl.col("len") > 1)
    )
    assert apart["len"].unique().to_list() == [2]
    assert apart["ms"].is_between(SECOND, 2 * HOUR).all()


@pytest.mark.parametrize("rate", [0.0, 0.4, 1.0])
def test_logouts_that_never_come(rate: float) -> None:
    """The asked share of sessions has no logout."""
    sessions = scene(agents=300, no_logout=rate).truth().sessions
    assert sessions["endTime"].null_count() / sessions.height == pytest.approx(rate, abs=0.05)


def test_rates_do_not_change_what_agents_do() -> None:
    """Late, repeated or missing events, and session ids, leave the chats as they are; the way of events leaves the events."""
    plain, disturbed, other = scene(), scene(late=0.5, repeat=0.5), scene(no_logout=0.9, session_ids=True)
    assert_frame_equal(plain.events, disturbed.events)
    assert_frame_equal(plain.truth().chats, other.truth().chats)


# ── what the centre is like ──


def test_shifts_are_of_a_human_length(centre: Simulation) -> None:
    """Sessions are 4 to 12 hours long, and an agent's follow each other without overlap."""
    sessions = centre.truth().sessions.sort("agentID", "start")
    assert (sessions["end"] - sessions["start"]).is_between(4 * HOUR, 12 * HOUR).all()
    assert sessions.filter(pl.col("start") <= pl.col("end").shift().over("agentID")).is_empty()


def test_night_shifts_run_over_midnight(centre: Simulation) -> None:
    """Some sessions begin on one day and end on the next, with chats on both."""
    over = centre.truth().sessions.filter(pl.col("start") // DAY < pl.col("end") // DAY)
    assert over.height > 30
    assert over["chats"].min() > 0


def test_agents_have_two_days_off(centre: Simulation) -> None:
    """Nobody works more than five days of a week, and at the weekend fewer work."""
    day = ((pl.col("start") + 15 * MINUTE - MONDAY) // DAY).alias("day")
    worked = centre.truth().sessions.select("agentID", day).unique()
    assert worked.group_by("agentID", pl.col("day") // 7).len()["len"].max() == 5
    weekend = worked.filter(pl.col("day") % 7 >= 5).height / 4
    assert weekend < 0.75 * worked.filter(pl.col("day") % 7 < 5).height / 10


def test_chats_follow_the_curve_of_the_day_and_the_week() -> None:
    """A minute Online brings more chats at noon than at night, and on Tuesday than on Sunday."""
    chats, online = (frame.with_columns(hour=(pl.col("start") - MONDAY) // HOUR) for frame in talks_and_time())
    noon, night = pl.col("hour") % 24 == 11, pl.col("hour") % 24 == 3
    tuesday, sunday = pl.col("hour") // 24 == 1, pl.col("hour") // 24 == 6
    assert rate(chats, online, noon & tuesday) > 2 * rate(chats, online, night & tuesday)
    assert rate(chats, online, noon & tuesday) > 1.2 * rate(chats, online, noon & sunday)


def talks_and_time() -> tuple[pl.DataFrame, pl.DataFrame]:
    """The chats of a week, and its Online time in pieces of a minute."""
    truth = scene(agents=150, days=7).truth()
    online = truth.states.filter(pl.col("state") == AgentState.ONLINE)
    return truth.chats, online.select(pl.int_ranges("start", "end", MINUTE).explode().alias("start"))


def rate(chats: pl.DataFrame, online: pl.DataFrame, when: pl.Expr) -> float:
    """Chats a minute that an agent is Online."""
    return chats.filter(when).height / online.filter(when).height


def test_typical_day_has_a_typical_size() -> None:
    """250 agents on a Monday are some 30 000 to 60 000 events, of some 400 bytes each."""
    events = scene(agents=250, days=1).events
    assert 30_000 < events.height < 60_000
    assert 380 < len(to_ndjson(events)) / events.height < 480


def test_weekday_is_that_of_the_centres_own_midnight() -> None:
    """The same local Monday in three zones has the same shifts and chats, moved by the offset."""
    here, east, west = (scene(start=parse(f"2026-03-02T00:00{zone}")) for zone in ("Z", "+11:00", "-10:00"))
    for other in (east, west):
        moved = (other.events["timestamp"] - here.events["timestamp"]).unique()
        assert moved.to_list() == [other.truth().sessions["start"][0] - here.truth().sessions["start"][0]]


def test_a_million_events() -> None:
    """A million events come without effort, as rich as a day's."""
    count = sum(block.events.height for block in Centre("acme", 280, 28, MONDAY, 5).blocks())
    assert count > 1_000_000


# ── as text ──


@pytest.mark.parametrize("session_ids", [False, True])
def test_strict_parser_takes_the_text(session_ids: bool) -> None:
    """The NDJSON of events and of arrivals is taken by the strict parser, and gives the same frame."""
    simulation = scene(days=1, session_ids=session_ids, late=0.1, repeat=0.1)
    for frame in (simulation.events, simulation.arrivals().select(SENT.keys())):
        parsed = events.parse(to_ndjson(frame), NDJSON, account="acme", now=MONDAY + 5 * DAY)
        assert_frame_equal(parsed, frame)


def test_text_leaves_out_what_no_event_has() -> None:
    """Without session ids no line speaks of them; a column that is not a producer's is not written."""
    assert b"sessionId" not in to_ndjson(scene().arrivals())
    assert b"arrivesAt" not in to_ndjson(scene(session_ids=True).arrivals())


# ── at the edges ──


@settings(max_examples=60, deadline=None)
@given(agents=st.integers(1, 6), days=st.integers(1, 4), seed=st.integers(0, 2**63), session_ids=st.booleans())
def test_the_smallest_centres_hold_together(agents: int, days: int, seed: int, session_ids: bool) -> None:
    """Events, arrivals and truth of any centre agree in number, even where nobody works."""
    simulation = simulate("a", agents=agents, days=days, start=MONDAY, seed=seed, session_ids=session_ids)
    truth = simulation.truth()
    assert simulation.events.schema == SENT
    assert truth.sessions.schema == SESSIONS
    assert simulation.events.height == simulation.arrivals().height == truth.sessions["events"].sum()
    assert truth.chats.height == truth.sessions["chats"].sum()
    assert to_ndjson(simulation.events).count(b"\n") == simulation.events.height


@pytest.mark.parametrize(
    ("field", "value"),
    [("agents", 0), ("days", 0), ("start", 1_772_409_600), ("seed", -1), ("late", 1.5), ("repeat", -0.1), ("no_logout", float("nan"))],
)
def test_values_that_make_no_centre_are_refused(field: str, value: float) -> None:
    """The message names the value, what was found and what is needed."""
    with pytest.raises(Invalid, match=f"{field} is {value}"):
        scene(**{field: value})


def test_account_is_checked() -> None:
    """An account's name is of letters, digits and underscores."""
    with pytest.raises(Invalid, match="not an account"):
        scene(account="a b")
