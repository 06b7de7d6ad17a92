"""Nonces and audit lines, group-committed: what queued during one commit is committed together by the next one."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field

from shiftlog.catalog import Catalog, trail
from shiftlog.catalog.trail import Entry, Nonce
from shiftlog.errors import Later, ShiftlogError

_GROUP = 1_000  # at most so many are committed together: bounds how long the catalog's write lock is held


@dataclass(slots=True)
class _Line:
    nonce: Nonce | None
    entry: Entry | None
    answer: Future[bool] = field(default_factory=Future)


class Ledger:
    """Writes nonces and audit lines durably, from any number of threads."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._queue: queue.SimpleQueue[_Line | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="ledger", daemon=True)
        self._thread.start()

    def use(self, nonce: Nonce) -> Future[bool]:
        """Take a nonce; the future says whether it is its first use. It raises Later where the catalog does not answer."""
        return self._submit(_Line(nonce, None))

    def record(self, entry: Entry) -> Future[bool]:
        """Append an audit line; the future is done once it is durable. It raises Later where the catalog does not answer."""
        return self._submit(_Line(None, entry))

    def close(self) -> None:
        """Commit what was submitted, and stop."""
        self._queue.put(None)
        self._thread.join()

    def _submit(self, line: _Line) -> Future[bool]:
        self._queue.put(line)
        return line.answer

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            group, last = self._queued(first)
            try:
                self._commit(group)
            except Exception as error:  # whatever it is, every request gets an answer, and the next group its turn
                later = error if isinstance(error, ShiftlogError) else Later(f"the request could not be recorded: {error}")
                for line in group:
                    line.answer.set_exception(later)
            if last:
                return

    def _queued(self, first: _Line) -> tuple[list[_Line], bool]:
        group = [first]
        while len(group) < _GROUP:
            try:
                line = self._queue.get_nowait()
            except queue.Empty:
                break
            if line is None:
                return group, True
            group.append(line)
        return group, False

    def _commit(self, group: list[_Line]) -> None:
        nonces = [line.nonce for line in group if line.nonce is not None]
        with self._catalog.write() as conn:
            fresh = iter(trail.use(conn, nonces))
            trail.record(conn, [line.entry for line in group if line.entry is not None])
        for line in group:
            line.answer.set_result(line.nonce is None or next(fresh))
