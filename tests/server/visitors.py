"""What visitors of the pages do, and what they see."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from callers import BASE
from fastapi import FastAPI

from shiftlog.catalog import accounts
from shiftlog.catalog import keys as catalog_keys
from shiftlog.catalog.keys import NewKey
from shiftlog.house import House

#: The query of T0's day.
DAY = "from=2026-09-21&tz=UTC"


class Browser:
    """Calls an application as a browser does: keeps its cookies. It follows no redirect, so that each is seen."""

    def __init__(self, app: FastAPI, portal: BlockingPortal, base: str = BASE) -> None:
        self._app, self._portal = app, portal
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url=base)

    @property
    def cookies(self) -> httpx.Cookies:
        return self._client.cookies

    def get(self, url: str, **options: Any) -> httpx.Response:
        return self._portal.call(lambda: self._client.get(url, **options))

    def post(self, url: str, **options: Any) -> httpx.Response:
        return self._portal.call(lambda: self._client.post(url, **options))

    def over_https(self) -> Browser:
        """Another browser, on the same server."""
        return Browser(self._app, self._portal, BASE.replace("http:", "https:"))


@contextmanager
def browsing(app: FastAPI) -> Iterator[Browser]:
    """A browser at which nobody is signed in, while the application's lifespan lasts."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(app.router.lifespan_context(app)):
        yield Browser(app, portal)


def sign_in(client: Browser, key: NewKey, **fields: str) -> httpx.Response:
    return client.post("/sign-in", data={"token": key.bearer, **fields})


def other_key(house: House, name: str, *permissions: str, expires: int | None = None) -> NewKey:
    """A key of an account that may be another."""
    with house.catalog.write() as conn:
        now = house.catalog.now()
        accounts.ensure(conn, name, now, house.settings)
        return catalog_keys.create(conn, house.vault, name, list(permissions), now, expires)


def form_token(page: httpx.Response) -> str:
    """The token that the forms of a page carry."""
    return re.findall(r'name="form_token" value="([0-9a-f]+)"', page.text)[0]


def values(page: httpx.Response) -> list[str]:
    """The exact numbers of a page, in its order."""
    return re.findall(r'<data value="([^"]*)"', page.text)
