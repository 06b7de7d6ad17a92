"""Group commit: what is asked while a commit is under way is committed together by the next one.

There is no timer: whoever comes alone waits for nobody.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, Generic, Protocol, TypeVar

from shiftlog.errors import Later, ShiftlogError


class Request(Protocol):
    """What is committed: its `weight` counts towards the size of a group, its `answer` is awaited."""

    @property
    def weight(self) -> int: ...

    @property
    def answer(self) -> Future[Any]: ...


R = TypeVar("R", bound=Request)


class Committer(Generic[R]):
    """Commits requests from any number of threads, in the order in which they came; with several `threads` of its own, groups
    beside each other.

    `commit` makes a group durable and sets the answers; where it raises, those without an answer get the error.
    `limit` bounds the weight of a group, about.
    """

    def __init__(self, name: str, commit: Callable[[list[R]], None], *, limit: int, threads: int = 1) -> None:
        self._commit, self._limit = commit, limit
        self._queue: queue.SimpleQueue[R | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work, name=name, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, request: R) -> None:
        self._queue.put(request)

    def close(self) -> None:
        """Commit what was submitted, and stop."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            group, last = self._queued(first)
            try:
                self._commit(group)
            except ShiftlogError as error:
                _refuse(group, error)
            except Exception as error:  # whatever it is, every request gets an answer, and the next group its turn
                _refuse(group, Later(f"nothing could be committed: {error}"))
            if last:
                return

    def _queued(self, first: R) -> tuple[list[R], bool]:
        """All that waits, up to the limit; and whether it was the last."""
        group, weight = [first], first.weight
        while weight < self._limit:
            try:
                request = self._queue.get_nowait()
            except queue.Empty:
                break
            if request is None:
                return group, True
            group.append(request)
            weight += request.weight
        return group, False


def _refuse(group: Iterable[Request], error: ShiftlogError) -> None:
    for request in group:
        if not request.answer.done():
            request.answer.set_exception(error)
