"""The S3 server away for 20 seconds, under load: what senders, readers and the publisher see of it, and what is there afterwards."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from client.servers import profile, running
from readers import all_parts, every_row, publish_at, standing
from s3 import Server
from scenes import HOUR, MINUTE, T0, event, login, logout
from shiftlog.catalog import accounts
from shiftlog.catalog import keys as catalog_keys
from shiftlog.catalog.keys import NewKey
from shiftlog.client import Client
from shiftlog.client.patience import Patience
from shiftlog.errors import Later
from shiftlog.house import House

AWAY = 20  # seconds


class Load:
    """Senders, readers and a publisher that work until they are stopped, and keep what they saw."""

    def __init__(self, house: House, key: NewKey, url: str) -> None:
        self.house, self.key, self.url = house, key, url
        self.accepted: list[str] = []
        self.seen: Counter[str] = Counter()
        self._stop = threading.Event()
        works = [*(self._sender(n) for n in range(4)), self._reader(), self._lister(), self._publisher()]
        self._threads = [threading.Thread(target=self._repeat, args=work) for work in works]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive()

    def _repeat(self, name: str, work: Callable[[int], None]) -> None:
        turn = 0
        while not self._stop.is_set():
            try:
                work(turn)
                turn += 1
                self.seen[f"{name}: done"] += 1
            except Later:
                self.seen[f"{name}: later"] += 1
                time.sleep(0.2)
            except Exception as error:  # whatever it is, it should not have been seen
                self.seen[f"{name}: {type(error).__name__} {error}"] += 1
                time.sleep(0.2)

    def _client(self) -> Client:
        return Client(profile(self.key, self.url), patience=Patience(attempts=1))

    def _sender(self, agent: int) -> tuple[str, Callable[[int], None]]:
        client = self._client()

        def send(turn: int) -> None:
            """A session; what was not acknowledged is sent again as it was."""
            start = T0 + turn * 3 * MINUTE
            made = [login(start), event(start + MINUTE, state=2), logout(start + 2 * MINUTE)]
            batch = [{**one, "agentID": agent, "eventId": f"{agent}.{turn}.{n}"} for n, one in enumerate(made)]
            assert client.post_events(batch) == 3
            self.accepted.extend(one["eventId"] for one in batch)

        return "send", send

    def _reader(self) -> tuple[str, Callable[[int], None]]:
        client = self._client()

        def read(_: int) -> None:
            if files := client.list(0).files:
                client.read(files[int(time.monotonic() * 1000) % len(files)])

        return "read", read

    def _lister(self) -> tuple[str, Callable[[int], None]]:
        client = self._client()

        def list_(_: int) -> None:
            client.list(0)
            time.sleep(0.05)

        return "list", list_

    def _publisher(self) -> tuple[str, Callable[[int], None]]:
        def publish(turn: int) -> None:
            publish_at(self.house, T0 + turn * 10 * MINUTE)
            time.sleep(0.5)

        return "publish", publish


@contextmanager
def loaded(house: House, key: NewKey) -> Iterator[Load]:
    with running(house) as url:
        load = Load(house, key, url)
        try:
            yield load
        finally:
            load.stop()


@pytest.mark.soak
@pytest.mark.parametrize("befalls", [Server.stopped, Server.killed], ids=["stopped", "killed"])
def test_twenty_seconds_without_the_store(
    tmp_path: Path, s3: str, s3_server: Server, monkeypatch: pytest.MonkeyPatch, befalls: Callable[[Server], object]
):
    """Everyone is told to come later, and nothing else; what was accepted is published once, and every part that is listed can be read."""
    monkeypatch.setenv("SHIFTLOG_STORE", s3)
    monkeypatch.setenv("SHIFTLOG_LEAD_MILLISECONDS", "0")
    house = House.open(tmp_path / "data", create=True)
    with house.catalog.write() as conn:
        accounts.ensure(conn, "A", house.catalog.now(), house.settings)
        key = catalog_keys.create(conn, house.vault, "A", ["read", "write"], house.catalog.now())
    with loaded(house, key) as load:
        time.sleep(5)
        lists = load.seen["list: done"]
        with befalls(s3_server):
            time.sleep(AWAY)
            # What needs the catalog alone goes on: hundreds of lists, not the few that were under way.
            assert load.seen["list: done"] > lists + 50
            before = len(load.accepted)
        time.sleep(5)
        assert len(load.accepted) > before
    print(dict(load.seen), len(load.accepted), "events accepted")
    assert {what.partition(": ")[2] for what in load.seen} <= {"done", "later"}
    assert load.seen["list: later"] == 0
    publish_at(house, T0 + 1_000 * HOUR)
    rows = standing(every_row(house, suffix="parquet"))
    assert rows["eventId"].n_unique() == rows.height
    assert set(load.accepted) <= set(rows["eventId"])
    for part in all_parts(house):
        assert len(house.store.get(part.gz_key)) == part.gz_bytes
        assert pl.read_parquet(house.store.source(part.twin_key)).height > 0
    house.close()
