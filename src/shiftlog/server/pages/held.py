"""Sessions held in memory: the sessions of an account that meet a window, as they stood at one instant, as a source.

What is asked of a window is asked several times, by several people; it is read once. A held source can be narrowed to an
agent or to a group, and an `Archive` of it gives the numbers of those alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import polars as pl

from shiftlog.events import INT64_MIN
from shiftlog.house import House
from shiftlog.live import LiveViews
from shiftlog.sources import ROWS, HouseSource, Rows, groups

#: The group of events that are of another group than the one that was asked for.
ELSEWHERE = INT64_MIN


@dataclass(frozen=True, slots=True)
class Held:
    """A source whose sessions (columns `sources.ROWS`) are in memory, as they stood at `at` (epoch ms)."""

    rows: pl.DataFrame
    at: int
    beneath: HouseSource
    agent: int | None = None
    change: Callable[[pl.LazyFrame], pl.LazyFrame] = lambda rows: rows

    @classmethod
    def read(cls, house: House, account: str, start: int, end: int, agent: int | None = None, *, lives: LiveViews | None = None) -> Held:
        """The sessions that meet the window [start, end) (epoch ms), of one agent or of all, as they stand now."""
        source = HouseSource(house, account, None if lives is None else lives.at)
        at = source.now()
        found = groups(source, start, end, at)
        wanted = found if agent is None else (rows.filter(pl.col("agentID") == agent) for rows in found)
        rows = pl.concat([pl.DataFrame(schema=ROWS), *(group.collect() for group in wanted)], rechunk=True)
        return cls(rows, at, source, agent)

    @property
    def label(self) -> str:
        return "shiftlog"

    @property
    def account(self) -> str:
        return self.beneath.account

    @property
    def zone(self) -> str:
        return self.beneath.zone

    @property
    def timeout(self) -> int:
        return self.beneath.timeout

    @property
    def grace(self) -> int:
        return self.beneath.grace

    @property
    def watermark(self) -> int | None:
        return self.beneath.watermark

    def now(self) -> int:
        return self.at

    def pieces(self, start: int | None, end: int | None, now: int | None) -> Iterator[Rows]:
        """The held sessions; they stand as they stood, whatever `now` says."""
        yield lambda: self.change(self.rows.lazy())

    def names(self, at: int | None) -> dict[tuple[str, int], str]:
        return self.beneath.names(at)

    def schedule(self, start: int | None, end: int | None) -> pl.DataFrame | None:
        plan = self.beneath.schedule(start, end)
        return plan if plan is None or self.agent is None else plan.filter(pl.col("agent_id") == self.agent)

    # ── narrowed ──

    def of_agent(self, agent: int) -> Held:
        """The sessions of one agent, and the agent's plan."""
        return replace(self, rows=self.rows.filter(pl.col("agentID") == agent), agent=agent)

    def agents_as_groups(self, group: int) -> Held:
        """Events of a group as if each agent's were a group of its own: by group, these numbers are each agent's in that group.

        An interval's group is that of the event which opens it, so an agent who changes groups counts in each with the
        time spent there. Events of other groups are of the group `ELSEWHERE`.
        """
        of = pl.when(pl.col("agentGroupID") == group).then("agentID").when(pl.col("agentGroupID").is_not_null()).then(ELSEWHERE)
        return replace(self, change=lambda rows: rows.with_columns(of.alias("agentGroupID")))
