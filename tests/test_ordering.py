"""Events in any order, put in order; and that no number depends on it."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from oracle import Session, flat
from scenes import HOUR, T0, event, login, logout
from shiftlog import ordering
from shiftlog.intervals import intervals
from shiftlog.metrics import measures
from shiftlog.ordering import in_order, shares
from shiftlog.quality import findings


def rows(*found: tuple[int | None, str, int, int]) -> pl.DataFrame:
    """Agent, session, place and time of each row."""
    schema = {"agent_id": pl.Int64(), "agentSessionId": pl.String(), "eventIndex": pl.Int32(), "start": pl.Int64()}
    return pl.DataFrame(found, schema=schema, orient="row")


TWO = rows((1, "a", 0, 5), (1, "a", 1, 6), (1, "a", 2, 9), (2, "b", 0, 1), (2, "b", 1, 3))


# ── rows ──


def test_what_is_in_order_is_not_touched():
    """Whatever the order of its sessions."""
    backwards = pl.concat([TWO[3:], TWO[:3]])
    assert in_order(TWO) is TWO
    assert in_order(backwards) is backwards
    assert next(shares(backwards)) is backwards


@pytest.mark.parametrize(
    "mixed",
    [
        pytest.param([4, 0, 2, 3, 1], id="any order"),
        pytest.param([1, 0, 2, 3, 4], id="adjacent, but out of time"),
        pytest.param([0, 3, 1, 4, 2], id="one row of each in turn"),
    ],
)
def test_rows_are_put_in_order(mixed: list[int]):
    assert_frame_equal(in_order(TWO[mixed]), TWO)


def test_events_of_one_instant_stay_in_the_sessions_order():
    same = rows(*((1, "a", place, 7) for place in range(5)))
    assert_frame_equal(in_order(same[[3, 1, 4, 0, 2]]), same)


@pytest.mark.parametrize(
    "overlapping",
    [
        pytest.param(rows((1, "a", 0, 1), (1, "a", 1, 9), (1, "b", 0, 2), (1, "b", 1, 5)), id="sessions of one agent overlap"),
        pytest.param(rows((1, "a", 0, 1), (1, "b", 0, 2), (1, "b", 1, 9)), id="one of a single event"),
        pytest.param(rows((None, "a", 0, 1), (None, "a", 1, 2), (3, "b", 0, 1)), id="an agent that is not named"),
        pytest.param(rows((1, "a", 1, 4), (1, "a", 2, 8), (1, "b", 0, 5), (1, "b", 1, 6)), id="the first row is missing"),
        pytest.param(rows((-(2**62), "a", 0, 0), (-(2**62), "a", 1, 1), (2**62, "b", 0, 2**62)), id="more than 63 bits"),
    ],
)
def test_sessions_stay_whole(overlapping: pl.DataFrame):
    """Where agent and time alone would mix them up, or cannot be one number."""
    assert_frame_equal(in_order(overlapping.sample(fraction=1, shuffle=True, seed=2)), overlapping)


@pytest.mark.parametrize("agents", [1, 2, 40, 400])
def test_shares_hold_whole_agents_in_order(monkeypatch: pytest.MonkeyPatch, agents: int):
    """Each agent's rows are in one share; together the shares are all rows, by agent. A single agent is one share, however large."""
    monkeypatch.setattr(ordering, "SHARE_ROWS", 50)
    every = rows(*((n * n, f"s{n}-{k}", place, 100 * k + place) for n in range(agents) for k in range(3) for place in range(4)))
    found = list(shares(every.sample(fraction=1, shuffle=True, seed=3)))
    assert_frame_equal(pl.concat(found), every)
    assert sum(share["agent_id"].n_unique() for share in found) == agents
    assert agents < 5 or len(found) > 1
    assert all(share.height <= 50 or share["agent_id"].n_unique() == 1 for share in found)


def test_of_no_rows_there_is_one_share():
    assert [share.height for share in shares(TWO.clear())] == [0]


# ── numbers ──


def sessions() -> st.SearchStrategy[Session]:
    def made(agent: int, begin: int, steps: list[tuple[int, int, int]], opened: bool) -> Session:
        events: list[dict[str, Any]] = [login(T0 + begin, agentID=agent)]
        for wait, state, chats in steps:
            events.append(event(events[-1]["timestamp"] + wait, agentID=agent, state=state, concurrentEng=chats, maxConcurrentEng=3))
        return Session([*events, logout(events[-1]["timestamp"] + 1, agentID=agent)], open=opened)

    step = st.tuples(st.integers(0, HOUR), st.integers(-1, 5), st.integers(0, 4))
    return st.builds(made, st.integers(1, 4), st.integers(0, 3 * HOUR), st.lists(step, max_size=6), st.booleans())


@given(st.lists(sessions(), min_size=1, max_size=8), st.randoms(use_true_random=False), st.sampled_from(["agent", "account", "group"]))
@settings(max_examples=60)
def test_numbers_do_not_depend_on_the_order_of_the_rows(found: list[Session], random: Any, by: str):
    """Neither measures, intervals nor findings; also where the rows are many, and are cut into shares."""
    ordered = flat(*found)
    order = list(range(ordered.height))
    random.shuffle(order)
    mixed, now = ordered[order], T0 + 12 * HOUR
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "SHARE_ROWS", random.choice([1, 10, 1000]))
        asked = {"every": "15m", "by": by, "now": now}
        assert_frame_equal(measures(mixed, **asked), measures(ordered, **asked))
    assert_frame_equal(intervals(mixed, now=now), intervals(ordered, now=now))
    assert_frame_equal(findings(mixed, now=now), findings(ordered, now=now))
