"""The scheduler: publishes each hour once it is due, and keeps house. Whatever fails is logged, and tried again later.

Several of them, in as many processes, divide the accounts among them: each leaves alone what another is at.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count

import structlog

from shiftlog import hours, retention
from shiftlog.catalog import accounts, publishing, trail
from shiftlog.errors import Later, Taken
from shiftlog.house import House
from shiftlog.lease import Worker
from shiftlog.publish import close
from shiftlog.server.monitor import Monitor

log = structlog.get_logger()

_TICK = 2.0  # seconds between two looks at what is due
_MINUTE, _HOUR = 30, 1_800  # in ticks
_AT_ONCE = 4  # runs at once: that of a quiet account waits for the disk or the network most of the time
_FIRST_WAIT, _LONGEST_WAIT = 5.0, 300.0  # seconds until a failed run is tried again; doubled each time


@dataclass(slots=True)
class _Failure:
    """How often in a row an account could not be published, and when (monotonic seconds) it is tried again."""

    times: int
    again: float


class Scheduler:
    """Publishes and keeps house beside the requests; with `publish=False` it only keeps house. `each_minute` is part of that."""

    def __init__(self, house: House, monitor: Monitor, *, publish: bool, each_minute: Callable[[], object] = lambda: None) -> None:
        self._each_minute = each_minute
        self._house, self._monitor, self._publishing = house, monitor, publish
        self._stopped = threading.Event()
        self._running: set[str] = set()
        self._done: dict[str, int] = {}  # the last hours' end for which an account was published from here
        self._failures: dict[str, _Failure] = {}

    def start(self) -> None:
        self._stopped.clear()
        self._resources = ExitStack()
        worker = self._resources.enter_context(Worker(self._house, self._monitor.takeovers.inc))
        pool = self._resources.enter_context(ThreadPoolExecutor(_AT_ONCE, "publish"))
        self._thread = threading.Thread(target=self._work, args=(worker, pool), name="scheduler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let the runs under way finish, and begin no other."""
        self._stopped.set()
        self._thread.join()
        self._resources.close()

    def _work(self, worker: Worker, pool: ThreadPoolExecutor) -> None:
        for tick in count(1):
            if self._stopped.wait(_TICK):
                break
            if self._publishing:
                _attempt("schedule", lambda: self._begin(worker, pool))
            if tick % _MINUTE == 0:
                pool.submit(_attempt, "expire", self._expire)
                pool.submit(_attempt, "minute", self._each_minute)
            if tick % _HOUR == _MINUTE:
                pool.submit(_attempt, "sweep", lambda: retention.sweep(self._house))
        pool.shutdown(cancel_futures=True)

    def _begin(self, worker: Worker, pool: ThreadPoolExecutor) -> None:
        now = time.monotonic()
        due = list(self._due().items())
        random.shuffle(due)  # so that several schedulers do not all begin with the same
        for account, until in due:
            failure = self._failures.get(account)
            if account not in self._running and (failure is None or failure.again <= now):
                self._running.add(account)
                pool.submit(self._publish, worker, account, until)

    def _due(self) -> dict[str, int]:
        """The accounts with an hour to publish, and the end of the last hour that is due."""
        with self._house.catalog.read() as conn:
            until = hours.due(self._house.catalog.now(conn), self._house.settings.grace)
            waiting = [known.account for known in accounts.every(conn) if self._done.get(known.account) != until]
            states = {account: publishing.state(conn, account) for account in waiting}
        return {account: until for account, s in states.items() if s.landed > 0 and (s.watermark is None or s.watermark < until)}

    def _publish(self, worker: Worker, account: str, until: int) -> None:
        try:
            self._monitor.published.inc(close(worker, account, wait=False).parts)
        except Taken:
            pass  # where that worker fails, the account is due still, and its lease free in a while
        except Exception as error:  # whatever it is, the other accounts go on, and this one is tried again
            self._monitor.failed.inc()
            self._fail(account, error)
        else:
            self._failures.pop(account, None)
            self._done[account] = until
        finally:
            self._running.discard(account)

    def _fail(self, account: str, error: Exception) -> None:
        times = self._failures[account].times + 1 if account in self._failures else 1
        seconds = min(_FIRST_WAIT * 2 ** min(times - 1, 16), _LONGEST_WAIT)
        self._failures[account] = _Failure(times, time.monotonic() + seconds)
        _log_failure("publish", error, account=account, times=times, again_in_seconds=seconds)

    def _expire(self) -> None:
        with self._house.catalog.write() as conn:
            trail.expire(conn, self._house.catalog.now(conn))


def _attempt(what: str, action: Callable[[], object]) -> None:
    try:
        action()
    except Exception as error:  # whatever it is, it is tried again at its next turn
        _log_failure(what, error)


def _log_failure(what: str, error: Exception, **fields: object) -> None:
    """`Later` is an everyday failure; of all others the operator wants to see where they came from."""
    if isinstance(error, Later):
        log.warning("failed", what=what, error=str(error), **fields)
    else:
        log.error("failed", what=what, exc_info=error, **fields)
