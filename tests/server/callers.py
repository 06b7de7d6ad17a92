"""How tests call an application in their own process: no port, no socket, the same requests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI

from shiftlog import oauth1
from shiftlog.catalog.keys import NewKey
from shiftlog.oauth1 import Credentials

BASE = "http://testserver"
LE = "/data_access_le/account/A/le"
LIST = f"{LE}/agentActivity"
API = "/api/v1/accounts/A"
EVENTS = f"{API}/events"


class Caller:
    """Calls an application, with a bearer token unless told otherwise."""

    def __init__(self, app: FastAPI, portal: BlockingPortal, bearer: str | None) -> None:
        self.app, self._portal = app, portal
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url=BASE)
        self._default = {"Authorization": f"Bearer {bearer}"} if bearer else {}

    def __call__(self, method: str, url: str, **options: Any) -> httpx.Response:
        headers = httpx.Headers(self._default)
        headers.update(options.pop("headers", {}))
        return self._portal.call(lambda: self._client.request(method, url, headers=headers, **options))

    def get(self, url: str, **headers: str) -> httpx.Response:
        return self("GET", url, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, url: str, content: Any, **headers: str) -> httpx.Response:
        given = {"Content-Type": "application/x-ndjson"} | {name.replace("_", "-"): value for name, value in headers.items()}
        return self("POST", url, content=content, headers=given)

    def without_key(self) -> Caller:
        return Caller(self.app, self._portal, None)

    def as_(self, key: NewKey) -> Caller:
        return Caller(self.app, self._portal, key.bearer)


@contextmanager
def calling(app: FastAPI, bearer: str | None = None) -> Iterator[Caller]:
    """A caller of the application while its lifespan lasts."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(app.router.lifespan_context(app)):
        yield Caller(app, portal, bearer)


def credentials(key: NewKey) -> Credentials:
    return Credentials(key.consumer_key, key.consumer_secret, key.token, key.token_secret)


def signed(key: NewKey, url: str, method: str = "GET", *, at: int | None = None, **options: Any) -> dict[str, str]:
    """The header of a signed request; `at` is epoch seconds."""
    timestamp = int(time.time()) if at is None else at
    full = url if url.startswith("http") else f"{BASE}{url}"
    return {"Authorization": oauth1.sign(method, full, credentials(key), timestamp=timestamp, nonce=oauth1.nonce(), **options)}


def error(response: httpx.Response) -> tuple[int, int, str]:
    """Status, internal code and message of an error in JSON; all three members must be there, and no others."""
    body = response.json()
    assert list(body) == ["error"]
    assert list(body["error"]) == ["time", "message", "internalCode"]
    return response.status_code, body["error"]["internalCode"], body["error"]["message"]
