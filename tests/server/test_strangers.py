"""Whoever has no key cannot fill the audit log."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from callers import LE, Caller

from shiftlog.catalog import tables
from shiftlog.catalog.trail import Entry
from shiftlog.house import House
from shiftlog.server import strangers
from shiftlog.server.ledger import Ledger
from shiftlog.server.strangers import Strangers


def lines(house: House) -> list[tuple[str | None, int, str]]:
    """Address, times and target of all lines."""
    t = tables.audit
    with house.catalog.read() as conn:
        return [tuple(row) for row in conn.execute(sa.select(t.c.address, t.c.times, t.c.target).order_by(t.c.id))]


def denied(address: str, key_id: int | None = None) -> Entry:
    return Entry(1_790_000_000_000, None, key_id, "denied", "GET /x", 401, address)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_first_have_lines_and_the_rest_are_counted(house: House):
    """By address; those who come most often by name, the others together."""
    clock, ledger = Clock(), Ledger(house.catalog)
    found = Strangers(ledger, clock=clock)
    single = sum(found.record(denied("192.0.2.1")) is not None for _ in range(1_000))
    for n in range(40):
        for _ in range(n + 1):
            found.record(denied(f"198.51.100.{n}"))
    found.flush()
    clock.now += strangers._PERIOD
    found.flush()
    ledger.close()
    recorded = lines(house)
    assert [line[1] for line in recorded[:single]] == [1] * 60
    assert recorded[single] == ("192.0.2.1", 940, "since 2026-09-21T14:13:20+00:00, first: GET /x")
    assert [line[:2] for line in recorded[single + 1 :]] == [
        *((f"198.51.100.{n}", n + 1) for n in range(39, 20, -1)),
        (None, sum(range(1, 22))),
    ]


def test_many_addresses_take_bounded_memory(house: House, monkeypatch: pytest.MonkeyPatch):
    """Those beyond are counted as one; none is lost."""
    monkeypatch.setattr(strangers, "_COUNTED", 10)
    ledger = Ledger(house.catalog)
    found = Strangers(ledger, clock=Clock())
    for n in range(500):
        found.record(denied(f"192.0.2.{n}", key_id=n))
    assert len(found._counts) <= 11
    found.flush(now=True)
    ledger.close()
    assert sum(times for _, times, _ in lines(house)) == 500


def test_a_flood_of_requests_without_a_key_leaves_few_lines(house: House, call: Caller):
    """And each of them is counted when the server ends."""
    anyone = call.without_key()
    assert {anyone.get(LE).status_code for _ in range(200)} == {401}
    assert len(lines(house)) == 60
    call.app.state.services.strangers.flush(now=True)
    call.app.state.services.ledger.close()
    assert sum(times for _, times, _ in lines(house)) == 200
