"""Leases: one worker at a time, the dead replaced at once, the sleeping when their time is over."""

from __future__ import annotations

import threading
import time

import pytest

from shiftlog.catalog import publishing
from shiftlog.errors import Missing, Overtaken
from shiftlog.house import House
from shiftlog.lease import Worker
from shiftlog.settings import Settings

pytestmark = pytest.mark.usefixtures("account")


def hasty(house: House) -> House:
    """The same deployment with leases of 0.3 s."""
    settings = Settings(lead_milliseconds=0, lease_seconds=0.3)
    return House(house.directory, house.store, house.catalog, house.vault, settings)


def test_a_second_worker_waits_for_the_first(house: House):
    """The second has the lease only after the first gave it back."""
    order: list[str] = []

    def second() -> None:
        with Worker(house) as other, other.hold("A"):
            order.append("second")

    with Worker(house) as worker:
        with worker.hold("A"):
            thread = threading.Thread(target=second)
            thread.start()
            time.sleep(0.3)
            order.append("first")
        thread.join()
    assert order == ["first", "second"]


def test_a_lease_is_kept_while_it_is_used(house: House):
    """Longer than its term, by the heartbeat."""
    brisk = hasty(house)
    with Worker(brisk) as worker, worker.hold("A") as held:
        time.sleep(0.8)
        held.check()
        with house.catalog.read() as conn:
            assert publishing.state(conn, "A") is not None
        assert isinstance(publishing.acquire(house.catalog, "A", "other", 1_000, lambda _: True), int)


def test_a_dead_worker_is_replaced_at_once(house: House):
    """Its lock is free, so nobody waits for its lease to expire."""
    publishing.acquire(house.catalog, "A", "a-worker-that-died", 3_600_000, lambda _: True)
    with Worker(house) as worker, worker.hold("A") as held:
        assert held.lease.epoch == 2


def test_the_overtaken_learn_of_it(house: House):
    """Once another has the lease, the next check raises, and giving it back does the other no harm."""
    brisk = hasty(house)
    with Worker(brisk) as worker, worker.hold("A") as held:
        lease = publishing.acquire(house.catalog, "A", "other", 60_000, lambda _: False)
        time.sleep(0.4)
        with pytest.raises(Overtaken, match="another worker"):
            held.check()
    assert isinstance(lease, publishing.Lease)
    assert publishing.renew(house.catalog, lease, 60_000)


def test_an_unknown_account_has_no_lease(house: House):
    """Nothing to hold where there is no account."""
    with Worker(house) as worker, pytest.raises(Missing), worker.hold("nobody"):
        pass


def test_a_worker_leaves_no_lock_behind(house: House):
    """Its lock file goes with it."""
    with Worker(house):
        assert len(list((house.directory / "locks").iterdir())) == 1
    assert list((house.directory / "locks").iterdir()) == []
