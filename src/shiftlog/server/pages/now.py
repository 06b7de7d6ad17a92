"""Now: the present as a page that goes on by itself, by server-sent events."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Hashable
from dataclasses import dataclass

import anyio
from fastapi import APIRouter
from starlette.responses import Response

from shiftlog.catalog import publishing
from shiftlog.errors import Later, Unauthorized
from shiftlog.house import House
from shiftlog.server.pages import frame, present, streams
from shiftlog.server.pages.day import latest
from shiftlog.server.pages.gate import Desk, PageRoute, Visiting, Visitor
from shiftlog.server.pages.present import Present
from shiftlog.server.pages.view import View

router = APIRouter(route_class=PageRoute, include_in_schema=False)
live = APIRouter(include_in_schema=False)

_TICK = 1.0  # seconds between two looks at whether something happened
_QUIET = 10.0  # seconds after which shares are shown anew, though nothing happened
_REST = 3  # a piece of the page is made anew after so many times what it took to make, at the earliest
_FORGOTTEN = 60.0  # seconds after which a piece that nobody asked for is forgotten


@router.get("/now", name="now")
async def now(visiting: Visiting) -> Response:
    """The present."""
    view = visiting.view()
    found = await _present(visiting, view)
    return await visiting.page(
        "now.html",
        view=view,
        present=found,
        latest=None if found.agents or found.today else await latest(visiting, view),
    )


async def _present(visiting: Visitor, view: View) -> Present:
    services = visiting.services
    look = await visiting.look(present.around(view, services.house.catalog.now()))
    return await services.threads.fold(present.read, services.house, view, look)


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
        sent = ""
        while True:
            try:
                await _check(visiting)
                piece = await pieces(visiting.desk).at(visiting, view)
            except Unauthorized:
                yield streams.event("ended", "your sign-in has ended")
                return
            except Later:
                piece = sent  # the catalog is busy; the next look may find it free
            if piece != sent:
                sent = piece
                yield streams.event("now", piece)
            if not await visiting.desk.streams.pause(_TICK):
                return


async def _check(visiting: Visitor) -> None:
    services = visiting.services
    if visiting.desk.ticket(visiting.request, services.house.catalog.now()) is None:
        raise Unauthorized("the sign-in has ended")
    await services.keyring.signed_in(visiting.key.id)


@dataclass(slots=True)
class _Piece:
    """The HTML of a view, the state it was made from, when (monotonic seconds), and how long that took."""

    html: str
    stamp: Hashable
    made: float
    cost: float

    def good(self, stamp: Hashable) -> bool:
        age = time.monotonic() - self.made
        return age < _QUIET if stamp == self.stamp else age < _REST * self.cost


class Pieces:
    """The pieces that are being watched. However many watch the same view, it is made once."""

    def __init__(self) -> None:
        self._made: dict[View, _Piece] = {}
        self._making: dict[View, anyio.Lock] = {}

    async def at(self, visiting: Visitor, view: View) -> str:
        """The view's piece as it is now, or was a moment ago."""
        services = visiting.services
        stamp = await services.threads.read(_stamp, services.house, view.account)
        async with self._making.setdefault(view, anyio.Lock()):
            found = self._made.get(view)
            if found is None or not found.good(stamp):
                self._made[view] = found = await self._make(visiting, view, stamp)
                self._forget()
            return found.html

    async def _make(self, visiting: Visitor, view: View, stamp: Hashable) -> _Piece:
        began = time.monotonic()
        found = await _present(visiting, view)
        context = {"visitor": visiting, "view": view, "present": found}
        html = await visiting.services.threads.read(lambda: frame.html(visiting.request, "now_live.html", **context))
        return _Piece(html, stamp, time.monotonic(), time.monotonic() - began)

    def _forget(self) -> None:
        before = time.monotonic() - _FORGOTTEN
        for view in [view for view, piece in self._made.items() if piece.made < before]:
            del self._made[view]
            self._making.pop(view, None)


def pieces(desk: Desk) -> Pieces:
    """The desk's pieces."""
    return desk.kept(Pieces)


def _stamp(house: House, account: str) -> Hashable:
    with house.catalog.read() as conn:
        state = publishing.state(conn, account)
    return state.landed, state.last_seq, state.watermark
