"""The piece of Now that changes. However many watch the same view, it is made once; of its rows, those that have changed.

Who is logged in is read each time that something has landed, and is quick. The shares of the hour and of the day are not, so
they come from a look that is read beside, and may be some seconds older.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import anyio
from markupsafe import Markup
from starlette.requests import Request

from shiftlog.catalog import publishing
from shiftlog.house import House
from shiftlog.server.pages import frame, present
from shiftlog.server.pages.gate import Visitor
from shiftlog.server.pages.look import Look
from shiftlog.server.pages.present import Present
from shiftlog.server.pages.view import View, days_after, midnight

_QUIET = 10.0  # seconds after which shares are shown anew, though nothing happened
_REST = 3  # a piece is made anew after so many times what it took to make, at the earliest
_OLD = 60.0  # seconds: a look that is older is not shown; it is waited for another
_FORGOTTEN = 60.0  # seconds after which a piece that nobody asked for is forgotten


@dataclass(frozen=True, slots=True)
class Row:
    """An agent's row, and what tells it from other states of the same row."""

    version: str
    html: Markup

    @property
    def place(self) -> Markup:
        """A row that only says where it is, for who has it already."""
        return Markup(f"{self.html.partition('>')[0]}></tr>")  # noqa: S704 (the beginning of the row)


@dataclass(frozen=True, slots=True)
class Piece:
    """The present of a view with its rows by agent, the look and the state it was made from, when (monotonic seconds), and
    how long that took."""

    present: Present
    rows: Mapping[int, Row]
    look: Look
    stamp: Hashable
    made: float
    cost: float

    def good(self, stamp: Hashable, look: Look | None) -> bool:
        age = time.monotonic() - self.made
        return age < (_QUIET if (stamp, look) == (self.stamp, self.look) else _REST * self.cost)

    def since(self, request: Request, view: View, before: Piece | None) -> str:
        """Its HTML for who has got that of `before`: rows that are the same only say where they are."""
        known = {} if before is None else before.rows
        rows = [row.place if agent in known and known[agent].version == row.version else row.html for agent, row in self.rows.items()]
        return frame.html(request, "now_live.html", view=view, present=self.present, rows=rows)


def rows(request: Request, view: View, found: Present, before: Mapping[int, Row] | None = None) -> dict[int, Row]:
    """The rows of the agents, in their order; those of `before` that would say the same are taken from there."""
    today = midnight(found.now, view.tz)
    query = view.between(today, days_after(today, 1, view.tz)).query(group=None)
    versions = {agent["agent_id"]: _version(agent, found, query) for agent in found.agents}
    kept = {id_: row for id_, row in (before or {}).items() if versions.get(id_) == row.version}
    new = [agent | {"version": versions[agent["agent_id"]]} for agent in found.agents if agent["agent_id"] not in kept]
    html = frame.html(request, "now_rows.html", view=view, present=found, query=query, agents=new)
    # What comes from outside is escaped: a row ends where the template ends it.
    made = (f"{row.strip()}</tr>" for row in html.split("</tr>"))
    kept |= {agent["agent_id"]: Row(agent["version"], Markup(row)) for agent, row in zip(new, made, strict=False)}  # noqa: S704 (ours)
    return {id_: kept[id_] for id_ in versions}


def _version(agent: Mapping[str, Any], found: Present, query: str) -> str:
    """What the row says, but for how long it has been so, which a browser counts by itself."""
    said = (*agent.values(), found.names.get(("group", agent["group_id"])), query)
    return blake2b(repr(said).encode(), digest_size=6).hexdigest()


class Pieces:
    """The pieces that are being watched."""

    def __init__(self) -> None:
        self._made: dict[View, Piece] = {}
        self._looks: dict[View, Look] = {}
        self._making: dict[View, anyio.Lock] = {}
        self._reading: dict[View, asyncio.Task[None]] = {}

    async def at(self, visiting: Visitor, view: View) -> Piece:
        """The view's piece as it is now, or was a moment ago."""
        services = visiting.services
        stamp = await services.threads.read(_stamp, services.house, view.account)
        async with self._making.setdefault(view, anyio.Lock()):
            found = self._made.get(view)
            if found is None or not found.good(stamp, self._looks.get(view)):
                self._made[view] = found = await self._make(visiting, view, stamp)
                self._forget()
            return found

    async def _make(self, visiting: Visitor, view: View, stamp: Hashable) -> Piece:
        look = await self._look(visiting, view)
        began = time.monotonic()
        before = self._made.get(view)

        def make() -> tuple[Present, dict[int, Row]]:
            found = present.read(visiting.services.house, visiting.desk.lives, view, look)
            return found, rows(visiting.request, view, found, None if before is None else before.rows)

        found, made = await visiting.services.threads.watch(make)
        return Piece(found, made, look, stamp, time.monotonic(), time.monotonic() - began)

    async def _look(self, visiting: Visitor, view: View) -> Look:
        """What shares come from: the last one, while the next is read beside; where there is none that can be shown, the next."""
        now = await visiting.services.threads.read(visiting.services.house.catalog.now)
        last = self._looks.get(view)
        if view not in self._reading:
            self._reading[view] = task = asyncio.create_task(self._read(visiting, view, now))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # who waits for it is told; else the next may succeed
        if last is None or now - last.at > _OLD * 1000 or last.end <= now:
            await asyncio.shield(self._reading[view])
        return self._looks[view]

    async def _read(self, visiting: Visitor, view: View, now: int) -> None:
        try:
            look = await visiting.look(present.around(view, now))
            await visiting.services.threads.fold(present.shares, view, look)
            self._looks[view] = look
        finally:
            del self._reading[view]

    def _forget(self) -> None:
        before = time.monotonic() - _FORGOTTEN
        for view in [view for view, piece in self._made.items() if piece.made < before]:
            for kept in (self._made, self._looks, self._making):
                kept.pop(view, None)


def _stamp(house: House, account: str) -> Hashable:
    with house.catalog.read() as conn:
        state = publishing.state(conn, account)
    return state.landed, state.last_seq, state.watermark
