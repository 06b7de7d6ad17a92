"""What is asked of a deployment while it is under test, and what has to be true of it afterwards."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import polars as pl

from cluster.bed import Bed
from readers import every_row, standing
from scenes import DAY
from shiftlog.client import Client, Profile
from shiftlog.client.patience import Patience
from shiftlog.errors import Later
from shiftlog.events import SENT
from shiftlog.hours import iso, parse
from shiftlog.names import PartName
from shiftlog.simulate import simulate

START = parse("2026-03-02T00:00:00Z")


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
        """Return when some account has begun to send, and not ended: what is done then is done under load."""
        until = time.monotonic() + 60
        while not any(0 < len(self.accepted[name]) < self.events[name].height for name in self.keys):
            assert not self.sent(), f"{what} comes too late to meet load"
            assert time.monotonic() < until, f"{what} meets no load: {dict(self.seen)}"
            time.sleep(0.05)

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
    with bed.opened() as house:
        for name, events in load.events.items():
            rows = standing(every_row(house, suffix="parquet", account=name))
            assert rows["eventId"].n_unique() == rows.height == events.height
            assert set(rows["eventId"]) == load.accepted[name]
            wire = standing(every_row(house, account=name))
            assert wire.height == events.height
