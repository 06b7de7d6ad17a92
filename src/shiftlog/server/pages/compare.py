"""Compare: the numbers of agents, groups or profiles side by side, all definitions of occupancy among them; as CSV too."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl
from fastapi import APIRouter
from starlette.responses import Response

from shiftlog import reports
from shiftlog.errors import Invalid
from shiftlog.metrics import DEFINITIONS, SCHEDULED
from shiftlog.server.pages import tables
from shiftlog.server.pages.day import known_days, latest
from shiftlog.server.pages.gate import PageRoute, Visiting
from shiftlog.server.pages.look import Look
from shiftlog.server.pages.tables import MOST_ROWS, Sort
from shiftlog.server.pages.view import View

router = APIRouter(route_class=PageRoute, include_in_schema=False)

#: What can be compared, and in words.
KEYS = {"agent": "Agents", "group": "Groups", "profile": "Profiles"}
#: Numbers and their heads, in the order of the columns.
COLUMNS = {
    "login_ms": "Login",
    "online_ms": "Online",
    "availability": "Availability",
    "occupancy": "Occupancy",
    "occupancy_handle": "Occupancy (handle)",
    "occupancy_paid": "Occupancy (paid)",
    "utilization": "Utilization",
    "at_capacity": "At capacity",
    "concurrency": "Concurrency",
    "concurrency_online": "Concurrency (online)",
    "chats_started": "Chats",
    "chats_per_online_hour": "Chats per online hour",
    "chats_per_login_hour": "Chats per login hour",
    "chat_handle_ms": "Handle time",
    "agents": "Agents",
    "adherence": "Adherence",
    "conformance": "Conformance",
}


class Compared(NamedTuple):
    """A table: its rows, in order and without those that do not match, all columns of `metrics.metrics` and `name` among them."""

    rows: pl.DataFrame
    all: int
    columns: dict[str, str]
    groups: list[int]
    names: dict[tuple[str, int], str]


@router.get("/compare", name="compare")
async def compare(visiting: Visiting) -> Response:
    """The table."""
    view, asked = visiting.view(), visiting.asked
    key, sort = _asked(asked)
    look = await visiting.look(view)
    found = await visiting.services.threads.fold(_compared, look, view, key, sort, asked.get("q", ""))
    kept = {"by": key, "q": asked.get("q") or None}
    return await visiting.page(
        "compare.html",
        view=view,
        look=look,
        found=found,
        rows=found.rows.head(MOST_ROWS).to_dicts(),
        key=key,
        keys=KEYS,
        sort=sort,
        kept=kept,
        order={"sort": sort.key, "order": "desc" if sort.descending else "asc"},
        days=known_days(view, visiting.situation.now),
        latest=await latest(visiting, view) if not found.all else None,
        most=MOST_ROWS,
    )


@router.get("/compare.csv", name="compare-csv")
async def compare_csv(visiting: Visiting) -> Response:
    """All rows of the table with all numbers, exact, as CSV."""
    view, asked = visiting.view(), visiting.asked
    key, sort = _asked(asked)
    look = await visiting.look(view)
    found = await visiting.services.threads.fold(_compared, look, view, key, sort, asked.get("q", ""))
    name = f"shiftlog-{view.account}-{key}s-{view.first}-{view.last}.csv".replace(":", "")
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(reports.text(found.rows).write_csv(), media_type="text/csv; charset=utf-8", headers=headers)


def _asked(asked: dict[str, str]) -> tuple[str, Sort]:
    key = asked.get("by") or "agent"
    if key not in KEYS:
        raise Invalid(f"by: found {key[:40]!r}; allowed: {', '.join(KEYS)}")
    return key, Sort.parse(asked, ("name", *COLUMNS), "name")


def _compared(look: Look, view: View, key: str, sort: Sort, text: str) -> Compared:
    found = look.by(view, key)
    rows = tables.named(found.filter(found[f"{key}_id"].is_not_null()), key, look.names())
    planned = found["scheduled_ms"].count() > 0
    dropped = {"agents"} if key == "agent" else set[str]()
    dropped |= set() if planned else {"adherence", "conformance", *SCHEDULED}
    matching = sort.applied(tables.matching(rows, text), f"{key}_id")
    return Compared(
        rows=matching.select(f"{key}_id", "name", "bucket_start", "bucket_ms", *DEFINITIONS),
        all=rows.height,
        columns={name: head for name, head in COLUMNS.items() if name not in dropped},
        groups=look.groups(),
        names=look.names(),
    )
