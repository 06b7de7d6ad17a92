"""Nonces and audit lines are durable when their futures are done, and none waits for another's failure."""

from __future__ import annotations

from concurrent.futures import wait
from typing import Any

import pytest

from shiftlog.catalog import trail
from shiftlog.catalog.trail import Asked, Entry, Nonce
from shiftlog.errors import Later
from shiftlog.house import House
from shiftlog.server.ledger import Ledger


def entry(number: int) -> Entry:
    return Entry(at=number, account="A", key_id=1, action="list", target=f"GET /{number}", status=200, address=None)


def test_of_many_uses_of_a_nonce_one_is_the_first(house: House):
    """Also where they are committed together."""
    ledger = Ledger(house.catalog)
    nonces = [Nonce(1, 5, "n", 9), Nonce(1, 5, "m", 9), Nonce(2, 5, "n", 9), Nonce(1, 6, "n", 9)]
    uses = [ledger.use(nonce) for nonce in nonces for _ in range(10)]
    ledger.close()
    assert [use.result() for use in uses] == ([True] + [False] * 9) * 4


def test_a_line_is_appended_with_the_first_use_of_its_nonce_only(house: House):
    """Also where all of them are committed together."""
    ledger = Ledger(house.catalog)
    lines = [ledger.record(entry(number), Nonce(1, 5, name, 9)) for number, name in enumerate("aabab")]
    alone = ledger.record(None, Nonce(1, 5, "c", 9))
    ledger.close()
    assert [line.result() for line in lines] == [True, False, True, False, False]
    assert alone.result() is True
    with house.catalog.read() as conn:
        assert [row["at"] for row in trail.entries(conn, Asked("A"))] == [0, 2]


def test_closing_commits_what_was_submitted(house: House):
    """Every line is there, in the order in which it was submitted."""
    ledger = Ledger(house.catalog)
    lines = [ledger.record(entry(number)) for number in range(3_000)]
    ledger.close()
    wait(lines)
    with house.catalog.read() as conn:
        assert [row["at"] for row in trail.entries(conn, Asked("A"), limit=5_000)] == list(range(3_000))


@pytest.mark.parametrize("failure", [Later("busy"), ValueError("odd")])
def test_a_commit_that_fails_is_everyones_later_and_not_the_nexts(house: House, monkeypatch: pytest.MonkeyPatch, failure: Exception):
    """Whatever goes wrong, each line gets an answer, and the writer goes on."""
    ledger = Ledger(house.catalog)

    def fail(*_: Any) -> None:
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(trail, "record", fail)
        with pytest.raises(Later):
            ledger.record(entry(1)).result()
    assert ledger.record(entry(2)).result() is True
    ledger.close()
