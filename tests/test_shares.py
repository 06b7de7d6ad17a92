"""Shares: every agent whole in one, in order of agents, and nothing lost, however small the shares are."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftlog.shares import Shares

SCHEMA = {"agentID": pl.Int64(), "n": pl.Int64()}
GROUPS = st.lists(st.lists(st.none() | st.integers(-3, 6), max_size=8), max_size=5)


def frames(groups: list[list[int | None]]) -> list[pl.LazyFrame]:
    """Groups of rows by their agents, numbered throughout."""
    starts = [sum(map(len, groups[:i])) for i in range(len(groups))]
    return [
        pl.LazyFrame({"agentID": agents, "n": range(n, n + len(agents))}, schema=SCHEMA) for agents, n in zip(groups, starts, strict=True)
    ]


@settings(max_examples=60, deadline=None)
@given(groups=GROUPS, most=st.integers(1, 12))
def test_shares_are_the_whole(tmp_path_factory: pytest.TempPathFactory, groups: list[list[int | None]], most: int):
    """Shares one after the other are all rows, by agent and otherwise in the order in which they came."""
    shares = Shares(frames(groups), SCHEMA, tmp_path_factory.mktemp("scratch"), most=most)
    read = [rows.sort("agentID", maintain_order=True) for rows in shares]
    whole = pl.concat([frame.collect() for frame in frames(groups)] or [pl.DataFrame(schema=SCHEMA)])
    assert len(read) == len(shares) >= 1
    assert pl.concat(read).equals(whole.sort("agentID", maintain_order=True))
    assert shares.agents == whole["agentID"].n_unique()


@settings(max_examples=60, deadline=None)
@given(groups=GROUPS, most=st.integers(1, 12))
def test_every_agent_is_in_one_share(tmp_path_factory: pytest.TempPathFactory, groups: list[list[int | None]], most: int):
    """Also an agent that has no event: what is planned for it belongs somewhere."""
    shares = Shares(frames(groups), SCHEMA, tmp_path_factory.mktemp("scratch"), most=most)
    agents = pl.DataFrame({"agent": [None, *range(-5, 9)]}, schema={"agent": pl.Int64})
    held = [agents.filter(share.holds("agent")).height for share, _ in shares.items()]
    assert sum(held) == agents.height


def test_shares_are_bounded(tmp_path: Path):
    """No share has more than it may, but where one agent has."""
    shares = Shares(frames([[1] * 3 + [2] * 3, [3] * 9, [4, 5, 6]]), SCHEMA, tmp_path, most=4)
    assert [rows["agentID"].to_list() for rows in shares] == [[1] * 3, [2] * 3, [3] * 9, [4, 5, 6]]
