"""Schedules: the state that is planned for an agent, stretch by stretch (docs/metrics.md, section 6)."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from shiftlog.catalog import accounts, tables
from shiftlog.schedules import Planned

_T = tables.schedules
_MANY = 500  # agents in one query


def replace(conn: sa.Connection, account: str, plan: Sequence[Planned], start: int, end: int) -> None:
    """Make `plan` what is planned for its agents in the window [start, end) (epoch ms), and all of it.

    Its rows lie in the window, and those of one agent do not overlap. What was planned for these agents before and after
    the window stays, cut at its edges; so does everything of other agents.

    Raises:
        Missing: no such account.
    """
    accounts.lock(conn, account)
    agents = sorted({row.agent_id for row in plan})
    kept: list[Planned] = []
    for first in range(0, len(agents), _MANY):
        meeting = (_T.c.account == account, _T.c.agent_id.in_(agents[first : first + _MANY]), _T.c.start < end, _T.c.end > start)
        for row in conn.execute(sa.select(_T.c.agent_id, _T.c.start, _T.c.end, _T.c.state).where(*meeting)):
            old = Planned(*row)
            kept += [
                piece for piece in (old._replace(end=start), old._replace(start=end)) if old.start <= piece.start < piece.end <= old.end
            ]
        conn.execute(sa.delete(_T).where(*meeting))
    values = [{"account": account, **row._asdict()} for row in (*kept, *plan)]
    if values:
        conn.execute(sa.insert(_T), values)


def planned(conn: sa.Connection, account: str, start: int | None = None, end: int | None = None) -> list[Planned]:
    """The account's rows that meet the window [start, end) (epoch ms, None is no bound), by agent and time."""
    query = sa.select(_T.c.agent_id, _T.c.start, _T.c.end, _T.c.state).where(_T.c.account == account).order_by(_T.c.agent_id, _T.c.start)
    if start is not None:
        query = query.where(_T.c.end > start)
    if end is not None:
        query = query.where(_T.c.start < end)
    return [Planned(*row) for row in conn.execute(query)]
