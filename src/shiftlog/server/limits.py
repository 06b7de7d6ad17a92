"""Limits: how often, and how many at once, for each key and for each client's address.

A token bucket holds what may come at once, and fills at the allowed rate. It may be overdrawn by one request, whatever that costs:
who overdraws waits the longer. Servers that share a catalog tell each other what they have let in (decision 23).
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import structlog

from shiftlog.catalog import Catalog, usage
from shiftlog.errors import TooMany
from shiftlog.server import origin
from shiftlog.settings import Settings

log = structlog.get_logger()

_MANY = 100_000  # buckets kept at once; the full ones are forgotten first, and lose nothing
_PERIOD = 2.0  # seconds between two exchanges with the other servers
_TELLING = 0.1  # of what a second allows: who used less than that is not worth telling of yet


@dataclass(slots=True)
class _Bucket:
    level: float
    at: float


class Rate:
    """Buckets by subject: `rate` a second, and what that makes in `burst` seconds at once. A rate of 0 is no limit."""

    def __init__(self, rate: float, burst: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self._most, self._clock = rate, max(rate * burst, 1.0), clock
        self._buckets: dict[str, _Bucket] = {}
        self._used: dict[str, float] = {}  # since the others were told
        self._lock = threading.Lock()

    def wait(self, subject: str) -> int:
        """Whole seconds until the subject may come again; 0 where it may now."""
        with self._lock:
            return self._wait(self._bucket(subject)) if self.rate else 0

    def take(self, subject: str, cost: float = 1.0) -> int:
        """As `wait`; where that is 0, `cost` is taken."""
        if not self.rate:
            return 0
        with self._lock:
            bucket = self._bucket(subject)
            waiting = self._wait(bucket)
            if not waiting:
                bucket.level -= cost
                self._used[subject] = self._used.get(subject, 0.0) + cost
        return waiting

    def told(self, subject: str, cost: float) -> None:
        """Another server has let this in. It never makes anyone wait for longer than a burst takes to fill."""
        with self._lock:
            bucket = self._bucket(subject)
            bucket.level = max(bucket.level - cost, -self._most)

    def telling(self) -> dict[str, int]:
        """What was let in since it was last asked, of those for whom it adds up to something."""
        with self._lock:
            found = {subject: ceil(used) for subject, used in self._used.items() if used >= self.rate * _TELLING}
            self._used = {s: used for s, used in self._used.items() if s not in found and s in self._buckets}
            return found

    def _bucket(self, subject: str) -> _Bucket:
        """The subject's bucket as it stands now."""
        now, found = self._clock(), self._buckets.get(subject)
        if found is None:
            if len(self._buckets) >= _MANY:
                self._forget(now)
            found = self._buckets[subject] = _Bucket(self._most, now)
        found.level, found.at = min(self._most, found.level + (now - found.at) * self.rate), now
        return found

    def _wait(self, bucket: _Bucket) -> int:
        return 0 if bucket.level >= 1 else max(1, ceil((1 - bucket.level) / self.rate))

    def _forget(self, now: float) -> None:
        waiting = {s: b for s, b in self._buckets.items() if b.level + (now - b.at) * self.rate < self._most}
        self._buckets = waiting if len(waiting) < _MANY else {}
        self._used = {s: used for s, used in self._used.items() if s in self._buckets}


class Limits:
    """The limits of one server process."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        burst = settings.burst_seconds
        self._by_address = Rate(settings.address_requests_per_second, burst)
        self._by_key = Rate(settings.key_requests_per_second, burst)
        self._events = Rate(settings.key_events_per_second, burst)
        self._most_of_address, self._most_of_key = settings.address_requests_at_once, settings.key_requests_at_once
        self._here: Counter[str] = Counter()  # requests under way
        rates = {"address": self._by_address, "key": self._by_key, "events": self._events}
        self._exchange = None if catalog.one_machine else Exchange(catalog, {name: rate for name, rate in rates.items() if rate.rate})

    def start(self) -> None:
        if self._exchange is not None:
            self._exchange.start()

    def stop(self) -> None:
        if self._exchange is not None:
            self._exchange.stop()

    def enter(self, address: str | None) -> Place:
        """A place for a request from an address; it has to be left.

        Raises:
            TooMany: too many, or too often.
        """
        client = origin.client(address)
        place = Place(self)
        try:
            place.take(f"address {client}", self._most_of_address, "from this address")
            _check(self._by_address.take(client), f"more than {self._by_address.rate:g} requests a second come from this address")
        except TooMany:
            place.leave()
            raise
        return place

    def enter_key(self, place: Place, key_id: int) -> None:
        """The request at a place turns out to come with a key.

        Raises:
            TooMany: too many, or too often.
        """
        place.take(f"key {key_id}", self._most_of_key, "with this key")
        _check(self._by_key.take(str(key_id)), f"more than {self._by_key.rate:g} requests a second come with this key")

    def check_events(self, key_id: int) -> None:
        """Return if a key may send events now.

        Raises:
            TooMany: it has sent more than its share of late.
        """
        _check(self._events.wait(str(key_id)), f"more than {self._events.rate:g} events a second come with this key; nothing was taken")

    def count_events(self, key_id: int, events: int) -> None:
        """A key has sent so many events, which were taken."""
        self._events.take(str(key_id), events)


class Place:
    """One request's places among those that are under way."""

    __slots__ = ("_limits", "_taken")

    def __init__(self, limits: Limits) -> None:
        self._limits, self._taken = limits, list[str]()

    def take(self, name: str, most: int, whose: str) -> None:
        """Raises:
        TooMany: all `most` places of this name are taken; 0 is no limit.
        """
        here = self._limits._here
        if most and here[name] >= most:
            raise TooMany(f"{here[name]} requests {whose} are under way, which is the limit; ask again when one is answered", 1)
        here[name] += 1
        self._taken.append(name)

    def leave(self) -> None:
        here = self._limits._here
        while self._taken:
            name = self._taken.pop()
            here[name] -= 1
            if here[name] <= 0:
                del here[name]


def _check(waiting: int, what: str) -> None:
    if waiting:
        raise TooMany(f"{what}; wait {waiting} s", waiting)


class Exchange:
    """Tells the other servers of a catalog what this one has let in, and hears it from them."""

    def __init__(self, catalog: Catalog, rates: dict[str, Rate]) -> None:
        self._catalog, self._rates = catalog, rates
        self._server = secrets.token_hex(8)
        self._heard: dict[tuple[str, str], int] | None = None
        self._stopped = threading.Event()

    def start(self) -> None:
        self._stopped.clear()
        self._thread = threading.Thread(target=self._work, name="limits", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stopped.wait(_PERIOD):
            try:
                self.once()
            except Exception as error:  # whatever it is: without the others' word this server keeps to the limits by itself
                log.warning("limits.alone", error=str(error))

    def once(self) -> None:
        """Tell, and hear."""
        telling = {f"{name} {subject}": used for name, rate in self._rates.items() for subject, used in rate.telling().items()}
        if telling:
            with self._catalog.write() as conn:
                usage.tell(conn, self._server, telling, self._catalog.now(conn))
        with self._catalog.read() as conn:
            now = usage.told(conn, self._server)
        # What was there when this server came is past; of a row that began anew since, all counts.
        heard = now if self._heard is None else self._heard
        for row, total in now.items():
            before = heard.get(row, 0)
            self._hear(row[1], total - before if total >= before else total)
        self._heard = now

    def _hear(self, subject: str, used: int) -> None:
        name, _, whose = subject.partition(" ")
        if used and name in self._rates:
            self._rates[name].told(whose, used)
