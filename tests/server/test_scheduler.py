"""The scheduler publishes what is due, and goes on whatever fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from readers import all_parts, land
from scenes import HOUR, login, logout, sent
from shiftlog import retention
from shiftlog.catalog import accounts, publishing, tables, trail
from shiftlog.errors import Later
from shiftlog.house import House
from shiftlog.server import scheduler as module
from shiftlog.server.monitor import Monitor
from shiftlog.server.scheduler import Scheduler


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks of 10 ms, and no long wait after a failure."""
    monkeypatch.setattr(module, "_TICK", 0.01)
    monkeypatch.setattr(module, "_FIRST_WAIT", 0.02)


@pytest.fixture
def running(house: House) -> Iterator[Scheduler]:
    """A scheduler at work."""
    scheduler = Scheduler(house, Monitor(house), publish=True)
    scheduler.start()
    yield scheduler
    scheduler.stop()


def wait_for(condition: Callable[[], object]) -> None:
    """Return once it is true; far more patient than it ever has to be."""
    patience = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < patience
        time.sleep(0.01)


def closed_session(house: House, account: str) -> None:
    start = house.catalog.now() - 5 * HOUR
    land(house, sent(login(start), logout(start + 1)), account)


def make(house: House, *names: str) -> None:
    with house.catalog.write() as conn:
        for name in names:
            accounts.ensure(conn, name, house.catalog.now(), house.settings)


@pytest.mark.usefixtures("running")
def test_what_is_due_is_published(house: House):
    """Each account by itself, soon after its events have landed."""
    make(house, "A", "B", "quiet")
    closed_session(house, "A")
    closed_session(house, "B")
    wait_for(lambda: all_parts(house, "A") and all_parts(house, "B"))
    with house.catalog.read() as conn:
        assert publishing.state(conn, "quiet").watermark is None


def test_an_account_that_fails_does_not_stop_the_others(house: House, monkeypatch: pytest.MonkeyPatch):
    """It is tried again, and what failed is logged with its reason."""
    make(house, "A", "B")
    real, failures = module.close, [Later("busy"), ValueError("odd")]

    def sometimes(worker: Any, account: str, **options: Any) -> Any:
        if account == "A" and failures:
            raise failures.pop(0)
        return real(worker, account, **options)

    monkeypatch.setattr(module, "close", sometimes)
    closed_session(house, "A")
    closed_session(house, "B")
    monitor = Monitor(house)
    scheduler = Scheduler(house, monitor, publish=True)
    with structlog.testing.capture_logs() as lines:
        scheduler.start()
        wait_for(lambda: all_parts(house, "A") and all_parts(house, "B"))
        scheduler.stop()
    failed = [(line["log_level"], line["account"], line["times"]) for line in lines if line["event"] == "failed"]
    assert failed == [("warning", "A", 1), ("error", "A", 2)]
    assert monitor.registry.get_sample_value("shiftlog_publish_failures_total") == 2
    assert monitor.registry.get_sample_value("shiftlog_parts_published_total") == 2


def test_a_failing_account_is_tried_less_and_less_often(house: House):
    """The wait doubles, up to five minutes."""
    scheduler = Scheduler(house, Monitor(house), publish=True)
    with structlog.testing.capture_logs() as lines:
        for _ in range(20):
            scheduler._fail("A", Later("busy"))
    waits = [line["again_in_seconds"] for line in lines]
    assert waits[:4] == [0.02, 0.04, 0.08, 0.16]
    assert waits[-3:] == [300, 300, 300]


def test_without_publishing_it_only_keeps_house(house: House, monkeypatch: pytest.MonkeyPatch):
    """Nonces that have expired are forgotten, what is too old is swept, and nothing is published."""
    make(house, "A")
    closed_session(house, "A")
    swept: list[House] = []
    monkeypatch.setattr(retention, "sweep", swept.append)
    monkeypatch.setattr(module, "_MINUTE", 1)
    monkeypatch.setattr(module, "_HOUR", 2)
    with house.catalog.write() as conn:
        trail.use(conn, [trail.Nonce(1, 1, "n", 1)])

    def forgotten() -> bool:
        with house.catalog.read() as conn:
            return conn.execute(tables.nonces.select()).first() is None

    scheduler = Scheduler(house, Monitor(house), publish=False)
    scheduler.start()
    wait_for(lambda: forgotten() and len(swept) >= 2)
    scheduler.stop()
    assert all_parts(house) == []


def test_what_is_published_is_not_looked_at_again_in_its_hour(house: House, running: Scheduler):
    """An account is asked for once an hour, not every two seconds."""
    make(house, "A")
    closed_session(house, "A")
    wait_for(lambda: "A" in running._done)
    assert running._due() == {}
