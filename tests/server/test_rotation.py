"""Secrets are rotated while the server runs, and nobody notices."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from callers import LE, Caller, signed

from shiftlog.catalog import keys as catalog_keys
from shiftlog.catalog import sealed
from shiftlog.catalog.keys import NewKey
from shiftlog.catalog.parts import Part
from shiftlog.house import House
from shiftlog.server import identity


def works(call: Caller, key: NewKey) -> list[int]:
    """By bearer token, and by signature, whose secrets have to be decrypted."""
    anyone = call.without_key()
    return [call.as_(key).get(LE).status_code, anyone("GET", LE, headers=signed(key, LE)).status_code]


@pytest.fixture(autouse=True)
def _forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_REMEMBERED", 0.0)


def test_the_secret_key_is_rotated_under_a_running_server(house: House, call: Caller, keys: NewKey):
    """At every step, by another process: a key file with both, secrets encrypted anew, the old key forgotten."""
    beside = House.open(house.directory)
    assert works(call, keys) == [200, 200]
    beside.vault.rotate()
    assert works(call, keys) == [200, 200]
    with beside.catalog.write() as conn:
        sealed.anew(conn, beside.vault)
    assert works(call, keys) == [200, 200]
    with beside.catalog.write() as conn:
        fresh = catalog_keys.create(conn, beside.vault, "A", ["read"], 0)
    beside.vault.retire()
    assert works(call, fresh) == works(call, keys) == [200, 200]
    beside.close()


def test_who_is_signed_in_stays_so(house: House, call: Caller, keys: NewKey, published: Sequence[Part]):
    """Until the old key is forgotten; a form that was open can still be sent."""
    visitor = call.without_key()
    signed_in = visitor("POST", "/sign-in", data={"token": keys.bearer})
    cookie = {"Cookie": signed_in.headers["set-cookie"].partition(";")[0]}
    beside = House.open(house.directory)
    beside.vault.rotate()
    assert visitor("GET", "/files", headers=cookie).status_code == 200
    beside.vault.retire()
    assert visitor("GET", "/files", headers=cookie).status_code == 303
    beside.close()


def test_a_key_and_its_successor_are_both_good_until_the_overlap_is_over(house: House, call: Caller, keys: NewKey):
    """And then only the successor is."""
    with house.catalog.write() as conn:
        new = catalog_keys.rotate(conn, house.vault, keys.token, house.catalog.now(), 60_000)
    assert works(call, keys) == works(call, new) == [200, 200]
    with house.catalog.write() as conn:
        newest = catalog_keys.rotate(conn, house.vault, new.token, house.catalog.now(), 0)
    assert works(call, new) == [401, 401]
    assert works(call, newest) == [200, 200]
