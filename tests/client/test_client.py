"""The client against shiftlog's own server in this process, and against answers that are not what they should be."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import msgspec
import polars as pl
import pytest

from client.servers import URL, Bridge, answering, hasty, profile, query, shiftlog_client
from readers import all_parts, land, publish_at
from scenes import DAY, HOUR, MINUTE, T0, event, login, logout, sent
from shiftlog.catalog import keys as catalog_keys
from shiftlog.catalog.keys import NewKey
from shiftlog.client import Client, Profile, answers
from shiftlog.client.auth import OAuth1, travelling
from shiftlog.client.patience import Patience
from shiftlog.errors import Damaged, Forbidden, Invalid, Later, Missing, Unauthorized, Unusable
from shiftlog.house import House
from shiftlog.server import shapes
from shiftlog.server.app import create_app

BEARER = Profile(URL, "A", bearer="hidden")


@pytest.fixture
def client(house: House, keys: NewKey) -> Iterator[Client]:
    """A client of the house of the scene."""
    with shiftlog_client(house, keys) as client:
        yield client


def published(house: House, hours: int = 3) -> None:
    """One session an hour, each in a part of its own."""
    for hour in range(hours):
        start = T0 - 2 * DAY + hour * HOUR
        land(house, sent(login(start), event(start + MINUTE, state=2), logout(start + 2 * MINUTE)))
    publish_at(house, T0)


# ── shiftlog's server ──


def test_files_are_listed_and_read(house: House, client: Client):
    """In the order of their generated time, with how far the answer reaches."""
    published(house)
    listing = client.list(0)
    assert [str(file.name) for file in listing.files] == [str(part.name) for part in all_parts(house)]
    assert listing.covered_until <= house.catalog.now()
    assert client.read(listing.files[0])["type"].to_list() == [3, 1, 4]


def test_no_files_are_an_empty_list(client: Client):
    """And the answer still says how far it reaches."""
    listing = client.list(5, 10)
    assert (listing.files, listing.covered_until) == ([], 10)


def test_pages_are_followed(house: House, client: Client):
    """File by file, or as one list."""
    published(house, 5)
    assert [file.name for file in client.iterate(0, page=2)] == [file.name for file in client.list(0).files]
    by_scope = client.list(scopeFrom=T0 - 2 * DAY + HOUR, scopeTo=T0 - 2 * DAY + 3 * HOUR)
    assert len(by_scope.files) == 2


def test_the_manifest_says_what_a_file_is(house: House, client: Client, tmp_path: Path):
    """Its size, and the checksum of its bytes."""
    published(house)
    [first, *_] = client.manifest().parts
    file = client.list(0).files[0]
    assert first.name == str(file.name)
    path = client.download(file, tmp_path, size=first.bytes)
    from shiftlog.client.convert import fingerprint

    assert fingerprint(path) == (first.bytes, first.sha256)
    assert [part.sequence for part in client.manifest(after=1).parts] == [2, 3]


def test_the_manifest_is_one_whatever_its_pages(house: House, keys: NewKey):
    """All parts, and the empty hours of its last page."""
    published(house, 5)
    app = create_app(House(house.directory, house.store, house.catalog, house.vault, house.settings.model_copy(update={"page_parts": 2})))
    app.state.services.start()
    with Client(profile(keys), transport=Bridge(app)) as client:
        manifest = client.manifest()
    app.state.services.stop()
    assert [part.sequence for part in manifest.parts] == [1, 2, 3, 4, 5]
    assert manifest.empty_hours


@pytest.mark.parametrize("name", ["ManifestPart", "Stretch", "Manifest", "Accepted"])
def test_documents_are_those_of_the_server(name: str):
    """The client's shapes have the members that the server's have."""
    mine, theirs = (list(msgspec.json.schema(getattr(module, name))["$defs"][name]["properties"]) for module in (answers, shapes))
    assert mine == theirs


def test_events_are_sent_some_at_a_time(house: House, client: Client, monkeypatch: pytest.MonkeyPatch):
    """Rows of any kind; what is sent again does not count again."""
    monkeypatch.setattr("shiftlog.client.http._BATCH", 2)
    now = house.catalog.now()
    events = [login(now - 3), event(now - 2), event(now - 1)]
    assert client.post_events(events) == 3
    assert client.post_events(pl.DataFrame(events)) == 3
    assert client.status()["batches"]["landed"] == 4
    assert client.open_sessions()["timestamp"].to_list() == [now - 3, now - 2, now - 1]


def test_a_wrong_event_is_named(client: Client):
    """As the server names it."""
    with pytest.raises(Invalid, match="state: found"):
        client.post_events([event(T0, state=77)])


def test_the_schema_is_that_of_the_version(client: Client):
    """And one that is not known is missing."""
    assert client.schema("1.0.0.4")["name"]
    with pytest.raises(Missing, match=r"1\.0\.0\.4"):
        client.schema("1.2.3.4")


# ── keys ──


def refused(house: House, profile: Profile, **options: Any) -> pytest.ExceptionInfo[Unauthorized]:
    app = create_app(house, publish=False)
    app.state.services.start()
    with Client(profile, transport=Bridge(app), patience=hasty(), **options) as client, pytest.raises(Unauthorized) as caught:
        client.list(0)
    app.state.services.stop()
    return caught


def test_a_wrong_key_is_refused(house: House, keys: NewKey):
    """Once, and for good."""
    caught = refused(house, Profile(URL, "A", keys.consumer_key, "0" * 32, keys.token, keys.token_secret))
    assert "oauth_signature does not fit" in str(caught.value)


def test_a_revoked_key_is_refused(house: House, keys: NewKey):
    """By its signature and by its bearer token."""
    with house.catalog.write() as conn:
        catalog_keys.revoke(conn, keys.token, house.catalog.now())
    assert "revoked" in str(refused(house, profile(keys)).value)
    refused(house, Profile(URL, "A", bearer=keys.bearer))


def test_a_clock_that_is_wrong_is_named(house: House, keys: NewKey):
    """With how far it is off."""
    caught = refused(house, profile(keys), clock=lambda: time.time() - 3600)
    assert "behind the server's clock" in str(caught.value)


def test_a_key_without_the_permission_is_forbidden(house: House, account: str):
    """Reading is not writing."""
    with house.catalog.write() as conn:
        key = catalog_keys.create(conn, house.vault, account, ["read"], house.catalog.now())
    with shiftlog_client(house, key) as client, pytest.raises(Forbidden):
        client.post_events([login(T0)])


def test_a_bearer_token_goes_to_its_server_only():
    """A list can name files anywhere."""
    with Client(BEARER, transport=answering()) as client, pytest.raises(Forbidden, match=r"names http://elsewhere\.example/x") as caught:
        client.read(answers.File(answers.split_suffix("Agent.0.3600000.part-00000-0")[0], "http://elsewhere.example/x"))
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://da.example.net:443/a b?x=1+2&y=ü%2F", "http://da.example.net:8080/a?startTime=1&cursor=a%3D%3D"])
def test_what_is_signed_is_what_travels(url: str):
    """The server, which sees the request's bytes, finds the signature to fit."""
    from shiftlog import oauth1

    credentials = oauth1.Credentials("ck", "cs", "to", "ts")
    request = next(OAuth1(credentials).auth_flow(httpx.Request("GET", url)))
    raw = f"{request.url.scheme}://{request.headers['host']}{request.url.raw_path.decode()}"
    now = int(time.time() * 1000)
    oauth1.verify(oauth1.parse_header(request.headers["authorization"]), "GET", raw, credentials, now=now, window=5000)
    assert travelling(request.url) == raw


# ── answers that are not what they should be ──

EMPTY = {"dataAccessFiles": {"@id": "A", "link": {"@href": "x", "@rel": "self"}, "file": []}}


def ask(*given: httpx.Response | Exception, attempts: int = 3, patience: Patience | None = None) -> answers.Listing:
    with Client(BEARER, transport=answering(*given), patience=patience or hasty(attempts)) as client:
        return client.list(0)


def test_the_server_is_asked_again_after_what_may_pass():
    """Broken connections, 429 and 5xx; then its answer counts."""
    failures = (httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("cut"), httpx.Response(500))
    failures += (httpx.Response(429, headers={"Retry-After": "0"}), httpx.Response(503, html="<h1>Busy</h1>"))
    assert ask(*failures, httpx.Response(200, json=EMPTY), attempts=7) == answers.Listing([], None)


def test_the_server_is_not_asked_again_after_what_will_not_pass():
    """One request, one error."""
    for status, error in [(400, Invalid), (401, Unauthorized), (403, Forbidden), (404, Missing), (405, Invalid), (302, Invalid)]:
        with pytest.raises(error):
            ask(httpx.Response(status))


def test_the_last_error_is_told():
    """When patience ends, with what the server said."""
    with pytest.raises(Later, match=r"GET http://da\.example\.net/.* answered 503: Busy & closed"):
        ask(*[httpx.Response(503, html="<h1>Busy &amp; closed</h1>")] * 3)
    with pytest.raises(Later, match=r"the connection to da\.example\.net failed: refused"):
        ask(*[httpx.ConnectError("refused")] * 3)


def test_retry_after_is_seconds_or_a_date():
    """And nothing else."""
    slept: list[float] = []
    patience = Patience(sleep=slept.append, chance=lambda: 0.0)
    told = ["3", formatdate(time.time() + 60, usegmt=True), "soon"]
    ask(*(httpx.Response(429, headers={"Retry-After": text}) for text in told), httpx.Response(200, json=EMPTY), patience=patience)
    assert slept[0] == 3
    assert 50 < slept[1] <= 60
    assert slept[2] == 2


def test_a_certificate_that_is_not_trusted_does_not_pass():
    """It is for the operator."""
    with pytest.raises(Unusable, match="not trusted"):
        ask(httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate"))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(200, html="<title>Sign in</title><p>Sign in</p>"), r"text/html: Sign in Sign in\); is the profile's url"),
        (httpx.Response(200, json={"files": []}), "dataAccessFiles"),
        (httpx.Response(200, content=b'{"dataAccessFiles"', headers={"Content-Type": "application/json"}), "truncated"),
        (httpx.Response(200, json={"dataAccessFiles": {"file": [{"@name": "../../etc/passwd", "@href": "x"}]}}), "not a file of agent"),
        (httpx.Response(200, json=EMPTY, headers={"Shiftlog-Covered-Until": "yesterday"}), "epoch milliseconds"),
    ],
)
def test_what_is_not_a_list_is_damaged(answer: httpx.Response, said: str):
    """With what was found instead."""
    with pytest.raises(Damaged, match=said):
        ask(answer)


def test_errors_in_xml_are_understood():
    """As the original service answers them; nothing found is no error, whatever its status."""
    text = "<error><time>2018-01-25T01:19:15.196-05:00</time><message>{}</message><internalCode>10</internalCode></error>"
    with pytest.raises(Unauthorized, match="401: Unauthorized request"):
        ask(httpx.Response(401, text=text.format("Unauthorized request")))
    for status in (404, 400, 500):
        assert ask(httpx.Response(status, text=text.format("No Available Files"))).files == []


def test_a_moved_server_is_named():
    """A signature is for one URL, so redirects are not followed."""
    with pytest.raises(Invalid, match=r"it points to https://new\.example\.net/"):
        ask(httpx.Response(301, headers={"Location": "https://new.example.net/"}))


def test_a_list_may_name_files_relatively():
    """They are beside the list."""
    file = {"@name": "Agent.0.3600000.part-00000-0", "@href": "agentActivity/x.gz"}
    [found] = ask(httpx.Response(200, json={"dataAccessFiles": {"file": [file]}})).files
    assert found.href == "http://da.example.net/data_access_le/account/A/le/agentActivity/x.gz"


def test_only_what_was_given_is_asked():
    """Parameters that are left out do not travel."""
    asked: list[dict[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(query(request))
        return httpx.Response(200, json=EMPTY)

    with Client(BEARER, transport=answering(then=answer)) as client:
        client.list(5)
        client.list(5, 6)
        client.list(scopeFrom=1)
    assert asked == [{"startTime": "5"}, {"startTime": "5", "endTime": "6"}, {"scopeFrom": "1"}]
