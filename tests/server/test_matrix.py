"""Who gets through which route: every route of the application, with every kind of key, right and wrong.

Routes come from the application itself. One that is added is in the matrix by itself; if it is meant for everyone, it has to be named here.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import httpx
import pytest
import sqlalchemy as sa
from callers import Caller, credentials, error, signed
from fastapi.routing import iter_route_contexts

from shiftlog import oauth1
from shiftlog.catalog import accounts
from shiftlog.catalog import keys as catalog_keys
from shiftlog.catalog.keys import NewKey
from shiftlog.catalog.parts import Part
from shiftlog.charts import CHARTS
from shiftlog.house import House
from shiftlog.server import guard, identity

#: The routes that need no key, by path. Whoever adds one says so here.
PUBLIC = {"/healthz", "/readyz", "/metrics", "/api/openapi.json", "/", "/sign-in", "/sign-out", "/theme", "/static/{version}/{name}"} | {
    "/docs",
    "/docs/api",
    "/docs/{name}",
}
_LE, _API = "/data_access_le/account/{account}/le", "/api/v1/accounts/{account}"
#: The permission that each other route needs, but for the pages: these show what a key may read. Whoever adds one says so here.
NEEDS = {
    **dict.fromkeys([_LE, *(f"{_LE}/{name}" for name in ("agentActivity", "agentActivity.zip", "agentActivity/{name}", "schema"))], "read"),
    **dict.fromkeys([f"{_API}/{name}" for name in ("manifest", "signing-keys", "status", "open")], "read"),
    **dict.fromkeys([f"{_API}/{name}" for name in ("metrics", "timeline", "quality", "charts/{name}")], "read"),
    f"{_API}/events": "write",
    f"{_API}/audit": "admin",
}
EVENT = b'{"agentID": 1, "timestamp": 1465992202047}'


class Way(NamedTuple):
    """One route and method, as it is asked."""

    method: str
    path: str

    def url(self, account: str, part: str) -> str:
        names = {
            "account": account,
            "name": next(iter(CHARTS)) if "charts" in self.path else part,
            "agent": "1",
            "format_": "json",
            "version": "x",
        }
        url = re.sub(r"{(\w+)(:path)?}", lambda match: names[match[1]], self.path)
        return url + {"/agentActivity": "?startTime=0", "/agentActivity.zip": "?startTime=0"}.get(self.path.partition("/le")[2], "")


def ways(app: Any) -> list[Way]:
    """All routes with their methods; one of a kind that is not known here would have none, and is a mistake."""
    found = set()
    for route in iter_route_contexts(app.routes):
        assert route.methods, route
        found |= {Way(method, route.path) for method in route.methods}
    return sorted(found)


def is_guarded(way: Way) -> bool:
    return any(way.path.startswith(f"{prefix}/") for prefix in guard.GUARDED)


class Keys(NamedTuple):
    reader: NewKey
    writer: NewKey
    admin: NewKey
    expired: NewKey
    revoked: NewKey
    stranger: NewKey

    @classmethod
    def make(cls, house: House) -> Keys:
        with house.catalog.write() as conn:
            now = house.catalog.now(conn)
            accounts.ensure(conn, "Bee", now, house.settings)

            def new(account: str, permission: str, expires: int | None = None) -> NewKey:
                return catalog_keys.create(conn, house.vault, account, [permission], now, expires)

            made = cls(
                *(new("A", name) for name in ("read", "write", "admin")), new("A", "admin", now - 1), new("A", "admin"), new("B", "admin")
            )
            catalog_keys.revoke(conn, made.revoked.token, now)
        return made


class Scene:
    """A deployment with two accounts, files in both, a key of each kind, and the application that is asked."""

    def __init__(self, house: House, call: Caller, part: Part) -> None:
        self.house, self.call, self.part, self.keys = house, call.without_key(), str(part.name), Keys.make(house)

    def ask(self, way: Way, headers: dict[str, str] | None = None, *, account: str = "A", url: str | None = None) -> httpx.Response:
        body = {"content": EVENT} if way.method == "POST" else {}
        sent = {"Content-Type": "application/x-ndjson", **(headers or {})}
        return self.call(way.method, url or way.url(account, self.part), headers=sent, **body)

    def bearer(self, key: NewKey) -> dict[str, str]:
        return {"Authorization": f"Bearer {key.bearer}"}

    def signed(self, key: NewKey, way: Way, **options: Any) -> dict[str, str]:
        return signed(key, way.url("A", self.part), way.method, **options)


@pytest.fixture
def scene(house: House, call: Caller, published: Sequence[Part]) -> Scene:
    return Scene(house, call, published[0])


def test_every_route_is_public_by_name_or_needs_a_key(scene: Scene):
    """A route that somebody forgot to guard is found here."""
    found = ways(scene.call.app)
    assert {way.path for way in found if way.path in PUBLIC} == PUBLIC
    assert {way.path for way in found if is_guarded(way)} == NEEDS.keys()
    for way in found:
        if way.path in PUBLIC:
            continue
        answer = scene.ask(way)
        if is_guarded(way):
            assert error(answer)[:2] == (401, 10), way
        else:
            assert (answer.status_code, answer.headers.get("location", "").partition("?")[0]) in {(303, "/sign-in"), (401, "")}, way


def test_every_guarded_route_is_documented(scene: Scene):
    """And nothing is documented that is not in the matrix."""
    found = {(way.method, way.path) for way in ways(scene.call.app)}
    documented = {(method.upper(), path) for path, methods in scene.call.app.openapi()["paths"].items() for method in methods}
    assert documented <= found
    assert {(way.method, way.path) for way in ways(scene.call.app) if is_guarded(way)} <= documented


# ── with a key ──


def nothing(scene: Scene, way: Way) -> dict[str, str]:
    return {}


def wrong(scene: Scene, way: Way) -> dict[str, str]:
    return {"Authorization": "Bearer " + "x" * 43}


def revoked(scene: Scene, way: Way) -> dict[str, str]:
    return scene.bearer(scene.keys.revoked)


def revoked_signed(scene: Scene, way: Way) -> dict[str, str]:
    return scene.signed(scene.keys.revoked, way)


def expired(scene: Scene, way: Way) -> dict[str, str]:
    return scene.bearer(scene.keys.expired)


def expired_signed(scene: Scene, way: Way) -> dict[str, str]:
    return scene.signed(scene.keys.expired, way)


def stale(scene: Scene, way: Way) -> dict[str, str]:
    return scene.signed(scene.keys.admin, way, at=int(time.time()) - 400)


def early(scene: Scene, way: Way) -> dict[str, str]:
    return scene.signed(scene.keys.admin, way, at=int(time.time()) + 400)


def tampered(scene: Scene, way: Way) -> dict[str, str]:
    header = scene.signed(scene.keys.admin, way)["Authorization"]
    return {"Authorization": header.replace('oauth_nonce="', 'oauth_nonce="0')}


def another_secret(scene: Scene, way: Way) -> dict[str, str]:
    mixed = credentials(scene.keys.stranger)
    own = credentials(scene.keys.admin)
    forged = type(own)(own.consumer_key, mixed.consumer_secret, own.token, mixed.token_secret)
    url = f"http://testserver{way.url('A', scene.part)}"
    return {"Authorization": oauth1.sign(way.method, url, forged, timestamp=int(time.time()), nonce=oauth1.nonce())}


def another_method(scene: Scene, way: Way) -> dict[str, str]:
    return signed(scene.keys.admin, way.url("A", scene.part), "POST" if way.method == "GET" else "GET")


def another_url(scene: Scene, way: Way) -> dict[str, str]:
    url = way.url("A", scene.part)
    return signed(scene.keys.admin, url + ("&" if "?" in url else "?") + "x=1", way.method)


REFUSED = [
    *(nothing, wrong, revoked, revoked_signed, expired, expired_signed),
    *(stale, early, tampered, another_secret, another_method, another_url),
]


@pytest.mark.parametrize("kind", REFUSED, ids=lambda kind: kind.__name__)
def test_who_has_no_key_that_holds_gets_nowhere(scene: Scene, kind: Callable[[Scene, Way], dict[str, str]]):
    """On every route that needs a key, whether or not its account is there; and nothing of it is done."""
    for way in filter(is_guarded, ways(scene.call.app)):
        answer = scene.ask(way, kind(scene, way))
        assert error(answer)[:2] == (401, 10), (way, answer.text)
    assert landed(scene) == 2


def landed(scene: Scene) -> int:
    """How many batches the account has; the scene begins with two."""
    with scene.house.catalog.read() as conn:
        return int(conn.scalar(sa.text("SELECT landed FROM accounts WHERE account = 'A'")))


@pytest.mark.parametrize("holder", ["reader", "writer", "admin"])
def test_a_key_gets_through_where_it_has_the_permission(scene: Scene, holder: str):
    """The only right cells: with a bearer token and with a signature; all others are told what is missing."""
    key: NewKey = getattr(scene.keys, holder)
    for way in filter(is_guarded, ways(scene.call.app)):
        needed = NEEDS[way.path]
        may = needed in key.permissions or "admin" in key.permissions
        for headers in (scene.bearer(key), scene.signed(key, way)):
            answer = scene.ask(way, headers)
            if may:
                assert answer.status_code == 200, (way, answer.text)
            else:
                assert error(answer)[:2] == (403, 11), way
                assert f"this needs {needed}" in error(answer)[2]


def test_other_methods_get_no_further(scene: Scene):
    """HEAD is answered as GET is; what no route has is told to nobody without a key."""
    for way in filter(is_guarded, ways(scene.call.app)):
        known = {"GET", "HEAD"} if way.method == "GET" else {way.method}
        for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - {way.method}:
            asked = way._replace(method=method)
            assert scene.ask(asked).status_code == 401, asked
            assert scene.ask(asked, scene.bearer(scene.keys.admin)).status_code == (200 if method in known else 405), asked
    assert landed(scene) == 2


def test_a_signature_is_good_for_one_request_of_each_route(scene: Scene):
    """The second is a replay."""
    for way in filter(is_guarded, ways(scene.call.app)):
        header = scene.signed(scene.keys.admin, way)
        assert [scene.ask(way, header).status_code for _ in range(2)] == [200, 401], way


# ── whether an account is there ──

_TIME = r'"time":"[^"]*"'
_VARYING = ("x-request-id", "date", "content-length")  # the body is compared; the time in it has milliseconds, or is a whole second


def told(answer: httpx.Response, name: str) -> tuple[int, list[tuple[str, str]], str]:
    """All that an answer tells, but for when it was given, and with the account's name left out."""
    body = re.sub(_TIME, "", answer.text)
    headers = [(key, value) for key, value in answer.headers.multi_items() if key not in _VARYING]
    return answer.status_code, headers, body.replace(name, "…")


def queries(scene: Scene, way: Way, headers: dict[str, str], account: str) -> tuple[httpx.Response, list[str]]:
    """An answer, and what the catalog was asked for it."""
    seen: list[str] = []

    def listen(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        # What is written, and what the server's own threads read, is of other requests too.
        if statement.startswith("SELECT") and threading.current_thread().name not in ("limits", "scheduler"):
            seen.append(statement)

    engine = scene.house.catalog.engine
    sa.event.listen(engine, "before_cursor_execute", listen)
    try:
        return scene.ask(way, headers, account=account), seen
    finally:
        sa.event.remove(engine, "before_cursor_execute", listen)


def test_no_answer_tells_whether_another_account_is_there(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    """Status, headers and body are the same to the byte, and so is what the catalog was asked: there is nothing else to take time."""
    monkeypatch.setattr(identity, "_REMEMBERED", 0.0)
    for way in filter(is_guarded, ways(scene.call.app)):
        for key in (scene.keys.reader, scene.keys.writer, scene.keys.admin):
            there, asked_there = queries(scene, way, scene.bearer(key), "Bee")
            nowhere, asked_nowhere = queries(scene, way, scene.bearer(key), "Cee")
            assert error(there)[:2] == (404, 20), way
            assert told(there, "Bee") == told(nowhere, "Cee"), way
            assert asked_there == asked_nowhere, way


def test_without_a_key_nothing_tells_whether_an_account_is_there(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    """Nor with a key that is wrong."""
    monkeypatch.setattr(identity, "_REMEMBERED", 0.0)
    for way in filter(is_guarded, ways(scene.call.app)):
        for kind in (nothing, wrong, revoked, expired):
            answers = [queries(scene, way, kind(scene, way), name) for name in ("A", "Bee", "Cee")]
            assert len({str((told(answer, ""), asked)) for answer, asked in answers}) == 1, (way, kind)


def test_pages_show_nothing_of_another_account(scene: Scene):
    """A visitor who asks for another account's page, on any route of the pages, gets the page of one that is not there."""
    with scene.house.catalog.write() as conn:
        for name in ("A", "Bee"):
            accounts.name(conn, name, [("agent", 1, 0, "Ada")])
    signed_in = scene.call("POST", "/sign-in", data={"token": scene.keys.admin.bearer})
    cookie = {"Cookie": signed_in.headers["set-cookie"].partition(";")[0]}
    found = [way for way in ways(scene.call.app) if way.path not in PUBLIC and not is_guarded(way)]
    assert len(found) >= 10
    for way in found:
        pages = [scene.call(way.method, f"{way.url('A', scene.part)}?account={name}", headers=cookie) for name in ("Bee", "Cee")]
        assert [page.status_code for page in pages] == [404, 404], way
        shown = [re.sub(rf"account( |=|%3D){name}\b|{_TIME}", "…", page.text) for name, page in zip(("Bee", "Cee"), pages, strict=True)]
        assert shown[0] == shown[1], way
        if way.path != "/now/events":  # which never ends
            assert scene.call(way.method, way.url("A", scene.part), headers=cookie).status_code != 404, way


@pytest.mark.soak
def test_no_answer_takes_longer_where_another_account_is_there(scene: Scene):
    """The medians of many answers, in turn, are nearer to each other than what a network adds to each."""
    way = next(way for way in ways(scene.call.app) if way.path.endswith("/agentActivity"))
    took: dict[str, list[float]] = {"Bee": [], "Cee": []}
    for _ in range(3_000):
        for name, times in took.items():
            began = time.perf_counter()
            scene.ask(way, scene.bearer(scene.keys.reader), account=name)
            times.append(time.perf_counter() - began)
    there, nowhere = (sorted(times)[len(times) // 2] for times in took.values())
    assert abs(there - nowhere) < 0.1 * nowhere
