"""All pages, and what they need of an application."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from shiftlog.server.pages import agent, assets, compare, day, documents, files, gate, now, pictures, quality, sign
from shiftlog.server.pages.gate import Desk
from shiftlog.server.services import Services

_PAGES = (sign, now, day, agent, compare, files, quality, documents)
ROUTERS = (*(page.router for page in _PAGES), now.live, pictures.router, assets.router)


def attach(app: FastAPI, services: Services) -> None:
    """Add the pages to an application; what nothing serves is a page for browsers from then on."""
    app.state.desk = Desk(services)
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(HTTPException, gate.not_here)


def stop(app: FastAPI) -> None:
    """Let what stays open end: the server is about to stop."""
    app.state.desk.streams.stop()
