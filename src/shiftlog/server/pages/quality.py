"""Quality: what is doubtful in the data, by kind, and how much of the time was observed."""

from __future__ import annotations

from typing import Any, NamedTuple

import polars as pl
from fastapi import APIRouter
from starlette.responses import Response

from shiftlog.errors import Invalid
from shiftlog.quality import CODES, Summary
from shiftlog.server.pages.day import known_days, latest
from shiftlog.server.pages.gate import PageRoute, Visiting
from shiftlog.server.pages.look import Look
from shiftlog.server.pages.view import whole

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_PAGE = 200  # findings on a page
#: What each finding means, in words; docs/metrics.md, section 5, has the rules.
MEANINGS = {
    "missing_login": "a session that begins without a login",
    "missing_logout": "a session that was closed by the next login or by time-out",
    "overlapping_sessions": "a session that begins before an earlier one of its agent has ended; both are counted",
    "state_jump": "an event whose previous state is not the state before it",
    "concurrency_jump": "an event whose previous chats are not the chats before it",
    "over_capacity": "more chats than the maximum",
    "duplicate_event": "an event that was sent again; repeats were dropped",
    "out_of_order": "an event that arrived after a later one of its session was published",
    "unknown_code": "a type or state that the wire format does not list",
    "clock_ahead": "an event whose time is after its arrival",
}


class Found(NamedTuple):
    """A page of the findings (rows as dicts) of one code or of all, how many there are, and the summary of the window."""

    rows: list[dict[str, Any]]
    total: int
    summary: Summary
    names: dict[int, str]


@router.get("/quality", name="quality")
async def quality(visiting: Visiting) -> Response:
    """The findings of a window."""
    view, asked = visiting.view(), visiting.asked
    code, page = asked.get("code") or None, whole("page", asked.get("page") or "1")
    if code not in (None, *CODES):
        raise Invalid(f"code: found {str(code)[:40]!r}; allowed: {', '.join(CODES)}")
    look = await visiting.look(view)
    found = await visiting.services.threads.fold(_found, look, code, max(1, page))
    return await visiting.page(
        "quality.html",
        view=view,
        look=look,
        found=found,
        meanings=MEANINGS,
        code=code,
        page=max(1, page),
        pages_of=max(1, -(-found.total // _PAGE)),
        days=known_days(view, visiting.situation.now),
        latest=None if found.summary.login_ms else await latest(visiting, view),
    )


def _found(look: Look, code: str | None, page: int) -> Found:
    findings, summary = look.quality()
    wanted = findings if code is None else findings.filter(pl.col("code") == code)
    return Found(wanted.slice((page - 1) * _PAGE, _PAGE).to_dicts(), wanted.height, summary, look.agent_names())
