"""Now: the present as a page that goes on by itself, by server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import APIRouter
from starlette.responses import Response

from shiftlog.errors import Later, Unauthorized
from shiftlog.server.pages import pieces, streams
from shiftlog.server.pages.day import latest
from shiftlog.server.pages.gate import PageRoute, Visiting, Visitor
from shiftlog.server.pages.pieces import Piece, Pieces
from shiftlog.server.pages.view import View

router = APIRouter(route_class=PageRoute, include_in_schema=False)
live = APIRouter(include_in_schema=False)

_TICK = 0.5  # seconds between two looks at whether something happened


@router.get("/now", name="now")
async def now(visiting: Visiting) -> Response:
    """The present."""
    view = visiting.view()
    found = (await visiting.desk.kept(Pieces).at(visiting, view)).present
    rows = await visiting.services.threads.read(pieces.rows, visiting.request, view, found)
    return await visiting.page(
        "now.html",
        view=view,
        present=found,
        rows=[row.html for row in rows.values()],
        latest=None if found.agents or found.today else await latest(visiting, view),
    )


# ── as it goes on ──


@live.get("/now/events", name="now-events")
async def events(visiting: Visiting) -> Response:
    """The piece of the page that changes, each time that it has; `ended` where the sign-in has."""
    view = visiting.view()
    visiting.desk.streams.check(visiting.key.id)
    if visiting.request.scope["shiftlog.method"] == "HEAD":
        return Response(media_type="text/event-stream")
    return streams.respond(_events(visiting, view))


async def _events(visiting: Visitor, view: View) -> AsyncIterator[bytes]:
    with visiting.desk.streams.place(visiting.key.id):
        sent: Piece | None = None
        piece: Piece | None
        while True:
            try:
                await _check(visiting)
                piece = await visiting.desk.kept(Pieces).at(visiting, view)
            except Unauthorized:
                yield streams.event("ended", "your sign-in has ended")
                return
            except Later:
                piece = sent  # the catalog is busy; the next look may find it free
            if piece is not None and piece is not sent:
                yield streams.event("now", await visiting.services.threads.read(piece.since, visiting.request, view, sent))
                sent = piece
            if not await visiting.desk.streams.pause(_TICK):
                return


async def _check(visiting: Visitor) -> None:
    services = visiting.services
    if await visiting.desk.ticket(visiting.request) is None:
        raise Unauthorized("the sign-in has ended")
    await services.keyring.signed_in(visiting.key.id)
