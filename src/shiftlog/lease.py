"""Who may publish an account: one worker at a time, by a lease in the catalog.

A worker that dies is known to be dead at once where all workers share a data directory, since its operating-system lock
dies with it; elsewhere its lease expires. A worker that only sleeps keeps its lock, but not its lease: it is overtaken,
and its commit will be refused.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO

import structlog

from shiftlog.catalog import publishing
from shiftlog.catalog.publishing import Lease
from shiftlog.errors import Later, Overtaken, Taken
from shiftlog.house import House

log = structlog.get_logger()

_POLL_SECONDS = 0.2  # how often a worker that waits for another's lease looks again


@dataclass(frozen=True, slots=True)
class Held:
    """A lease that is being kept; `check` raises Overtaken once it is known to be lost."""

    lease: Lease
    check: Callable[[], None]


class Worker:
    """A process (or thread) that publishes, with a name and a lock of its own; `on_takeover` is told whenever it replaces another."""

    def __init__(self, house: House, on_takeover: Callable[[], None] = lambda: None) -> None:
        self.house, self.on_takeover = house, on_takeover
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._lock: IO[bytes] | None = None
        self._held: set[str] = set()  # accounts

    def __enter__(self) -> Worker:
        if self.house.catalog.one_machine:
            self._lock = self._lock_file(self.name).open("wb")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._lock is not None:
            self._lock_file(self.name).unlink(missing_ok=True)
            self._lock.close()

    @contextmanager
    def hold(self, account: str, *, wait: bool = True) -> Iterator[Held]:
        """The account's lease for as long as the block runs; waits until it is free, expired, or its holder dead.

        Raises:
            Missing: no such account.
            Taken: another worker holds it, and `wait` is false.
        """
        lease = self._acquire(account, wait)
        self._held.add(account)
        stopped, lost = threading.Event(), threading.Event()
        beat = threading.Thread(target=self._beat, args=(lease, stopped, lost), name="lease", daemon=True)
        beat.start()
        try:
            yield Held(lease, lambda: _raise_if(lost, account))
        finally:
            stopped.set()
            beat.join()
            self._release(lease)

    @property
    def _lease_ms(self) -> int:
        return int(self.house.settings.lease_seconds * 1000)

    def _acquire(self, account: str, wait: bool) -> Lease:
        while True:
            lease = publishing.acquire(self.house.catalog, account, self.name, self._lease_ms, partial(self._alive, account))
            if isinstance(lease, Lease):
                if lease.taken_from not in (None, self.name):
                    log.warning("lease.taken_over", account=account, holder=self.name, before=lease.taken_from)
                    self.on_takeover()
                return lease
            if not wait:
                raise Taken(f"another worker publishes {account} just now", retry_after=-(-lease // 1000))
            time.sleep(min(lease / 1000, _POLL_SECONDS))

    def _release(self, lease: Lease) -> None:
        try:
            publishing.release(self.house.catalog, lease)
        except Later as error:
            # What was done under the lease is done. Nobody renews it any more, and we know it as our own that we do not hold.
            log.warning("lease.kept", account=lease.account, holder=self.name, error=str(error))
        finally:
            self._held.discard(lease.account)

    def _beat(self, lease: Lease, stopped: threading.Event, lost: threading.Event) -> None:
        while not stopped.wait(self._lease_ms / 3000):
            try:
                if not publishing.renew(self.house.catalog, lease, self._lease_ms):
                    return lost.set()
            except Later:
                continue  # a busy catalog is no reason to stop: the commit decides

    def _alive(self, account: str, name: str) -> bool:
        """Whether the holder of an account's lease may still be at it; known of this worker, and where all share a directory."""
        if name == self.name:
            return account in self._held
        if not self.house.catalog.one_machine:
            return True
        try:
            with self._lock_file(name).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def _lock_file(self, name: str) -> Path:
        return self.house.within("locks") / f"{name}.lock"


def _raise_if(lost: threading.Event, account: str) -> None:
    if lost.is_set():
        raise Overtaken(f"another worker has taken over publishing of {account}; nothing was changed")
