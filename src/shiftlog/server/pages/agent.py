"""The Agent: one agent's time, all numbers with their definitions, sessions, findings, and the files that hold them."""

from __future__ import annotations

from typing import Any, NamedTuple

import polars as pl
from fastapi import APIRouter
from starlette.responses import Response

from shiftlog import metrics
from shiftlog.quality import Summary
from shiftlog.server.pages.day import known_days
from shiftlog.server.pages.gate import PageRoute, Visiting
from shiftlog.server.pages.look import Look
from shiftlog.server.pages.view import View, whole

router = APIRouter(route_class=PageRoute, include_in_schema=False)

MOST_ROWS = 500  # sessions and findings on the page
#: The numbers of the page, by what they are.
TABLES = (("Shares and averages", metrics.RATIOS), ("Sums", metrics.MEASURES))


class Numbers(NamedTuple):
    """What the page shows of a look: `total` is None where the agent has nothing in the window; rows are dicts."""

    name: str | None
    groups: list[tuple[int, str | None]]
    total: dict[str, Any] | None
    sessions: list[dict[str, Any]]
    session_count: int
    findings: list[dict[str, Any]]
    summary: Summary
    parts: list[str]


@router.get("/agents/{agent}", name="agent")
async def agent(visiting: Visiting, agent: str) -> Response:
    """One agent in a window. Who has nothing there and no name either is not known."""
    number = whole("agent", agent)
    view = visiting.view()
    look = await visiting.look(view, number)
    numbers = await visiting.services.threads.fold(_numbers, look, view, number)
    known = numbers.total is not None or numbers.name is not None
    return await visiting.page(
        "agent.html",
        200 if known else 404,
        view=view,
        look=look,
        agent=number,
        numbers=numbers,
        tables=TABLES,
        days=known_days(view, visiting.situation.now),
        most=MOST_ROWS,
    )


def _numbers(look: Look, view: View, agent: int) -> Numbers:
    found, names = look.agents(view).filter(pl.col("agent_id") == agent), look.names()
    sessions = look.sessions().sort("sessionStartTime", "agentSessionId", descending=True)
    findings, summary = look.quality()
    groups = look.intervals(view)["group_id"].drop_nulls().unique().sort().to_list()
    return Numbers(
        name=names.get(("agent", agent)),
        groups=[(id_, names.get(("group", id_))) for id_ in groups],
        total=found.row(0, named=True) if found.height else None,
        sessions=sessions.head(MOST_ROWS).to_dicts(),
        session_count=sessions.height,
        findings=findings.head(MOST_ROWS).to_dicts(),
        summary=summary,
        parts=sessions["part"].drop_nulls().unique().sort().to_list(),
    )
