"""An account's administrators read who did what."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from callers import API, LE, LIST, Caller, error

from shiftlog.catalog import accounts, trail
from shiftlog.catalog import keys as catalog_keys
from shiftlog.catalog.keys import NewKey
from shiftlog.catalog.parts import Part
from shiftlog.catalog.trail import Entry
from shiftlog.house import House

AUDIT = f"{API}/audit"
NOW = 1_790_000_000_000


def recorded(house: House, *lines: int, account: str = "A") -> None:
    """Lines at these instants after NOW."""
    with house.catalog.write() as conn:
        accounts.ensure(conn, account, NOW, house.settings)
        trail.record(conn, [Entry(NOW + at, account, None, "list", f"GET /{at}", 200, "192.0.2.1") for at in lines])


def targets(call: Caller, query: str = "") -> list[str]:
    return [entry["target"] for entry in call.get(f"{AUDIT}{query}").json()["entries"]]


def test_who_did_what_is_told(house: House, call: Caller, keys: NewKey, published: Sequence[Part]):
    """With the key as its owner knows it, and what was done by hand; that it was asked is recorded, too."""
    call.get(f"{LIST}?startTime=0")
    with house.catalog.write() as conn:
        trail.by_hand(conn, NOW, "A", "names-import", "3 names")
    answer = call.get(AUDIT).json()
    assert answer["accountId"] == "A"
    listed, by_hand = answer["entries"]
    assert {**listed, "at": 0} == {
        "at": 0,
        "action": "list",
        "target": f"GET {LIST}",
        "status": 200,
        "key": keys.consumer_key,
        "actor": None,
        "address": "127.0.0.1",
        "times": 1,
    }
    assert (by_hand["key"], by_hand["actor"].split(":")[0], by_hand["status"], by_hand["address"]) == (None, "cli", 0, None)
    assert targets(call)[-1] == f"GET {AUDIT}"


def test_only_administrators_may_read_it(house: House, call: Caller):
    """It tells where people work from."""
    with house.catalog.write() as conn:
        reader = catalog_keys.create(conn, house.vault, "A", ["read", "write"], NOW)
    assert error(call.as_(reader).get(AUDIT))[:2] == (403, 11)
    assert error(call.get("/api/v1/accounts/B/audit"))[:2] == (404, 20)


def test_a_stretch_of_time_is_asked_for(house: House, call: Caller):
    """Half-open; other accounts' lines are not in it."""
    recorded(house, 1, 2, 3)
    recorded(house, 2, account="B")
    assert targets(call, f"?since={NOW + 1}&until={NOW + 3}") == ["GET /1", "GET /2"]
    assert error(call.get(f"{AUDIT}?since=5&until=4"))[:2] == (400, 1)
    assert error(call.get(f"{AUDIT}?limit=10001"))[:2] == (400, 1)


def test_pages_follow_each_other(house: House, call: Caller):
    """By the Link header up to the last line; the cursor goes on when there are more."""
    recorded(house, *range(5))
    url, found = f"{AUDIT}?limit=2&until={NOW + 100}", []
    while url:
        answer = call.get(url)
        found += [entry["target"] for entry in answer.json()["entries"]]
        url = answer.links.get("next", {}).get("url", "").removeprefix("http://testserver")
    assert found == [f"GET /{n}" for n in range(5)]
    recorded(house, 7)
    later = call.get(AUDIT).json()["cursor"]
    recorded(house, 8)
    rest = call("GET", AUDIT, params={"cursor": later, "until": NOW + 100}).json()
    assert [entry["target"] for entry in rest["entries"]] == ["GET /8"]


def test_an_empty_page_keeps_its_cursor(house: House, call: Caller):
    """Who asks again and again loses nothing."""
    cursor = call.get(LE) and call.get(AUDIT).json()["cursor"]
    recorded(house, 1)
    first = call("GET", AUDIT, params={"until": 1}).json()
    assert (first["entries"], first["cursor"]) == ([], None)
    assert cursor is None


@pytest.mark.parametrize("cursor", ["", "x", "é", "1", "gAAAAA"])
def test_what_is_no_cursor_is_refused(call: Caller, cursor: str):
    """Nor is one of another account, or of another kind."""
    assert error(call("GET", AUDIT, params={"cursor": cursor}))[:2] == (400, 1)


def test_a_cursor_belongs_to_its_account(house: House, call: Caller):
    """And tells nothing of how much others do: it is encrypted."""
    recorded(house, 1, account="B")
    with house.catalog.write() as conn:
        other = catalog_keys.create(conn, house.vault, "B", ["admin"], NOW)
    cursor = call.as_(other).get("/api/v1/accounts/B/audit").json()["cursor"]
    assert error(call("GET", AUDIT, params={"cursor": cursor}))[:2] == (400, 1)
