"""Who is let in, to what, and what of it is recorded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import structlog
from callers import API, BASE, EVENTS, LE, LIST, Caller, calling, error, signed
from oauthlib.oauth1 import Client

from shiftlog import oauth1
from shiftlog.catalog import accounts, tables, trail
from shiftlog.catalog import keys as catalog_keys
from shiftlog.catalog.keys import NewKey
from shiftlog.catalog.parts import Part
from shiftlog.errors import Later
from shiftlog.house import House
from shiftlog.server import identity
from shiftlog.server.app import create_app

URL = f"{LIST}?startTime=0&endTime=99999999999999"


def new_key(house: House, account: str, *permissions: str, expires: int | None = None) -> NewKey:
    with house.catalog.write() as conn:
        accounts.ensure(conn, account, house.catalog.now(), house.settings)
        return catalog_keys.create(conn, house.vault, account, list(permissions), house.catalog.now(), expires)


def audit(house: House, account: str | None = "A") -> list[tuple[str, str, int]]:
    """Action, target and status of the audit lines; without an account, those of nobody."""
    t = tables.audit
    with house.catalog.read() as conn:
        rows = conn.execute(sa.select(t.c.action, t.c.target, t.c.status).where(t.c.account.is_not_distinct_from(account)).order_by(t.c.id))
        return [tuple(row) for row in rows]


@pytest.fixture
def anyone(call: Caller) -> Caller:
    """A caller without a key of its own."""
    return call.without_key()


def pages(house: House, key: NewKey, call: Caller) -> dict[str, str]:
    """The cookie of who signed in with a key."""
    answer = call.without_key()("POST", "/sign-in", data={"token": key.bearer})
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


# ── signatures ──


@pytest.mark.parametrize("method", oauth1.METHODS)
@pytest.mark.usefixtures("published")
def test_a_signed_request_is_answered(anyone: Caller, keys: NewKey, method: str):
    """Both signature methods list the files, and the files' own URLs are signed by themselves."""
    answer = anyone("GET", URL, headers=signed(keys, URL, signature_method=method))
    assert answer.status_code == 200
    href = answer.json()["dataAccessFiles"]["file"][0]["@href"]
    assert anyone("GET", href, headers=signed(keys, href, signature_method=method)).status_code == 200


@pytest.mark.usefixtures("published")
def test_another_implementation_signs_as_we_do(anyone: Caller, keys: NewKey):
    """oauthlib's signature is accepted, with a decimal nonce, a JSON content type and the body `{}`."""
    client = Client(
        keys.consumer_key, keys.consumer_secret, keys.token, keys.token_secret, nonce="73649128", timestamp=str(int(time.time()))
    )
    _, headers, _ = client.sign(f"{BASE}{URL}")
    answer = anyone("GET", URL, headers={**headers, "Content-Type": "application/json"}, content=b"{}")
    assert answer.status_code == 200


@pytest.mark.usefixtures("published")
def test_a_head_request_is_signed_as_such(anyone: Caller, keys: NewKey):
    """HEAD is what was called, so HEAD is what is signed."""
    assert anyone("HEAD", URL, headers=signed(keys, URL, "HEAD")).status_code == 200
    assert anyone("HEAD", URL, headers=signed(keys, URL, "GET")).status_code == 401


@pytest.mark.usefixtures("published")
def test_the_query_is_signed_as_it_was_sent(anyone: Caller, keys: NewKey):
    """Percent-encoding, plus signs, order and empty values in a query are no obstacle."""
    url = f"{LIST}?note=%c3%a9%20a+b&empty=&startTime=0&bare"
    assert anyone("GET", url, headers=signed(keys, url)).status_code == 200


def changed(header: str, parameter: str) -> str:
    """The header with one byte of one parameter's value changed."""
    start = header.index(f'{parameter}="') + len(parameter) + 2
    return header[:start] + ("b" if header[start] == "a" else "a") + header[start + 1 :]


@pytest.mark.parametrize("parameter", ["oauth_signature", "oauth_token", "oauth_consumer_key", "oauth_nonce"])
def test_one_byte_of_the_header_changed_is_refused(anyone: Caller, keys: NewKey, parameter: str):
    """Every part of the header is covered."""
    header = changed(signed(keys, URL)["Authorization"], parameter)
    assert error(anyone("GET", URL, headers={"Authorization": header}))[:2] == (401, 10)


@pytest.mark.parametrize(
    "sent",
    [
        URL.replace("startTime=0", "startTime=1"),
        URL.replace("endTime", "endtime"),
        URL + "&limit=1",
        URL.split("?")[0],
        URL.replace("agentActivity", "agentActivitz"),
        URL.replace("account/A/", "account/B/"),
    ],
)
def test_another_url_than_the_signed_one_is_refused(anyone: Caller, keys: NewKey, sent: str):
    """Path and query are covered, whether or not what they name is there."""
    assert error(anyone("GET", sent, headers=signed(keys, URL)))[:2] == (401, 10)


def test_another_method_or_host_than_the_signed_one_is_refused(anyone: Caller, keys: NewKey):
    """A signature for GET does not let POST in, and one for another host nobody."""
    assert anyone("POST", EVENTS, headers=signed(keys, EVENTS, "GET")).status_code == 401
    assert anyone("GET", URL, headers=signed(keys, f"http://elsewhere{URL}")).status_code == 401


@pytest.mark.usefixtures("published")
def test_the_same_request_twice_is_refused(anyone: Caller, keys: NewKey):
    """A signature is good for one request."""
    header = signed(keys, URL)
    assert [anyone("GET", URL, headers=header).status_code for _ in range(3)] == [200, 401, 401]


@pytest.mark.usefixtures("published")
def test_of_the_same_request_many_times_at_once_one_is_answered(anyone: Caller, keys: NewKey):
    """Also where their nonces are committed together."""
    header = signed(keys, URL)

    async def at_once() -> list[int]:
        answers = await asyncio.gather(*(anyone._client.get(URL, headers=header) for _ in range(20)))
        return sorted(answer.status_code for answer in answers)

    assert anyone._portal.call(at_once) == [200] + [401] * 19


@pytest.mark.usefixtures("published")
def test_a_signature_stays_used_after_a_restart(house: House, keys: NewKey):
    """What was used is in the catalog, not in a process."""
    header = signed(keys, URL)
    statuses = []
    for _ in range(2):
        with calling(create_app(house, publish=False)) as call:
            statuses.append(call("GET", URL, headers=header).status_code)
    assert statuses == [200, 401]


@pytest.mark.parametrize("path", ["?startTime=0", "/{name}.gz", "/{name}.gz?x=1&x=1", "/Agent.0.1.part-00000-0.gz", ".zip?startTime=0"])
def test_a_signature_that_another_server_has_answered_is_good_for_nothing(house: House, keys: NewKey, published: Sequence[Part], path: str):
    """Neither for the bytes nor to learn what would have been answered; and the account's log says what was done, and no more."""
    url = f"{LIST}{path.format(name=published[0].name)}"
    header = signed(keys, url)
    with calling(create_app(house, publish=False)) as here, calling(create_app(house, publish=False)) as there:
        there._client = httpx.AsyncClient(transport=httpx.ASGITransport(there.app), base_url=BASE)  # which raises what an application does
        first, second = here("GET", url, headers=header), there("GET", url, headers=header)
        again = [error(call("GET", url, headers=header)) for call in (here, there)]
    assert first.status_code != 401
    assert error(second) == again[0] == again[1]
    assert error(second)[:2] == (401, 10)
    assert not {"etag", "shiftlog-covered-until", "content-range"} & second.headers.keys()
    assert [(target, status) for _, target, status in audit(house)] == [(f"GET {url.partition('?')[0]}", first.status_code)]
    assert audit(house, None) == [("denied", f"GET {url.partition('?')[0]}", 401)] * 3


def test_who_may_not_look_has_used_the_signature_all_the_same(house: House, call: Caller):
    """What is denied is an answer, too."""
    writer = new_key(house, "A", "write")
    header = signed(writer, URL)
    assert [call.without_key()("GET", URL, headers=header).status_code for _ in range(2)] == [403, 401]
    with calling(create_app(house, publish=False)) as another:
        assert another("GET", URL, headers=header).status_code == 401


@pytest.mark.parametrize("seconds", [-301, 302])
def test_a_stale_or_early_signature_is_refused(anyone: Caller, keys: NewKey, seconds: int):
    """The timestamp may be 300 s from the server's clock, on either side."""
    status, _, message = error(anyone("GET", URL, headers=signed(keys, URL, at=int(time.time()) + seconds)))
    assert status == 401
    assert "oauth_timestamp" in message


def test_signatures_are_checked_against_the_public_url(house: House, keys: NewKey, published: Sequence[Part]):
    """Behind a proxy clients sign, and are told, the public address; what they signed for the inner one is refused."""
    public = replace(house, settings=house.settings.model_copy(update={"public_url": "https://da.example.net/x"}))
    with calling(create_app(public, publish=False)) as call:
        answer = call("GET", URL, headers=signed(keys, f"https://da.example.net/x{URL}"))
        assert answer.json()["dataAccessFiles"]["file"][0]["@href"].startswith("https://da.example.net/x/data_access_le/account/A/")
        assert call("GET", URL, headers=signed(keys, URL)).status_code == 401


# ── keys ──


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer x", "Basic QTpC", "OAuth", 'OAuth realm="x"', "Bearer é"])
def test_no_key_and_what_is_none_get_the_same_401(anyone: Caller, header: str):
    """Both ways in are named, and the answer does not depend on what was asked for."""
    given = {"Authorization": header.encode("latin-1")} if header else {}
    answers = [anyone("GET", url, headers=given) for url in (LE, LE.replace("/A/", "/B/"), f"{LE}/nowhere", API, "/api/v1")]
    assert {error(answer) for answer in answers} == {error(answers[0])}
    assert error(answers[0])[:2] == (401, 10)
    assert answers[0].headers.get_list("www-authenticate") == ['OAuth realm="shiftlog"', 'Bearer realm="shiftlog"']


def test_two_authorization_headers_are_refused(anyone: Caller, keys: NewKey):
    """It is not guessed which one counts."""
    headers = [("Authorization", f"Bearer {keys.bearer}"), ("Authorization", "Bearer x")]
    assert anyone._portal.call(lambda: anyone._client.get(LE, headers=headers)).status_code == 401


def test_a_revoked_key_is_let_in_no_more(house: House, call: Caller, keys: NewKey, monkeypatch: pytest.MonkeyPatch):
    """It is remembered for a second at most."""
    assert identity._REMEMBERED <= 1
    assert call.get(LE).status_code == 200
    with house.catalog.write() as conn:
        catalog_keys.revoke(conn, keys.token, house.catalog.now())
    monkeypatch.setattr(identity, "_REMEMBERED", 0.0)
    status, _, message = error(call.get(LE))
    assert (status, "revoked" in message) == (401, True)
    assert error(call.without_key()("GET", URL, headers=signed(keys, URL)))[0] == 401


def test_an_expired_key_is_let_in_no_more(house: House, call: Caller):
    """By its own clock, also where it is remembered."""
    key = new_key(house, "A", "read", expires=house.catalog.now() - 1)
    status, _, message = error(call.as_(key).get(LE))
    assert (status, "expired" in message) == (401, True)


# ── accounts and permissions ──


@pytest.mark.parametrize(
    "path", ["", "/agentActivity?startTime=0", "/agentActivity?startTime=x", "/agentActivity/Agent.0.1.part-00000-0.gz", "/schema"]
)
def test_another_account_answers_as_one_that_is_not_there(house: House, call: Caller, path: str):
    """Nobody learns from an answer whether an account exists."""
    new_key(house, "Bee", "read")
    there, nowhere = (error(call.get(f"/data_access_le/account/{name}/le{path}")) for name in ("Bee", "Cee"))
    assert there[:2] == (404, 20)
    assert there[2].replace("Bee", "Cee") == nowhere[2]


@pytest.mark.parametrize("path", ["manifest", "status", "open", "manifest?after=x"])
def test_another_account_is_not_there_in_the_api_either(house: House, call: Caller, path: str):
    """All resources of an account are alike."""
    new_key(house, "Bee", "read")
    assert error(call.get(f"/api/v1/accounts/Bee/{path}")) == (404, 20, "there is no account Bee")
    assert error(call.post("/api/v1/accounts/Bee/events", b"{}")) == (404, 20, "there is no account Bee")


def test_permissions_are_kept(house: House, call: Caller):
    """read reads, write writes, admin does both; the answer names what is missing."""
    event = b'{"agentID": 1, "timestamp": 1465992202047}'
    reader, writer, admin = (call.as_(new_key(house, "A", permission)) for permission in ("read", "write", "admin"))
    assert [caller.get(LE).status_code for caller in (reader, writer, admin)] == [200, 403, 200]
    assert [caller.post(EVENTS, event).status_code for caller in (reader, writer, admin)] == [403, 200, 200]
    assert error(writer.get(LE)) == (403, 11, "the key has the permission write; this needs read")


# ── what is recorded ──


def test_listing_downloading_and_ingesting_are_recorded(house: House, call: Caller, published: Sequence[Part]):
    """Who did what, with which answer; what only tells of the service leaves nothing."""
    call.get(f"{LIST}?startTime=0&secret=1")
    call.get(f"{LIST}/{published[0].name}.gz")
    call.post(EVENTS, b"nonsense")
    call.get(f"{API}/status")
    assert audit(house) == [
        ("list", f"GET {LIST}", 200),
        ("download", f"GET {LIST}/{published[0].name}.gz", 200),
        ("ingest", f"POST {EVENTS}", 400),
    ]


def test_looking_at_pages_and_asking_is_recorded(house: House, call: Caller, keys: NewKey, published: Sequence[Part]):
    """Numbers of people are seen there, too; what a page is made of leaves no lines of its own."""
    cookie = pages(house, keys, call)
    visitor = call.without_key()
    for path in ("/files", "/docs", f"/files/{published[0].name}.gz", "/static/x/page.js"):
        visitor("GET", path, headers=cookie)
    call.get(f"{API}/quality")
    assert audit(house) == [
        ("sign-in", "POST /sign-in", 303),
        ("page", "GET /files", 200),
        ("download", f"GET /files/{published[0].name}.gz", 200),
        ("quality", f"GET {API}/quality", 200),
    ]


def test_a_key_that_holds_no_longer_is_recorded_as_itself(house: House, call: Caller):
    """Whose key it was is known, and worth knowing; who only names it in a header is nobody."""
    key = new_key(house, "A", "read", expires=house.catalog.now() - 1)
    call.as_(key).get(LE)
    call.without_key()("GET", LE, headers={"Authorization": changed(signed(key, LE)["Authorization"], "oauth_signature")})
    assert audit(house) == audit(house, None) == [("denied", f"GET {LE}", 401)]


def test_what_is_denied_is_recorded(house: House, call: Caller, anyone: Caller):
    """Without a key, with too little permission, and in another's account."""
    anyone.get(LE)
    call.as_(new_key(house, "A", "write")).get(LE)
    call.get("/api/v1/accounts/Bee/status")
    assert audit(house, None) == [("denied", f"GET {LE}", 401)]
    assert audit(house) == [("denied", f"GET {LE}", 403), ("denied", "GET /api/v1/accounts/Bee/status", 404)]


def test_nothing_is_answered_that_is_not_recorded(call: Caller, published: Sequence[Part], monkeypatch: pytest.MonkeyPatch):
    """Where the audit line cannot be written, the answer is to try later."""

    def full(*_: Any) -> None:
        raise Later("no space is left")

    monkeypatch.setattr(trail, "record", full)
    answer = call.get(f"{LIST}/{published[0].name}.gz")
    assert error(answer) == (503, 50, "no space is left")
    assert "etag" not in answer.headers


def test_many_requests_at_once_are_each_recorded(house: House, call: Caller, published: Sequence[Part]):
    """What is committed together is still one line and one nonce a request."""

    async def at_once() -> list[httpx.Response]:
        headers = call._default
        return await asyncio.gather(*(call._client.get(f"{LIST}?startTime=0", headers=headers) for _ in range(50)))

    assert {answer.status_code for answer in call._portal.call(at_once)} == {200}
    assert len(audit(house)) == 50


def test_one_log_line_a_request_and_no_secret_in_it(call: Caller, keys: NewKey):
    """Method, path, status, time, account, key and id; no query, no header."""
    with structlog.testing.capture_logs() as lines:
        call("GET", f"{LE}?token=hidden", headers={"X-Request-Id": "abc.1"})
    [line] = [line for line in lines if line["event"] == "request"]
    assert (line["method"], line["path"], line["status"], line["account"], line["id"]) == ("GET", LE, 200, "A", "abc.1")
    assert line["key"] == 1
    assert line["ms"] >= 0
    assert not any(secret in str(line) for secret in ("hidden", keys.bearer, keys.token))


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "ä"])
def test_a_request_gets_an_id_of_its_own_unless_it_brings_a_good_one(call: Caller, given: str):
    """The id is a header of every answer."""
    found = call("GET", "/nowhere", headers={"X-Request-Id": given.encode("latin-1")}).headers["x-request-id"]
    assert len(found) == 16
    assert found != given


# ── limits ──


def test_headers_and_urls_have_limits(call: Caller):
    """Far beyond what any client needs, and before anything is looked up."""
    assert error(call.get(LE, X_Long="x" * 40_000))[:2] == (400, 1)
    assert error(call.get(f"{LIST}?startTime={'0' * 9_000}"))[:2] == (400, 1)


@pytest.mark.parametrize("host", ["", "a b", "a/b", "a@b", "a:b:c", "ex<ample"])
def test_a_host_that_is_none_is_refused(call: Caller, host: str):
    """Links are never made of what is not a host."""
    assert error(call("GET", LE, headers={"Host": host}))[:2] == (400, 1)
