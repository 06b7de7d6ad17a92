"""What was read lately is at hand: bounded, fetched once, and never an error."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftlog.errors import Later
from shiftlog.store.shelf import Shelf


class Fetched:
    """Fetches objects whose size is their key's number, and counts how often."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def __call__(self, key: str) -> bytes:
        self.counts[key] += 1
        return bytes(int(key))


def test_what_was_read_is_not_fetched_again():
    """As long as there is room; the longest unread leaves."""
    shelf, fetch = Shelf(100), Fetched()
    for key in ("10", "11", "12", "9", "8", "10", "12", *"1234567", "11", "10"):
        assert len(shelf.get(key, fetch)) == int(key)
    assert fetch.counts == Counter(dict.fromkeys(["10", "11", "12", "9", "8", *"1234567"], 1))
    for key in ("12", *map(str, range(1, 13))):
        shelf.get(key, fetch)
    assert fetch.counts["10"] == 1


def test_what_is_large_is_not_kept():
    """It would drive out everything else."""
    shelf, fetch = Shelf(100), Fetched()
    for key in ("5", "13", "13", "5"):
        shelf.get(key, fetch)
    assert fetch.counts == {"5": 1, "13": 2}


def test_without_room_nothing_is_kept():
    """As it is by default; what has no bytes needs none."""
    shelf, fetch = Shelf(0), Fetched()
    for key in ("1", "1", "2"):
        shelf.get(key, fetch)
    assert fetch.counts == {"1": 2, "2": 1}


@given(keys=st.lists(st.integers(0, 30), max_size=200), room=st.integers(0, 200))
def test_it_never_has_more_than_its_room(keys: list[int], room: int):
    """Whatever is asked for, and dropped, in whatever order."""
    shelf, fetch = Shelf(room), Fetched()
    for key in keys:
        if key == 30:
            shelf.drop(["7", "29"])
        assert shelf.get(str(key), fetch) == bytes(key)
        kept = sum(len(future.result()) for future in shelf._kept.values())
        assert kept == shelf._taken <= room


def test_who_asks_meanwhile_waits():
    """An object is fetched once, for all who want it."""
    shelf, counts, begun, go_on = Shelf(1_000), Counter[str](), threading.Event(), threading.Event()

    def slow(key: str) -> bytes:
        counts[key] += 1
        begun.set()
        assert go_on.wait(30)
        return b"abc"

    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(shelf.get, "k", slow) for _ in range(4)]
        assert begun.wait(30)
        go_on.set()
        assert [answer.result() for answer in answers] == [b"abc"] * 4
    assert counts == {"k": 1}


def test_an_error_is_not_kept():
    """The next one asks again."""
    shelf = Shelf(1_000)

    def fails(key: str) -> bytes:
        raise Later("the store does not answer")

    for _ in range(2):
        with pytest.raises(Later):
            shelf.get("k", fails)
    assert shelf.get("k", lambda _: b"abc") == b"abc"


def test_what_was_deleted_is_fetched_again():
    """And is then what it is."""
    shelf, fetch = Shelf(100), Fetched()
    shelf.get("5", fetch)
    shelf.drop(["5", "6"])
    shelf.get("5", fetch)
    assert fetch.counts == {"5": 2}
