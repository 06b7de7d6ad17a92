"""Events in whatever order they come, put in order: the rows of a session adjacent, by time and then by place.

Frames have the columns `agent_id`, `agentSessionId`, `eventIndex` and `start`. What shiftlog writes is in order, which is
looked at and not trusted; the way for all else is quick for the events of any day, and exact for any others.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import polars as pl

#: The first row of a run of one session's rows.
NEW_SESSION = ~(
    pl.col("agentSessionId").eq_missing(pl.col("agentSessionId").shift()) & pl.col("agent_id").eq_missing(pl.col("agent_id").shift())
)
SHARE_ROWS = 250_000  # rows that are put in order together, about: more are a little quicker, and take more memory
_LOOKED_AT = 1_000  # rows that tell of most frames that they are not in order
_SAMPLE = 10_000  # rows that tell where agents are many
_WAYS = 16  # frames at most that a large one is cut into; they are cut again where they are large still

_AGENT, _TIME, _PLACE = pl.col("agent_id"), pl.col("start"), pl.col("eventIndex")


def in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """All rows in order, as they are where they are in order already."""
    return rows if _is_in_order(rows) else _sorted(rows)


def shares(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The rows in order, in frames of whole agents, the agents ascending from frame to frame; in one if they are in order already."""
    if _is_in_order(rows.head(_LOOKED_AT)) and _is_in_order(rows):
        yield rows
    else:
        yield from map(_sorted, _cut(rows))


def _cut(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The rows in small frames of whole agents. Few passes over all of them, and hardly more memory than they take."""
    ways = min(_WAYS, -(-rows.height // SHARE_ROWS))
    agents = rows["agent_id"].gather_every(max(1, rows.height // _SAMPLE)).sort()
    bounds = agents.gather_every(-(-len(agents) // ways)).unique().sort().to_list()[1:] if ways > 1 else []
    if not bounds:
        yield rows
        return
    for low, high in pairwise([None, *bounds, None]):
        above = pl.lit(True) if low is None else _AGENT.ge(low)
        below = pl.lit(True) if high is None else _AGENT.lt(high)
        yield from _cut(rows.filter((above & below).fill_null(low is None)))


def _is_in_order(rows: pl.DataFrame) -> bool:
    """Whether every run of rows is a session from its first place on, and no time is before the one above it."""
    return bool(rows.select(((_PLACE == 0) == NEW_SESSION).all() & (NEW_SESSION | (_TIME.shift() <= _TIME)).all()).item())


def _sorted(rows: pl.DataFrame) -> pl.DataFrame:
    """By agent and time in one number, which is right unless sessions of an agent overlap; by all that tells sessions apart if they do."""
    key = _one_number(rows)
    if key is not None:
        quick = rows.sort(key)
        if _is_in_order(quick):
            return quick
    return rows.sort("agent_id", "agentSessionId", "start", "eventIndex")


def _one_number(rows: pl.DataFrame) -> pl.Expr | None:
    """Agent, time and place as one integer in their order; None where 63 bits do not hold it, or one of them is null."""
    columns = [_AGENT, _TIME, _PLACE]
    if rows.is_empty() or any(rows.select(pl.sum_horizontal(column.null_count() for column in columns)).row(0)):
        return None
    lows = rows.select(column.min() for column in columns).row(0)
    highs = rows.select(column.max() for column in columns).row(0)
    spans = [high - low + 1 for low, high in zip(lows, highs, strict=True)]
    if spans[0] * spans[1] * spans[2] >= 1 << 63:
        return None
    agent, time, place = [column.cast(pl.Int64) - low for column, low in zip(columns, lows, strict=True)]
    key: pl.Expr = (agent * spans[1] + time) * spans[2] + place
    return key
