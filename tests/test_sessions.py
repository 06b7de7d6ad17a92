"""Folding events into sessions: by hand, against a plain oracle, and folded again piece by piece."""

from __future__ import annotations

import random
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from scenes import DAY, HOUR, T0, accepted, event, login, logout
from shiftlog.sessions import BUCKET, FOLDED, fold, foldable, refold, unfold


def folded(*events: dict[str, Any]) -> pl.DataFrame:
    return fold(foldable(accepted(*events)), account="A", timeout=DAY)


def sessions(frame: pl.DataFrame) -> list[tuple[list[int], int | None, int]]:
    """Each session's times, its end, and its closing instant, after `T0`."""
    groups = frame.group_by("agentSessionId", maintain_order=True).agg(
        pl.col("timestamp") - T0, pl.col("sessionEndTime").first() - T0, pl.col("closedAt").first() - T0
    )
    return [(times, end, closed) for _, times, end, closed in groups.rows()]


def test_a_logout_closes_a_session():
    """From login to logout is one session, which ends and closes at the logout."""
    assert sessions(folded(login(T0), event(T0 + 5, state=2), logout(T0 + 9))) == [([0, 5, 9], 9, 9)]


def test_the_next_login_closes_a_session_without_logout():
    """Its end was not seen, and it closes when the agent logs in again."""
    assert sessions(folded(login(T0), event(T0 + 5), login(T0 + 9), logout(T0 + 10))) == [([0, 5], None, 9), ([9, 10], 10, 10)]


def test_a_day_without_events_closes_a_session():
    """What comes `timeout` or more after the last event is a session of its own; one ms earlier, it is not."""
    assert sessions(folded(login(T0), event(T0 + DAY))) == [([0], None, DAY), ([DAY], None, 2 * DAY)]
    assert sessions(folded(login(T0), event(T0 + DAY - 1))) == [([0, DAY - 1], None, 2 * DAY - 1)]


def test_a_login_after_the_time_out_does_not_close_earlier():
    """The time-out comes first where the next login is later still."""
    assert sessions(folded(login(T0), login(T0 + 30 * HOUR)))[0] == ([0], None, DAY)


def test_events_before_any_login_open_a_session():
    """Nothing is thrown away because its login was not seen."""
    assert sessions(folded(event(T0), logout(T0 + 1), event(T0 + 2))) == [([0, 1], 1, 1), ([2], None, DAY + 2)]


def test_a_session_id_holds_its_events_together():
    """Whatever logins, logouts and pauses lie in it."""
    marked = [login(T0), logout(T0 + 1), login(T0 + 2), event(T0 + 3 * DAY)]
    assert sessions(folded(*(e | {"sessionId": "s"} for e in marked))) == [([0, 1, 2, 3 * DAY], None, 4 * DAY)]


def test_a_session_id_names_its_session():
    """A number that the producer gave stands in the agentSessionId; otherwise 16 digits that begin with 9 do."""
    frame = folded(login(T0, sessionId="684867733"), login(T0, agentID=2))
    assert frame["agentSessionId"][0] == "A-684867733" or frame["agentSessionId"][1] == "A-684867733"
    assert frame.filter(pl.col("agentID") == 2)["agentSessionId"].str.contains(r"^A-9\d{15}$").all()


def test_ties_are_ordered_by_sequence_then_landing():
    """Within one millisecond the sender's sequence decides, then the order of arrival."""
    frame = folded(event(T0, state=4, sequence=2), event(T0, state=2, sequence=1), event(T0, state=3, sequence=2))
    assert frame["state"].to_list() == [2, 4, 3]


def test_what_was_left_out_is_carried():
    """State, concurrency and maximum come from the event before; the prev fields say what was before."""
    frame = folded(
        login(T0, maxConcurrentEng=3), event(T0 + 1, state=2), event(T0 + 2, concurrentEng=1), event(T0 + 3, state=4), logout(T0 + 4)
    )
    got = frame.select("state", "prevState", "concurrentEng", "prevConcurrentEng", "maxConcurrentEng").rows()
    assert got == [(0, 0, 0, 0, -9), (2, 0, 0, 0, 3), (2, 2, 1, 0, 3), (4, 2, 1, 1, 3), (1, 4, 0, 1, -9)]


def test_nothing_is_carried_from_another_session():
    """A session's first event has the defaults, whatever the session before ended with."""
    frame = folded(event(T0, state=2, concurrentEng=2, maxConcurrentEng=5), login(T0 + 1) | {"state": None})
    assert frame.select("state", "concurrentEng", "maxConcurrentEng", "prevState", "prevConcurrentEng").rows()[1] == (0, 0, -9, 0, 0)


def test_repeats_are_dropped_and_counted():
    """Of events with one eventId the first to land stays, and knows how often it came again."""
    frame = folded(login(T0, eventId="a"), login(T0, eventId="a"), event(T0 + 1, eventId="b"), login(T0, eventId="a"))
    assert frame.select("eventId", "repeats").rows() == [("a", 2), ("b", 0)]


def test_another_agents_event_id_is_no_repeat():
    """An eventId is looked for among the agent's own events."""
    assert folded(login(T0, eventId="a"), login(T0, agentID=2, eventId="a")).height == 2


def test_sessions_of_one_first_millisecond_have_different_ids():
    """The id is made of agent and first timestamp, and stays unique where both are equal."""
    frame = folded(login(T0, eventId="a"), login(T0, eventId="b"), login(T0, eventId="c"))
    assert frame["agentSessionId"].n_unique() == 3


def test_agents_are_spread_evenly():
    """The hash deals consecutive, negative and huge agentIDs to parts in about equal shares, and never changes."""
    agents = pl.DataFrame({"agentID": [*range(-500, 500), *range(2**62, 2**62 + 1000)]})
    shares = agents.group_by(BUCKET % 8).len()["len"]
    assert shares.min() > 180
    assert shares.max() < 320
    assert (
        agents.select(BUCKET)["agentID"].head(3).to_list()
        == pl.DataFrame({"agentID": [-500, -499, -498]}).select(BUCKET)["agentID"].to_list()
    )
    assert pl.DataFrame({"agentID": [9]}).select(BUCKET).item() == (9 * 0x9E3779B97F4A7C15) % 2**64 // 2**32


# ── against an oracle that knows nothing of Polars ──


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Events of two agents on a coarse grid of times, so that ties, gaps and repeats are frequent."""
    times = st.integers(0, 40).map(lambda n: T0 + n * 3 * HOUR)
    fields = st.fixed_dictionaries(
        {"agentID": st.sampled_from([1, 2]), "timestamp": times, "type": st.sampled_from([1, 1, 1, 3, 4])},
        optional={
            "state": st.sampled_from([0, 1, 2, 3, 4]),
            "concurrentEng": st.integers(0, 3),
            "maxConcurrentEng": st.integers(0, 3),
            "prevState": st.sampled_from([1, 2]),
            "sequence": st.integers(0, 2),
        },
    )
    events = draw(st.lists(fields, min_size=1, max_size=25))
    return [e | {"eventId": str(i), "sessionId": draw(st.sampled_from([None, None, f"s{e['agentID']}"]))} for i, e in enumerate(events)]


def oracle(events: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    """Each session as (agent, its events' ids in order, end, closing instant)."""
    found = set()
    for agent, given_id in {(e["agentID"], e["sessionId"]) for e in events}:
        mine = [(e, i) for i, e in enumerate(events) if (e["agentID"], e["sessionId"]) == (agent, given_id)]
        mine.sort(key=lambda p: (p[0]["timestamp"], -1 if p[0].get("sequence") is None else p[0]["sequence"], p[1]))
        cut: list[list[dict[str, Any]]] = []
        for e, _ in mine:
            last = cut[-1][-1] if cut else None
            new = last is None or (given_id is None and (e["type"] == 3 or last["type"] == 4 or e["timestamp"] - last["timestamp"] >= DAY))
            cut.append([e]) if new else cut[-1].append(e)
        for here, following in zip(cut, [*cut[1:], None], strict=True):
            last = here[-1]
            closed = last["timestamp"] + (0 if last["type"] == 4 else DAY)
            if last["type"] != 4 and following and following[0]["type"] == 3:
                closed = min(closed, following[0]["timestamp"])
            found.add((agent, tuple(e["eventId"] for e in here), last["timestamp"] if last["type"] == 4 else None, closed))
    return found


def seen(frame: pl.DataFrame, closed: str = "closedAt") -> set[tuple[Any, ...]]:
    groups = frame.group_by("agentSessionId").agg(
        pl.col("agentID").first(), pl.col("eventId"), pl.col("sessionEndTime").first(), pl.col(closed).first()
    )
    return {(agent, tuple(ids), end, at) for _, agent, ids, end, at in groups.rows()}


@given(histories())
@settings(max_examples=200, deadline=None)
def test_folding_agrees_with_the_oracle(events: list[dict[str, Any]]):
    """The vectorised fold cuts where a plain loop cuts, and numbers each session's events from 0."""
    frame = folded(*events)
    assert seen(frame) == oracle(events)
    assert frame.group_by("agentSessionId").agg((pl.col("eventIndex") == pl.int_range(pl.len())).all())["eventIndex"].all()


def test_times_that_are_as_far_apart_as_can_be_are_in_order():
    """Where agent, session and time do not go into one number, they are sorted by all the same."""
    times = [T0, 2**63 - 1 - DAY, T0 + 1]
    frame = folded(*(event(time, agentID=agent, eventId=f"{agent}.{time}") for time in times for agent in (2, 1)))
    assert frame.select("agentID", "timestamp").rows() == [(agent, time) for agent in (1, 2) for time in sorted(times)]


@given(histories())
@settings(max_examples=100, deadline=None)
def test_folding_again_gives_the_same(events: list[dict[str, Any]]):
    """What was folded, taken apart and folded once more is equal, ids included."""
    frame = folded(*events)
    again = fold(unfold(frame.with_columns(scope=pl.lit(None, pl.Int64))), account="A", timeout=DAY)
    assert again.equals(frame)


@given(histories(), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_piece_by_piece_ends_as_all_at_once(events: list[dict[str, Any]], rng: random.Random):
    """Events that come in any order, in pieces, with hours closed in between, end in the sessions of one fold; and every
    identity keeps its scope."""
    frame = accepted(*events)
    pieces = [frame.filter(pl.Series([rng.random() < 0.5 for _ in range(frame.height)]))]
    pieces.append(frame.join(pieces[0], on="position", how="anti", maintain_order="left"))
    published, waiting, until = pl.DataFrame(schema=FOLDED), pl.DataFrame(schema=FOLDED), T0
    scopes: dict[str, int] = {}
    for piece in [*pieces, frame.clear()]:
        until = T0 + 8 * DAY if piece.is_empty() else until + rng.randrange(0, 6 * DAY, HOUR)
        fresh = pl.concat([unfold(waiting), foldable(piece)])
        result = refold(fresh, published, account="A", timeout=DAY, until=until, taken=frozenset(scopes))
        waiting = result.waiting.drop("closedAt")
        gone = pl.concat([result.withdrawn.select("agentSessionId"), result.due.select("agentSessionId")])
        published = pl.concat(
            [published.join(gone, on="agentSessionId", how="anti", maintain_order="left"), result.due.select(FOLDED.keys())]
        )
        for identity, scope in published.select("agentSessionId", "scope").unique().rows():
            assert scopes.setdefault(identity, scope) == scope
    assert waiting.is_empty()
    assert published["eventId"].n_unique() == published.height == len(events)
    assert {(agent, ids) for agent, ids, *_ in seen(published, "scope")} == {(agent, ids) for agent, ids, *_ in oracle(events)}
