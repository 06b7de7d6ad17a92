"""Three servers and two publishers on PostgreSQL and S3, under load, while one after the other is taken away."""

from __future__ import annotations

import itertools
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from cluster.bed import Bed
from database import Postgresql
from readers import all_parts, every_row, standing
from s3 import Server
from scenes import DAY
from shiftlog.catalog import tables
from shiftlog.client import Client, Profile
from shiftlog.client.patience import Patience
from shiftlog.errors import Later
from shiftlog.events import SENT
from shiftlog.hours import iso, parse
from shiftlog.house import House
from shiftlog.names import PartName
from shiftlog.settings import Settings
from shiftlog.simulate import simulate

START = parse("2026-03-02T00:00:00Z")
LEASE = 3.0
LOOK = 2_000 + 10_000  # ms from one look of a publisher's to the next, and how late it may be on a busy machine


@pytest.fixture
def bed(tmp_path: Path, s3: str, s3_server: Server, postgresql: Postgresql, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bed]:
    """Running; a part is visible 200 ms after its commit, and a publisher is dead after 3 s without a sign of life."""
    with postgresql.database() as catalog:
        variables = {
            **s3_server.environment,
            "SHIFTLOG_CATALOG": catalog,
            "SHIFTLOG_STORE": s3,
            "SHIFTLOG_LEAD_MILLISECONDS": "200",
            "SHIFTLOG_LEASE_SECONDS": str(LEASE),
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        bed = Bed(tmp_path, variables)
        bed.key("first")  # whoever comes first makes the tables
        bed.start()
        try:
            yield bed
        finally:
            bed.stop()


@contextmanager
def opened(bed: Bed) -> Iterator[House]:
    """The deployment in this process."""
    house = House.open(None, settings=Settings(secret_key_file=bed.environment["SHIFTLOG_SECRET_KEY_FILE"], lead_milliseconds=0))
    try:
        yield house
    finally:
        house.close()


class Load:
    """Accounts that come one after the other, each with a sender and a reader, which go from server to server."""

    def __init__(self, bed: Bed, accounts: int, batches: int) -> None:
        self.bed, self.seen, self.wrong = bed, Counter[str](), list[str]()
        self.keys = {f"A{n}": bed.key(f"A{n}")["bearer"] for n in range(accounts)}
        self.events = {name: simulate(name, agents=6, days=2, start=START, seed=n).events for n, name in enumerate(self.keys)}
        self.accepted: dict[str, set[str]] = {name: set() for name in self.keys}
        self.read: dict[str, dict[PartName, pl.DataFrame]] = {name: {} for name in self.keys}
        self._batches, self._over = batches, threading.Event()
        self._threads = [threading.Thread(target=work, args=(name,)) for name in self.keys for work in (self._send, self._look)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def sent(self) -> bool:
        return all(len(self.accepted[name]) == self.events[name].height for name in self.keys)

    def meets(self, what: str) -> None:
        """Some account has begun to send, and not ended: what is done now is done under load."""
        sent = {name: (len(self.accepted[name]), self.events[name].height) for name in self.keys}
        assert any(0 < now < all_ for now, all_ in sent.values()), f"{what} met no load: {sent}"

    def finish(self, seconds: float) -> None:
        """Wait until everything was accepted, and end."""
        until = time.monotonic() + seconds
        while not self.sent() and time.monotonic() < until:
            time.sleep(0.2)
        self._over.set()
        for thread in self._threads:
            thread.join(120)
        assert self.sent(), self.seen

    def _clients(self, name: str) -> Iterator[Client]:
        profiles = [Profile(url, name, bearer=self.keys[name]) for url in self.bed.urls]
        clients = [Client(profile, patience=Patience(attempts=1)) for profile in profiles]
        random.Random(name).shuffle(clients)
        return itertools.cycle(clients)

    def _attempt(self, what: str, action: Callable[[], object]) -> bool:
        try:
            action()
        except Later:
            self.seen[f"{what}: later"] += 1
            time.sleep(0.2)
            return False
        except Exception as error:  # whatever it is, it should not have been seen
            self.wrong.append(f"{what}: {type(error).__name__} {error}")
            time.sleep(0.2)
            return False
        self.seen[f"{what}: done"] += 1
        return True

    def _send(self, name: str) -> None:
        """Batch after batch, each until it is accepted: what was not acknowledged is sent again, to the next server."""
        clients, events = self._clients(name), self.events[name]
        time.sleep(int(name[1:]) * 1.5)
        size = -(-events.height // self._batches)
        for batch in events.iter_slices(size):
            while not self._over.is_set() and not self._attempt(
                "send", lambda batch=batch: next(clients).post_events(batch.select(SENT.keys()))
            ):
                pass
            if self._over.is_set():
                return
            self.accepted[name].update(batch["eventId"])
            time.sleep(0.2)

    def _look(self, name: str) -> None:
        """Every listed file can be read, and is its twin; no list has a file twice, or an event in two standing sessions."""
        clients, read = self._clients(name), self.read[name]

        def look() -> None:
            client = next(clients)
            files = client.list(0).files
            assert len({file.name for file in files}) == len(files), "a file is listed twice"
            for file in files:
                if file.name not in read:
                    wire = client.read(file)
                    twin = pl.read_parquet(client._get(file.href.removesuffix(".gz") + ".parquet", accept="*/*").content)
                    assert wire.height == twin.height, f"{file.name} is not its twin"
                    read[file.name] = twin
            if read:
                doubled = standing(pl.concat(read.values()))["eventId"].is_duplicated().sum()
                assert doubled == 0, f"{doubled} events stand in more than one session"

        while not self._over.is_set():
            self._attempt("look", look)
            time.sleep(0.3)


def check(bed: Bed, load: Load) -> None:
    """Each acknowledged event is in exactly one standing session of what is published, and every part can be read."""
    for name in load.keys:
        bed.run("publish", "--account", name, "--now", iso(START + 10 * DAY))
    with opened(bed) as house:
        for name, events in load.events.items():
            rows = standing(every_row(house, suffix="parquet", account=name))
            assert rows["eventId"].n_unique() == rows.height == events.height
            assert set(rows["eventId"]) == load.accepted[name]
            wire = standing(every_row(house, account=name))
            assert wire.height == events.height


@pytest.mark.parametrize(
    ("accounts", "batches", "pause", "away"),
    [(6, 30, 1.0, 3.0), pytest.param(20, 60, 5.0, 20.0, marks=pytest.mark.soak)],
    ids=["short", "long"],
)
def test_whatever_is_taken_away_nothing_is_lost_or_doubled(
    bed: Bed, s3_server: Server, postgresql: Postgresql, accounts: int, batches: int, pause: float, away: float
):
    """A server and a publisher are killed, PostgreSQL restarts, the S3 server stops answering; clients are told to come later at most."""
    load = Load(bed, accounts, batches)
    load.start()
    time.sleep(2)
    load.meets("the end of a server")
    bed.kill("server-0")
    time.sleep(pause)
    load.meets("the end of a publisher")
    bed.kill("publisher-0")
    time.sleep(pause)
    load.meets("the restart of PostgreSQL")
    postgresql.restart()
    time.sleep(pause)
    load.meets("the silence of S3")
    with s3_server.stopped():
        time.sleep(away)
    bed.begin("server-0")
    time.sleep(pause)
    load.finish(120)
    assert load.wrong == []
    assert load.seen["send: later"] > 0
    assert load.seen["look: done"] > 0
    assert sum(map(len, load.read.values())) > 0
    print(dict(load.seen), sum(map(len, load.accepted.values())), "events")
    check(bed, load)


def test_another_publisher_takes_over(bed: Bed):
    """One is killed with SIGKILL in mid-run; the other publishes the account once the lease has ended, and nothing twice."""
    for name in bed.publishers:
        bed.kill(name)
    client = Client(Profile(bed.urls[0], "B", bearer=bed.key("B")["bearer"]))
    events = simulate("B", agents=150, days=4, start=START, seed=3).events
    client.post_events(events)
    until = time.monotonic() + 120
    t = tables.accounts
    lease = sa.select(t.c.holder, t.c.lease_until).where(t.c.account == "B")
    with opened(bed) as house:
        for name in bed.publishers:
            bed.begin(name)
        holder = None
        while holder is None:
            assert time.monotonic() < until
            with house.catalog.read() as conn:
                holder = conn.scalar(lease)
        # A holder's name has its process in it.
        [killed] = [name for name in bed.publishers if f"-{bed.pid(name)}-" in holder]
        [other] = set(bed.publishers) - {killed}
        bed.kill(killed, signal.SIGKILL)
        with house.catalog.read() as conn:
            left = conn.execute(lease).one()
        assert left.holder == holder
        assert all_parts(house, "B") == []
    while not client.list(0).files:
        assert time.monotonic() < until
        time.sleep(0.1)
    [taken] = [line for line in bed.log(other) if line["event"] == "lease.taken_over" and line["account"] == "B"]
    assert taken["before"] == holder
    assert left.lease_until <= parse(taken["timestamp"]) <= left.lease_until + LOOK
    assert bed.number(other, "shiftlog_lease_takeovers_total") >= 1
    bed.run("publish", "--account", "B", "--now", iso(START + 10 * DAY))
    with opened(bed) as house:
        rows = standing(every_row(house, suffix="parquet", account="B"))
    assert rows["eventId"].n_unique() == rows.height == events.height
