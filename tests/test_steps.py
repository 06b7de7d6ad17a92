"""The steps of a run: which parts there will be, and of what."""

from __future__ import annotations

import random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftlog.names import PartName
from shiftlog.sessions import FOLDED, dealt
from shiftlog.spill import InMemory, Piece, Stretch
from shiftlog.steps import Folded, Planned, pieces, plan

HOUR = 3_600_000
NONE = InMemory(pl.DataFrame())


def folded(share: int, **scopes: int) -> Folded:
    """A share that has so many rows in each scope (`h3=10`: ten in the third hour)."""
    due = tuple(Piece(int(hour[1:]) * HOUR, share, Stretch(NONE, 0, rows)) for hour, rows in scopes.items())
    return Folded(due, NONE, 0, 0, NONE, 0, {}, 0)


def planned(shares: list[Folded], published: dict[int, int] | None = None, part_events: int = 10) -> list[Planned]:
    return list(plan(shares, published or {}, shares=len(shares), part_events=part_events))


def test_an_hour_has_as_many_parts_as_its_events_need():
    """Whatever share they are of; hours and numbers come in order."""
    found = planned([folded(0, h2=5, h1=11), folded(1, h1=10)])
    assert [(part.name.start // HOUR, part.name.part, part.count) for part in found] == [(1, 0, 3), (1, 1, 3), (1, 2, 3), (2, 0, 1)]


def test_a_scope_that_was_published_has_its_next_revision():
    """The others begin with 0."""
    assert [part.name for part in planned([folded(0, h1=1, h2=1)], {HOUR: 3})] == [
        PartName(HOUR, 2 * HOUR, 0, 4),
        PartName(2 * HOUR, 3 * HOUR, 0, 0),
    ]


def test_a_part_reads_only_the_shares_that_it_needs():
    """With two parts in four shares, each needs two of them."""
    found = planned([folded(share, h1=5) for share in range(4)])
    assert [[piece.share for piece in part.pieces] for part in found] == [[0, 1], [2, 3]]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1), st.integers(1, 9), st.integers(1, 40))
def test_every_agent_is_in_a_share_that_its_part_reads(agents: list[int], shares: int, rows: int):
    """However shares and parts are cut."""
    where = pl.DataFrame({"agentID": agents}, schema={"agentID": pl.Int64})
    found = planned([folded(share, h1=rows) for share in range(shares)])
    reads = {part.name.part: {piece.share for piece in part.pieces} for part in found}
    dealt_to = where.select(share=dealt(shares), part=dealt(len(found))).rows()
    assert all(share in reads[part] for share, part in dealt_to)


_SESSIONS = st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from([None, 5, 6]), st.integers(0, 4))


@given(st.lists(_SESSIONS, max_size=9), st.booleans(), st.randoms(use_true_random=False))
def test_pieces_are_in_the_order_of_parts(sessions: list[tuple[int, int, int | None, int]], adjacent: bool, rng: random.Random):
    """By agent, beginning, identity and place, whether the rows of a session come together or not; a withdrawn one has no place."""
    rows = [
        {"scope": scope * HOUR, "agentID": agent, "sessionStartTime": start, "agentSessionId": f"s{number}", "eventIndex": index}
        for number, (scope, agent, start, events) in enumerate(sessions)
        for index in (range(events) if events else [None])
    ]
    if not adjacent:
        rng.shuffle(rows)
    due = pl.DataFrame(rows, FOLDED)
    found = pieces(due, 0, InMemory)
    expected = due.sort("scope", "agentID", "sessionStartTime", "agentSessionId", "eventIndex", nulls_last=True)
    assert [piece.scope for piece in found] == expected["scope"].unique().sort().to_list()
    assert pl.concat([due.clear(), *(piece.rows.scan().collect() for piece in found)]).equals(expected)


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_agents_are_dealt_evenly(count: int):
    """Also where their ids follow each other: each range has about as many."""
    sizes = pl.DataFrame({"agentID": range(1_000, 11_000)}).group_by(dealt(count)).len()["len"]
    assert len(sizes) == count
    assert sizes.max() <= 1.1 * 10_000 / count
