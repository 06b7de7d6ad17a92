"""Taking events in, and what an account is told of its data."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from callers import API, EVENTS, Caller, calling, error

import readers
from readers import every_row, land, publish_at
from scenes import HOUR, MINUTE, T0, event, login, logout, sent
from shiftlog import landing, retention
from shiftlog.catalog import accounts, batches, tables
from shiftlog.catalog.keys import NewKey
from shiftlog.catalog.parts import Part
from shiftlog.errors import Later
from shiftlog.house import House
from shiftlog.server import bodies
from shiftlog.server.app import create_app


def landed(house: House) -> int:
    """How many events are stored durably."""
    with house.catalog.read() as conn:
        return landing.read(house.store, batches.after(conn, "A", 0)).height


# ── events in ──


TWO = [{"agentID": agent, "timestamp": T0} for agent in (1, 2)]
CLOUD = [{"specversion": "1.0", "type": "t", "source": "s", "id": str(event["agentID"]), "data": event} for event in TWO]


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("application/x-ndjson", "\n\n".join(map(json.dumps, TWO))),
        ("application/json", json.dumps(TWO, indent=1)),
        ("application/cloudevents-batch+json", json.dumps(CLOUD)),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_each_form_is_taken_packed_or_not(house: House, call: Caller, form: str, body: str, packed: bool):
    """Events are durable when the answer says how many they are."""
    content, encoding = (gzip.compress(body.encode()), "gzip") if packed else (body.encode(), "identity")
    answer = call.post(EVENTS, content, Content_Type=form, Content_Encoding=encoding)
    assert (answer.status_code, answer.json()) == (200, {"accepted": 2})
    assert landed(house) == 2


ONE = b'{"agentID":1,"timestamp":%d}\n' % T0


@pytest.mark.parametrize(
    ("content", "headers", "expected"),
    [
        (ONE + b'{"agentID":1,"timestamp":1}', {}, (400, 1, "line 2: timestamp: found 1")),
        (b'{"agentID":1,"timestamp":%d,"state":9}' % T0, {}, (400, 1, "line 1: state: found 9")),
        (b'{"agentID":1,"timestamp":%d,"x":9}' % T0, {}, (400, 1, "an unknown field")),
        (ONE + b"\xff\xfe", {}, (400, 1, "line 2")),
        (b"[" + ONE + b"\xff]", {"Content_Type": "application/json"}, (400, 1, "not")),
        (b"", {}, (400, 1, "no event")),
        (b"[]", {"Content_Type": "application/json"}, (400, 1, "no event")),
        (b"{}", {"Content_Type": "application/json"}, (400, 1, "array")),
        (ONE, {"Content_Type": "text/plain"}, (415, 5, "text/plain")),
        (ONE, {"Content_Encoding": "br"}, (415, 5, "br")),
        (ONE, {"Content_Encoding": "gzip"}, (400, 1, "not gzip")),
        (gzip.compress(ONE, mtime=0)[:-4], {"Content_Encoding": "gzip"}, (400, 1, "cut off")),
        (gzip.compress(b" " * 20_000_000, mtime=0), {"Content_Encoding": "gzip"}, (413, 30, "16777216 bytes")),
        (b" " * 16_777_217, {}, (413, 30, "16777216 are allowed")),
        (ONE * 100_001, {}, (413, 30, "100000 events")),
    ],
)
def test_what_is_wrong_is_refused_whole(
    house: House, call: Caller, content: bytes, headers: dict[str, str], expected: tuple[int, int, str]
):
    """The status and code of its branch, a message that names what was found, and nothing is taken."""
    status, code, message = error(call.post(EVENTS, content, **headers))
    assert (status, code) == expected[:2]
    assert expected[2] in message
    assert landed(house) == 0


def test_a_body_of_unknown_length_is_read_no_further_than_the_limit(house: House, keys: NewKey):
    """Whoever streams without end is stopped."""
    small = replace(house, settings=house.settings.model_copy(update={"body_bytes": 10_000}))
    sent_chunks = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent_chunks
        while True:
            sent_chunks += 1
            yield b" " * 1_000

    with calling(create_app(small, publish=False), keys.bearer) as call:
        assert error(call.post(EVENTS, endless()))[:2] == (413, 30)
    assert sent_chunks == 11


def test_too_many_bodies_at_once_are_told_to_come_later(call: Caller, monkeypatch: pytest.MonkeyPatch):
    """Memory is bounded by what all requests hold together; those that were held are free again afterwards."""
    monkeypatch.setattr(bodies, "_TOGETHER", 0)
    assert error(call.post(EVENTS, ONE))[:2] == (503, 50)
    monkeypatch.undo()
    assert call.post(EVENTS, ONE).status_code == 200
    assert call.app.state.services.bodies._held == 0


def test_a_session_of_another_agent_is_refused(house: House, call: Caller):
    """What only the catalog knows is an error of the same shape."""
    assert call.post(EVENTS, b'{"agentID":1,"timestamp":%d,"sessionId":"s"}' % T0).status_code == 200
    status, code, message = error(call.post(EVENTS, b'{"agentID":2,"timestamp":%d,"sessionId":"s"}' % T0))
    assert (status, code) == (400, 1)
    assert "agent 1" in message
    assert landed(house) == 1


def test_a_store_that_is_full_takes_nothing(house: House, call: Caller, monkeypatch: pytest.MonkeyPatch):
    """503 with Retry-After, and nothing half-written."""

    def full(*_: Any) -> None:
        raise Later("no space is left", retry_after=60)

    monkeypatch.setattr(type(house.store), "put", full)
    answer = call.post(EVENTS, ONE)
    assert error(answer) == (503, 50, "no space is left")
    assert answer.headers["retry-after"] == "60"
    assert landed(house) == 0


def test_many_senders_at_once_lose_nothing(house: House, call: Caller):
    """What is committed together is answered one by one."""

    async def at_once() -> list[int]:
        headers = {**call._default, "Content-Type": "application/x-ndjson"}
        bodies_ = [b'{"agentID":%d,"timestamp":%d}' % (i, T0) for i in range(40)]
        return [
            answer.json()["accepted"]
            for answer in await asyncio.gather(*(call._client.post(EVENTS, content=b, headers=headers) for b in bodies_))
        ]

    assert call._portal.call(at_once) == [1] * 40
    assert landed(house) == 40


def test_what_was_sent_is_published(house: House, call: Caller):
    """From the request to the file."""
    call.post(EVENTS, b'{"agentID":7,"timestamp":%d,"type":3}\n{"agentID":7,"timestamp":%d,"type":4}' % (T0, T0 + 5))
    publish_at(house, T0 + 2 * HOUR)
    assert every_row(house)["agentID"].to_list() == [7, 7]


# ── the manifest ──


def test_the_manifest_describes_every_part(house: House, call: Caller, published: Sequence[Part]):
    """Sequence, checksums and counts, and the stretches in which nothing was published."""
    found = call.get(f"{API}/manifest").json()
    first = published[0]
    assert list(found) == ["accountId", "watermark", "parts", "emptyHours", "erased", "head", "keys", "encryptedTo"]
    assert [part["sequence"] for part in found["parts"]] == [1, 2]
    assert found["parts"][0] == {
        "sequence": 1,
        "name": str(first.name),
        "scopeStart": T0 + HOUR,
        "scopeEnd": T0 + 2 * HOUR,
        "part": 0,
        "revision": 0,
        "generated": first.generated,
        "schemaVersion": "1.0.0.4",
        "bytes": first.gz_bytes,
        "sha256": first.gz_sha256,
        "sessions": 1,
        "withdrawals": 0,
        "events": 3,
        "minTimestamp": T0,
        "maxTimestamp": T0 + 70 * MINUTE,
        "deleted": None,
        "parquetSha256": first.twin_sha256,
        "link": first.link,
        "removed": None,
    }
    assert found["watermark"] == T0 + 4 * HOUR
    assert found["emptyHours"] == [{"scopeStart": T0 + 2 * HOUR, "scopeEnd": T0 + 3 * HOUR}]


def test_the_manifest_keeps_what_was_deleted(house: House, call: Caller, published: Sequence[Part]):
    """A tombstone with its checksum; its hour was not empty."""
    with house.catalog.write() as conn:
        accounts.update(conn, "A", {"retention_days": -1})
    retention.sweep(house)
    found = call.get(f"{API}/manifest").json()
    assert [part["sha256"] for part in found["parts"]] == [part.gz_sha256 for part in published]
    assert all(part["deleted"] >= published[0].generated for part in found["parts"])
    assert len(found["emptyHours"]) == 1
    assert [part["removed"]["reason"] for part in found["parts"]] == ["retention"] * 2
    assert found["erased"] == 0


@pytest.mark.usefixtures("published")
def test_the_manifest_is_a_chain_that_anyone_can_check(call: Caller):
    """With SHA-256, Ed25519 and the words of PROTOCOL alone."""
    found = call.get(f"{API}/manifest").json()
    assert readers.unchained(found) == []
    assert found["head"]["sequence"] == 2
    assert call.get(f"{API}/signing-keys").json() == {"accountId": "A", "keys": found["keys"]}


@pytest.mark.usefixtures("published")
def test_the_manifest_comes_in_pages(call: Caller):
    """By sequence number; empty hours are on the last page only."""
    first = call.get(f"{API}/manifest?limit=1")
    second = call.get(first.links["next"]["url"])
    assert [part["sequence"] for page in (first, second) for part in page.json()["parts"]] == [1, 2]
    assert (first.json()["emptyHours"], len(second.json()["emptyHours"])) == ([], 1)
    assert "next" not in second.links


@pytest.mark.parametrize("query", ["after=x", "after=-1", "limit=0", "limit=10001", "after=1&after=2"])
def test_wrong_parameters_of_the_manifest_are_refused(call: Caller, query: str):
    """400, as everywhere."""
    assert error(call.get(f"{API}/manifest?{query}"))[:2] == (400, 1)


def test_an_account_without_parts_has_an_empty_manifest(call: Caller):
    """No watermark, no parts, no empty hours."""
    nothing = {"accountId": "A", "watermark": None, "parts": [], "emptyHours": [], "erased": 0, "head": None, "keys": []} | {
        "encryptedTo": None
    }
    assert call.get(f"{API}/manifest").json() == nothing


def test_an_hour_is_not_complete_before_its_parts_are_visible(house: House, call: Caller, published: Sequence[Part]):
    """Between the commit and the generated time, neither manifest nor status tells of a watermark that the parts do not bear out."""
    with house.catalog.write() as conn:
        later = house.catalog.now() + 60_000
        conn.execute(sa.update(tables.parts).where(tables.parts.c.seq == 2).values(generated=later))
        conn.execute(sa.update(tables.accounts).values(last_generated=later))
    found = call.get(f"{API}/manifest").json()
    assert [part["sequence"] for part in found["parts"]] == [1]
    assert found["watermark"] == T0 + 3 * HOUR == call.get(f"{API}/status").json()["watermark"]
    assert found["emptyHours"] == [{"scopeStart": T0 + 2 * HOUR, "scopeEnd": T0 + 3 * HOUR}]


# ── the status ──


@pytest.mark.usefixtures("published")
def test_the_status_says_how_fresh_the_data_is(house: House, call: Caller):
    """Watermark, lag, the last run, and what is open or waiting."""
    land(house, sent(login(T0 + 5 * HOUR, agentID=3)))
    found = call.get(f"{API}/status").json()
    assert found["watermark"] == T0 + 4 * HOUR
    assert found["lagMs"] == found["now"] - found["watermark"]
    assert found["batches"] == {"landed": 3, "consumed": 2}
    assert found["lastRun"] | {"started": 0, "finished": 0} == {
        "started": 0,
        "finished": 0,
        "until": T0 + 4 * HOUR,
        "parts": 2,
        "sessions": 2,
        "withdrawals": 0,
        "events": 5,
        "repeats": 0,
        "setAside": 0,
    }
    publish_at(house, T0 + 6 * HOUR)
    assert call.get(f"{API}/status").json()["open"] == {"sessions": 1, "events": 1}


def test_a_new_account_has_a_status(call: Caller):
    """Nothing is known yet, and that is said."""
    found = call.get(f"{API}/status").json()
    assert (found["watermark"], found["lagMs"], found["lastRun"]) == (None, None, None)


# ── open sessions ──


def documents(call: Caller) -> list[tuple[str, list[int]]]:
    """Id and event times of each open session."""
    answer = call.get(f"{API}/open")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    found = []
    for line in answer.text.splitlines():
        body = json.loads(line)["recordCollection"][0]["body"]["com.liveperson.dataaccess.AgentActivityData"]
        times = [event["timestamp"]["long"] for event in body["agentSessionsData"]["array"]]
        found.append((body["header"]["com.liveperson.dataaccess.AgentHeader"]["agentSessionId"]["string"], times))
    return found


def test_open_sessions_are_readable_at_once(house: House, call: Caller):
    """As documents, before anything is published; what has closed is not among them."""
    now = house.catalog.now()
    land(house, sent(login(now - HOUR, sessionId="s"), event(now - MINUTE, sessionId="s", state=2)))
    land(house, sent(login(now - HOUR, agentID=2, sessionId="t"), logout(now - MINUTE, agentID=2, sessionId="t")))
    assert documents(call) == [("A-s", [now - HOUR, now - MINUTE])]


def test_open_sessions_are_carried_and_new_events_together(house: House, call: Caller):
    """What an earlier run left open goes on, under the same id."""
    now = house.catalog.now()
    land(house, sent(login(now - 5 * HOUR)))
    publish_at(house, now - HOUR)
    [(before, _)] = documents(call)
    land(house, sent(event(now - MINUTE, state=2)))
    assert documents(call) == [(before, [now - 5 * HOUR, now - MINUTE])]


def test_many_open_sessions_come_in_shares(house: House, keys: NewKey):
    """More events than are folded at a time are folded one share of the agents after the other."""
    now = house.catalog.now()
    land(house, sent(*(login(now - MINUTE, agentID=i, sessionId=f"s{i}") for i in range(50))))
    small = replace(house, settings=house.settings.model_copy(update={"fold_events": 10}))
    with calling(create_app(small, publish=False), keys.bearer) as call:
        assert {id_ for id_, _ in documents(call)} == {f"A-s{i}" for i in range(50)}


def test_without_open_sessions_the_answer_is_empty(call: Caller):
    """Nothing is open, and that is no error."""
    assert documents(call) == []
