"""What names an agent, and what stands there instead."""

from __future__ import annotations

import polars as pl
import pytest

from scenes import T0, event, sent
from shiftlog.forgotten import NAMING, Agent, Rules, applied, concerned

NAMED = dict.fromkeys(NAMING, "Ann")
ROWS = sent(
    event(T0, agentID=1, **NAMED), event(T0, agentID=2, **NAMED), event(T0 + 1, agentID=1, agentUsername="Ann"), event(T0, agentID=3)
)
NOBODY = ROWS.head(1).with_columns(agentID=pl.lit(None, pl.Int64))


def test_a_pseudonym_stands_where_a_name_stood():
    """In the rows of the agent alone; what was not told stays untold, and a row without an agent stays."""
    found = applied(pl.concat([ROWS, NOBODY]), [Agent(1, "x", removed=False)])
    assert found["agentUsername"].to_list() == ["x", "Ann", "x", None, "Ann"]
    assert found["agentEmployeeId"].to_list() == ["x", "Ann", None, None, "Ann"]
    assert found.drop(NAMING).equals(pl.concat([ROWS, NOBODY]).drop(NAMING))


def test_rows_of_who_is_removed_go():
    """Those of nobody stay."""
    found = applied(pl.concat([ROWS, NOBODY]), [Agent(1, "x", removed=True), Agent(2, "y", removed=False)])
    assert found["agentID"].to_list() == [2, 3, None]
    assert found["agentUsername"].to_list() == ["y", None, "Ann"]


def test_doing_it_again_changes_nothing():
    """That is how it is known to be done."""
    for removed in (False, True):
        agent = Agent(1, "x", removed)
        assert concerned(ROWS, agent)
        assert not concerned(applied(ROWS, [agent]), agent)
    assert not concerned(ROWS, Agent(3, "x", removed=False))


def test_agents_are_known_by_keyed_hashes():
    """Of another account or with another key it is another; the pseudonym tells nothing of the hash."""
    rules = Rules("A", 1, b"k" * 32, {})
    others = [Rules("B", 1, b"k" * 32, {}), Rules("A", 1, b"l" * 32, {})]
    assert len({rules.digest(1), rules.digest(2), *(other.digest(1) for other in others)}) == 4
    assert len({rules.pseudonym(1), rules.pseudonym(2), *(other.pseudonym(1) for other in others)}) == 4
    assert rules.pseudonym(1).removeprefix("forgotten-") not in rules.digest(1)
    known = Rules("A", 1, b"k" * 32, {rules.digest(1): False, rules.digest(2): True})
    assert known.agents([1, 2, 3]) == [Agent(1, rules.pseudonym(1), removed=False), Agent(2, rules.pseudonym(2), removed=True)]
    assert known.applied(ROWS)["agentID"].to_list() == [1, 1, 3]
    assert "k" * 8 not in repr(known)


@pytest.mark.parametrize("kind", ["agent", "group"])
def test_names_that_are_imported(kind: str):
    """Only agents are forgotten; a removed one gets no name."""
    rules = Rules("A", 1, b"k" * 32, {})
    known = Rules("A", 1, b"k" * 32, {rules.digest(1): False, rules.digest(2): True})
    names = [(kind, number, 0, "Ann") for number in (1, 2, 3)]
    assert known.named(names) == (names if kind == "group" else [("agent", 1, 0, rules.pseudonym(1)), ("agent", 3, 0, "Ann")])
