"""The catalog's answers are lost, at the moments at which that hurts: nothing is lost with them, and nothing is there twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cable import COMMIT, Cable, cable
from database import Postgresql
from readers import all_parts, every_row, land, publish_at, standing
from scenes import HOUR, T0, event, login, logout, sent
from shiftlog.catalog import batches, parts, publishing
from shiftlog.errors import Later, Overtaken
from shiftlog.house import House
from shiftlog.landing import Landing
from shiftlog.lease import Worker
from shiftlog.publish import publish
from shiftlog.settings import Settings

pytestmark = pytest.mark.usefixtures("account")

BATCH, PARTS, RUN, ACCOUNT = b"INSERT INTO batches", b"INSERT INTO parts", b"INSERT INTO runs", b"UPDATE accounts SET"
FLOOR = b"SET floor=$1::BIGINT WHERE"
ARRIVES = pytest.mark.parametrize("arrives", [True, False], ids=["arrives", "does-not-arrive"])


@pytest.fixture
def line(postgresql: Postgresql) -> Iterator[tuple[Cable, str]]:
    """A cable to a new catalog, and the catalog's URL over it."""
    with postgresql.database() as url, cable(url) as laid:
        yield laid


@pytest.fixture
def house(line: tuple[Cable, str], tmp_path: Path) -> Iterator[House]:
    """A deployment whose catalog is at the other end of the cable."""
    settings = Settings(lead_milliseconds=0, catalog_seconds=20)
    opened = House.open(tmp_path / "data", create=True, settings=settings, catalog=line[1])
    yield opened
    opened.close()


def accept(house: House, *events: object) -> int:
    landing = Landing(house)
    try:
        return landing.accept("A", sent(*events))  # type: ignore[arg-type]
    finally:
        landing.close()


def landed(house: House) -> list[int]:
    """The rows of each batch of the account."""
    with house.catalog.read() as conn:
        return [batch.rows for batch in batches.after(conn, "A", 0)]


def published(house: House) -> list[int]:
    """The timestamps that are published, each as often as it is."""
    return sorted(standing(every_row(house))["timestamp"].to_list())


def listed(house: House) -> parts.Listing:
    with house.catalog.read() as conn:
        return parts.listing(conn, "A", now=house.catalog.now(conn) + 1)


# ── events in ──


@ARRIVES
def test_a_batch_whose_commit_is_cut_off(house: House, line: tuple[Cable, str], arrives: bool):
    """It is there once, and acknowledged."""
    line[0].cut_at(COMMIT, after=BATCH, arrives=arrives)
    assert accept(house, login(T0), event(T0 + 1)) == 2
    assert line[0].cut == 1
    assert landed(house) == [2]
    assert accept(house, event(T0 + 2)) == 1
    assert landed(house) == [2, 1]


@ARRIVES
def test_a_batch_whose_fate_is_not_known(house: House, line: tuple[Cable, str], postgresql: Postgresql, arrives: bool):
    """Its sender is told so, and sends it again, which is harmless."""
    house.catalog._patience = 0
    line[0].cut_at(COMMIT, after=BATCH, arrives=arrives)
    with pytest.raises(Later, match="it is not known whether this was done"):
        accept(house, login(T0), logout(T0 + 1))
    accept(house, login(T0), logout(T0 + 1))
    publish_at(house, T0 + 2 * HOUR)
    assert published(house) == [T0, T0 + 1]


def test_a_server_that_restarts_under_ingest(house: House, postgresql: Postgresql):
    """Four senders go on while it crashes three times; what was acknowledged is there, once."""
    landing, acknowledged, stop = Landing(house), [], threading.Event()

    def send(agent: int) -> None:
        number = 0
        while not stop.is_set():
            try:
                landing.accept("A", sent(event(T0 + number, agentID=agent)))
            except Later:
                continue  # as clients do
            acknowledged.append((agent, T0 + number))
            number += 1

    senders = [threading.Thread(target=send, args=(agent,)) for agent in range(4)]
    for sender in senders:
        sender.start()
    for _ in range(3):
        before = len(acknowledged)
        postgresql.restart()
        while len(acknowledged) < before + 8:
            stop.wait(0.01)
    stop.set()
    for sender in senders:
        sender.join()
    landing.close()
    publish_at(house, T0 + 48 * HOUR)
    found = standing(every_row(house)).select("agentID", "timestamp").rows()
    assert sorted(found) == sorted(acknowledged)
    assert sum(landed(house)) == len(acknowledged)


# ── parts out ──


@ARRIVES
@pytest.mark.parametrize("after", [FLOOR, PARTS], ids=["floor", "parts"])
def test_a_publishers_commit_that_is_cut_off(house: House, line: tuple[Cable, str], after: bytes, arrives: bool):
    """Its parts are there once, and it knows them as its own; no floor is left behind."""
    land(house, sent(login(T0), logout(T0 + 1)))
    line[0].cut_at(COMMIT, after=after, arrives=arrives)
    [part] = publish_at(house, T0 + 2 * HOUR)
    assert line[0].cut == 1
    assert [str(found.name) for found in all_parts(house)] == [str(part.name)]
    assert published(house) == [T0, T0 + 1]
    assert listed(house).covered_until > part.generated


@ARRIVES
def test_a_run_without_parts_whose_commit_is_cut_off(house: House, line: tuple[Cable, str], arrives: bool):
    """It is done once: what was carried on is there once."""
    land(house, sent(login(T0)))
    line[0].cut_at(COMMIT, after=RUN, arrives=arrives)
    assert publish_at(house, T0 + 2 * HOUR) == ()
    assert line[0].cut == 1
    with house.catalog.read() as conn:
        state = publishing.state(conn, "A")
    assert (state.landed, state.consumed, state.carry_events) == (1, 1, 1)
    land(house, sent(logout(T0 + HOUR)))
    publish_at(house, T0 + 3 * HOUR)
    assert published(house) == [T0, T0 + HOUR]


def test_a_commit_that_came_through_before_its_worker_was_overtaken(house: House, line: tuple[Cable, str]):
    """The worker finds its parts, though another has the lease by then."""
    land(house, sent(login(T0), logout(T0 + 1)))
    real = publishing._committed

    def overtaken(*given: object) -> int | None:
        conn = given[0]
        conn.execute(publishing._A.update().values(epoch=99, holder="another"))  # type: ignore[attr-defined]
        return real(*given)  # type: ignore[arg-type]

    line[0].cut_at(COMMIT, after=PARTS, arrives=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publishing, "_committed", overtaken)
        [part] = publish_at(house, T0 + 2 * HOUR)
    assert [str(found.name) for found in all_parts(house)] == [str(part.name)]


# ── leases ──


def test_a_lease_whose_acquiring_is_cut_off(house: House, line: tuple[Cable, str]):
    """The worker is told to try again, and knows the lease as its own when it does."""
    land(house, sent(login(T0), logout(T0 + 1)))
    with Worker(house) as worker:
        line[0].cut_at(COMMIT, after=ACCOUNT, arrives=True)
        with pytest.raises(Later, match="does not answer"):
            publish(worker, "A", now=T0 + 2 * HOUR)
        assert len(publish(worker, "A", now=T0 + 2 * HOUR)) == 1


def test_a_lease_that_cannot_be_given_back(house: House, line: tuple[Cable, str]):
    """What was done under it is done; the same worker goes on with it, and another waits until it has expired."""
    house.catalog._patience = 0
    land(house, sent(login(T0), logout(T0 + 1)))
    with Worker(house) as worker:
        line[0].cut_at(COMMIT, after=b"lease_until", arrives=False)  # acquiring: begins at the next
        with pytest.raises(Later):
            publish(worker, "A", now=T0 + 2 * HOUR)
        with worker.hold("A"):
            line[0].cut_at(COMMIT, after=ACCOUNT, arrives=False)
        assert line[0].cut == 2
        assert isinstance(publishing.acquire(house.catalog, "A", "other", 1_000, lambda _: True), int)
        assert len(publish(worker, "A", now=T0 + 2 * HOUR)) == 1


def test_a_worker_that_lost_its_lease_while_the_catalog_was_silent(house: House, postgresql: Postgresql):
    """It changes nothing, and says so."""
    land(house, sent(login(T0), logout(T0 + 1)))
    with Worker(house) as worker, worker.hold("A") as held:
        postgresql.restart()
        with house.catalog.read() as conn:
            base = publishing.state(conn, "A")
        publishing.acquire(house.catalog, "A", "other", 60_000, lambda _: False)
        outcome = publishing.Outcome(0, house.catalog.now(), T0 + HOUR, 1, None, 0, 0, (), {}, 0, None, 0)
        with pytest.raises(Overtaken):
            publishing.commit(house.catalog, house.vault, held.lease, base, outcome, 0)
    assert all_parts(house) == []
