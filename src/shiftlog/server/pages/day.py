"""The Day: a window of an account or a group, its curves, its agents' time."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastapi import APIRouter
from starlette.responses import Response

from shiftlog import charts
from shiftlog.hours import DAY
from shiftlog.server.pages import tables
from shiftlog.server.pages.gate import PageRoute, Visiting, Visitor
from shiftlog.server.pages.look import Look, last_event
from shiftlog.server.pages.tables import MOST_ROWS, Sort
from shiftlog.server.pages.view import View, days_after, midnight

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_COLUMNS = ("login_ms", "online_ms", "availability", "occupancy", "utilization", "concurrency", "chats_started", "chat_handle_ms")
_HOURLY = 3 * DAY  # up to this length, the table of curves has a row an hour; else a row a day


class Numbers(NamedTuple):
    """What the page shows of a look: rows as dicts, None where nobody was logged in."""

    total: dict[str, Any] | None
    agents: list[dict[str, Any]]
    logged_in: int
    buckets: list[dict[str, Any]]
    groups: list[int]
    names: dict[tuple[str, int], str]
    labels: dict[int, str]


@router.get("/day", name="day")
async def day(visiting: Visiting) -> Response:
    """One window: how it went."""
    view = visiting.view()
    sort = Sort.parse(visiting.asked, ("name", *_COLUMNS), "name")
    look = await visiting.look(view)
    numbers = await visiting.services.threads.fold(_numbers, look, view, sort)
    return await visiting.page(
        "day.html",
        view=view,
        look=look,
        numbers=numbers,
        sort=sort,
        columns=_COLUMNS,
        days=known_days(view, visiting.situation.now),
        latest=await latest(visiting, view) if numbers.total is None else None,
        most=MOST_ROWS,
    )


def _numbers(look: Look, view: View, sort: Sort) -> Numbers:
    rows = look.agents(view)
    some = tables.named(rows.filter(rows["login_ms"] > 0), "agent", look.names())
    shown = sort.applied(some, "agent_id").head(MOST_ROWS).select("agent_id", "name", *_COLUMNS)
    every = "1h" if view.length <= _HOURLY else "1d"
    return Numbers(
        total=look.total_of(view, view.start, view.end),
        agents=shown.to_dicts(),
        logged_in=some.height,
        buckets=look.totals(view, every).to_dicts(),
        groups=look.groups(),
        names=look.names(),
        labels=charts.labels(some["agent_id"].to_list(), look.agent_names()),
    )


def known_days(view: View, now: int) -> list[tuple[str, View]]:
    """Windows that people ask for by name."""
    today = midnight(now, view.tz)
    tomorrow = days_after(today, 1, view.tz)
    return [
        ("Today", view.between(today, tomorrow)),
        ("Yesterday", view.between(days_after(today, -1, view.tz), today)),
        ("Last 7 days", view.between(days_after(today, -6, view.tz), tomorrow)),
    ]


async def latest(visiting: Visitor, view: View) -> View | None:
    """The day of the account's last events, if it is another than the view."""
    services = visiting.services
    instant = await services.threads.read(last_event, services.house, view.account)
    if instant is None:
        return None
    start = midnight(instant, view.tz)
    found = view.between(start, days_after(start, 1, view.tz))
    return None if found == view else found
