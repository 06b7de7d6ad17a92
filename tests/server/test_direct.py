"""The routes that are asked most answer without the framework, and as they would with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest
from callers import LIST, Caller, calling

from shiftlog.catalog import accounts
from shiftlog.catalog import keys as catalog_keys
from shiftlog.catalog.keys import NewKey
from shiftlog.catalog.parts import Part
from shiftlog.house import House
from shiftlog.server import api, data_access, problems
from shiftlog.server import app as application
from shiftlog.server.app import create_app

QUERIES = [
    "",
    "?startTime=0",
    "?startTime=0&limit=1",
    "?startTime=0&limit=1&cursor=MTAuMQ",
    "?startTime=9&endTime=5",
    "?startTime=x&endTime=-1&limit=0",
    "?startTime=",
    "?startTime=%30",
    "?startTime=+5",
    "?startTime=0&startTime=0",
    "?startTime=0&note=1&note=2",
    "?startTime=99999999999999999999",
    "?scopeFrom=0&scopeTo=99999999999999",
    "?scopeFrom=0&cursor=nonsense",
    "?starttime=0",
]
HEADERS: list[dict[str, str]] = [
    {},
    {"Accept": "application/xml"},
    {"Accept": "text/csv"},
    {"Accept": "text/html"},
    {"Range": "bytes=1-3"},
    {"Range": "bytes=999999-"},
    {"If-None-Match": "*"},
    {"Authorization": "Bearer x"},
]


@pytest.fixture
def framework(house: House, keys: NewKey, monkeypatch: pytest.MonkeyPatch) -> Iterator[Caller]:
    """An application in which the framework answers everything."""
    with monkeypatch.context() as patch:
        patch.setattr(data_access, "OFTEN", [])
        patch.setattr(api, "OFTEN", [])
        app = create_app(house, publish=False)
        app.middleware_stack = app.build_middleware_stack()
    with calling(app, keys.bearer) as found:
        yield found


@pytest.fixture
def direct(house: House, keys: NewKey, monkeypatch: pytest.MonkeyPatch) -> Iterator[Caller]:
    """An application whose framework answers nothing."""

    async def nothing(*_: Any) -> None:
        raise AssertionError("the framework was asked")

    with monkeypatch.context() as patch:
        patch.setattr(application, "AsyncExitStackMiddleware", lambda _: nothing)
        app = create_app(house, publish=False)
        app.middleware_stack = app.build_middleware_stack()
    with calling(app, keys.bearer) as found:
        yield found


def told(answer: httpx.Response) -> Any:
    """What an answer says, but for what differs from request to request: its id, and what it covers."""
    own = {"x-request-id", "shiftlog-covered-until"}
    headers = [(name, "" if name in own else value) for name, value in answer.headers.multi_items()]
    return answer.status_code, headers, answer.content


def test_the_framework_answers_no_differently(
    framework: Caller, direct: Caller, house: House, published: Sequence[Part], monkeypatch: pytest.MonkeyPatch
):
    """Whatever is asked for, by whichever method and key."""
    monkeypatch.setattr(problems, "iso", lambda _: "now")
    with house.catalog.write() as conn:
        accounts.ensure(conn, "Bee", house.catalog.now(conn), house.settings)
        writer = catalog_keys.create(conn, house.vault, "A", ["write"], house.catalog.now(conn))
    name = published[0].name
    forms = [f"/{name}{suffix}" for suffix in ("", ".gz", ".parquet", ".zip", ".gz.pgp", ".odd")]
    paths = [*QUERIES, *forms, f"/{name}.gz?x=1&x=2", "/Agent.0.3600000.part-00000-0.gz", "/%41gent", "/é"]
    urls = [f"{base}{path}" for base in (LIST, LIST.replace("/A/", "/Bee/"), LIST.replace("/A/", "/nobody/")) for path in paths]
    for url in urls:
        for method in ("GET", "HEAD"):
            assert told(direct(method, url)) == told(framework(method, url)), (method, url)
        assert told(direct.as_(writer).get(url)) == told(framework.as_(writer).get(url)), url
    for headers in HEADERS:
        for url in (f"{LIST}?startTime=0", f"{LIST}/{name}.gz"):
            assert told(direct("GET", url, headers=headers)) == told(framework("GET", url, headers=headers)), (url, headers)


def test_the_framework_takes_events_no_differently(framework: Caller, direct: Caller, house: House, monkeypatch: pytest.MonkeyPatch):
    """Whatever is sent, as whatever, by whichever key."""
    monkeypatch.setattr(problems, "iso", lambda _: "now")
    with house.catalog.write() as conn:
        reader = catalog_keys.create(conn, house.vault, "A", ["read"], house.catalog.now(conn))
    body = b'{"agentID":1,"timestamp":1700000000000}'
    for url in (
        "/api/v1/accounts/A/events",
        "/api/v1/accounts/A/events?x=1&x=2",
        "/api/v1/accounts/nobody/events",
        "/api/v1/accounts/%41/events",
    ):
        for kind in ("application/x-ndjson", "application/json", "text/plain"):
            for sent in (body, b"[" + body + b"]", b"", b"{}", b"\xff"):
                headers = {"Content-Type": kind}
                assert told(direct("POST", url, content=sent, headers=headers)) == told(
                    framework("POST", url, content=sent, headers=headers)
                )
        assert told(direct.as_(reader).post(url, body)) == told(framework.as_(reader).post(url, body)), url


def test_other_methods_and_paths_are_the_frameworks(call: Caller):
    """What is near to these routes, but none of them."""
    assert call.post(LIST, b"").status_code == 405
    assert call.get("/api/v1/accounts/A/events").status_code == 405
    assert call.get(f"{LIST}/a/b").status_code == 404
    assert call.get(f"{LIST}/").status_code == 404
    assert call.get(f"{LIST}.zip?startTime=0").status_code == 404  # nothing is published
