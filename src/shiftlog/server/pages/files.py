"""Files: which hours are complete, what each part holds, and the parts themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from shiftlog.catalog import parts, publishing
from shiftlog.catalog.parts import Part
from shiftlog.errors import Invalid, Missing, TooLarge
from shiftlog.hours import DAY, HOUR, due
from shiftlog.house import House
from shiftlog.names import split_suffix
from shiftlog.server import api, files
from shiftlog.server.pages.gate import PageRoute, Visiting, Visitor
from shiftlog.server.pages.view import View, days_after, midnight, whole

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_LONGEST = 62 * DAY  # of a calendar
_USUAL = 7  # days
MOST_PARTS = 500  # in the table


class Completeness(Enum):
    """What is known of an hour: its sign in the calendar, and in words."""

    COMPLETE = ("●", "complete")
    REVISED = ("◆", "complete, with a late revision")
    EMPTY = ("○", "complete and empty: nothing happened")
    DELETED = ("×", "complete; its files were deleted when their retention ended")
    MISSING = ("!", "missing: due, and not published")
    AHEAD = ("·", "not due yet")
    BEFORE = ("", "before the first file")

    @property
    def sign(self) -> str:
        return str(self.value[0])

    @property
    def text(self) -> str:
        return str(self.value[1])


@dataclass(frozen=True, slots=True)
class Square:
    """One hour of the calendar; `start` is epoch ms, `parts` how many it has."""

    start: int
    what: Completeness
    parts: int


class Published(NamedTuple):
    """What the catalog says of a window. Times are epoch ms."""

    now: int
    watermark: int | None
    lag: int | None
    days: list[tuple[int, list[Square]]]
    parts: Sequence[Part]
    last_run: dict[str, Any] | None
    set_aside: int


@router.get("/files", name="files")
async def calendar(visiting: Visiting) -> Response:
    """The calendar, and the parts of its hours or of one of them. Hours are UTC, so its days are."""
    view, asked = _view(visiting), visiting.asked
    hour = whole("hour", asked["hour"]) if asked.get("hour") else None
    found = await visiting.services.threads.read(_published, visiting.services.house, view)
    shown = [part for part in found.parts if hour is None or part.scope_start == hour]
    last = days_after(midnight(found.now, "UTC"), 1, "UTC")
    return await visiting.page(
        "files.html",
        view=view,
        found=found,
        hour=hour,
        parts=sorted(shown, key=lambda part: (-part.scope_start, part.part, part.revision))[:MOST_PARTS],
        count=len(shown),
        kinds=Completeness,
        days=[(f"Last {days} days", view.between(last - days * DAY, last)) for days in (_USUAL, 31)],
        most=MOST_PARTS,
    )


def _view(visiting: Visitor) -> View:
    """The asked window in whole UTC days; the last few where none is asked for."""
    now, asked = visiting.situation.now, {**visiting.asked, "tz": "UTC"}
    if not asked.get("from") and not asked.get("to"):
        end = days_after(midnight(now, "UTC"), 1, "UTC")
        return View(visiting.account, end - _USUAL * DAY, end, "UTC")
    # A view of another page has its own zone: the days in which it lies are shown.
    view = visiting.view() if visiting.asked.get("tz") else View.parse(asked, visiting.account, "UTC", now)
    shown = View(visiting.account, midnight(view.start, "UTC"), days_after(midnight(view.end - 1, "UTC"), 1, "UTC"), "UTC")
    if shown.length > _LONGEST:
        raise TooLarge(
            f"{shown.text} has {shown.length // DAY} days, and the calendar shows up to {_LONGEST // DAY}; choose a shorter window"
        )
    return shown


def _published(house: House, view: View) -> Published:
    with house.catalog.read() as conn:
        now, state = house.catalog.now(conn), publishing.state(conn, view.account)
        watermark = api.visible_watermark(conn, view.account, state, now)
        first = parts.first_scope(conn, view.account)
        found = parts.of_scopes(conn, view.account, list(range(view.start, view.end, HOUR)))
        run, aside = publishing.last_run(conn, view.account), publishing.set_aside(conn, view.account)
    visible = [part for part in found if part.generated <= now]
    of_hour: dict[int, list[Part]] = {}
    for part in visible:
        of_hour.setdefault(part.scope_start, []).append(part)
    squares = completeness(of_hour, range(view.start, view.end, HOUR), first, watermark, due(now, house.settings.grace))
    days = [(squares[i].start, squares[i : i + 24]) for i in range(0, len(squares), 24)]
    lag = None if watermark is None else now - watermark
    return Published(now, watermark, lag, days[::-1], visible, run, aside)


def completeness(
    of_hour: Mapping[int, Sequence[Part]], hours: Sequence[int], first: int | None, watermark: int | None, due_until: int
) -> list[Square]:
    """What is known of each hour (their starts): of its parts, the first hour that has any, and the watermark.

    Hours that end at or before `due_until` should be published by now.
    """

    def known(hour: int) -> Completeness:
        mine = of_hour.get(hour, ())
        if mine and all(part.gz_gone is not None for part in mine):
            return Completeness.DELETED
        if mine:
            return Completeness.REVISED if any(part.revision for part in mine) else Completeness.COMPLETE
        if watermark is not None and hour + HOUR <= watermark:
            return Completeness.BEFORE if first is None or hour < first else Completeness.EMPTY
        return Completeness.MISSING if watermark is not None and hour + HOUR <= due_until else Completeness.AHEAD

    return [Square(hour, known(hour), len(of_hour.get(hour, ()))) for hour in hours]


@router.get("/files/{name}", name="page-download")
async def download(request: Request, visiting: Visiting, name: str) -> Response:
    """One file, for a browser that is signed in; the same bytes as over the Data Access API."""
    try:
        wanted, suffix = split_suffix(name)
    except Invalid as error:
        raise Missing(str(error)) from None
    threads = visiting.services.threads
    run = threads.read if suffix in ("gz", "parquet") else threads.fold
    content = await run(files.content, visiting.services.house, visiting.account, wanted, suffix)
    response = files.respond(request, threads, content)
    response.headers["Content-Disposition"] = f'attachment; filename="{wanted}.{suffix}"'
    response.headers.setdefault("Cache-Control", "private, no-cache")
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
