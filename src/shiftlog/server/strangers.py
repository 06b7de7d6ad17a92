"""Audit lines of those who have no key: the first are recorded one by one, the rest are counted, so that nobody can fill the log.

However many requests are denied, a server process adds a line in ten seconds (after sixty at once), and twenty-one in five minutes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace

from shiftlog.catalog.trail import Entry
from shiftlog.hours import iso
from shiftlog.server.ledger import Ledger
from shiftlog.server.limits import Rate

_EACH, _AT_ONCE = 0.1, 600.0  # lines a second, and the seconds whose lines may come at once
_PERIOD = 300.0  # seconds after which those that were counted get a line
_COUNTED, _NAMED = 1_000, 20  # addresses and keys that are counted one by one, and those that then get a line of their own


@dataclass(slots=True)
class _Count:
    first: Entry
    times: int = 0


class Strangers:
    """Records what was denied to requests without a key that holds."""

    def __init__(self, ledger: Ledger, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger, self._clock = ledger, clock
        self._single = Rate(_EACH, _AT_ONCE, clock=clock)
        self._counts: dict[tuple[str | None, int | None], _Count] = {}
        self._flushed = clock()
        self._lock = threading.Lock()

    def record(self, entry: Entry) -> Future[bool] | None:
        """The future of its line, where it gets one of its own; else it is counted."""
        if not self._single.take(""):
            return self._ledger.record(entry)
        who = (entry.address, entry.key_id)
        with self._lock:
            if who not in self._counts and len(self._counts) >= _COUNTED:
                who = (None, None)
                entry = replace(entry, address=None, key_id=None, account=None)
            self._counts.setdefault(who, _Count(entry)).times += 1
        return None

    def flush(self, *, now: bool = False) -> None:
        """Record what was counted, if that is some time ago, or `now`."""
        with self._lock:
            if not now and self._clock() - self._flushed < _PERIOD:
                return
            self._flushed, counts = self._clock(), self._counts
            self._counts = {}
        most = sorted(counts.values(), key=lambda count: -count.times)
        for count in most[:_NAMED]:
            self._ledger.record(_line(count.first, count.times))
        if rest := most[_NAMED:]:
            nobody = replace(rest[0].first, address=None, key_id=None, account=None)
            self._ledger.record(_line(nobody, sum(count.times for count in rest)))


def _line(first: Entry, times: int) -> Entry:
    return replace(first, at=time.time_ns() // 1_000_000, target=f"since {iso(first.at)}, first: {first.target}", times=times)
