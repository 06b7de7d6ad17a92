"""Where blocking work is done: catalog and store are never asked from the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from shiftlog.errors import ShiftlogError

T = TypeVar("T")


class _Task:
    """A call, and where its result is awaited."""

    __slots__ = ("_answer", "_arguments", "_function", "_loop", "_over")

    def __init__(self, function: Callable[..., Any], arguments: tuple[object, ...], over: Callable[[], None]) -> None:
        self._function, self._arguments, self._over = function, arguments, over
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[Any] = self._loop.create_future()

    def run(self) -> None:
        """In a thread."""
        result: Any = None
        raised: BaseException | None = None
        try:
            result = self._function(*self._arguments)
        except StopIteration as error:  # which no future takes
            raised = RuntimeError(f"{self._function} ended an iteration: {error}")
        except BaseException as error:  # whatever it is, it is for the one who awaits it
            raised = error
        with suppress(RuntimeError):  # the event loop has ended, and nobody awaits anything
            self._loop.call_soon_threadsafe(self._finish, result, raised)

    async def result(self) -> Any:
        return await self._answer

    def _finish(self, result: Any, raised: BaseException | None) -> None:
        self._over()
        if self._answer.cancelled():
            return
        if raised is None:
            self._answer.set_result(result)
        else:
            self._answer.set_exception(raised)


class _Kind:
    """At most so many threads for one kind of work, which begin when they are needed. Used from one event loop."""

    def __init__(self, most: int) -> None:
        self._most, self._threads, self._under_way = most, 0, 0
        self._queue: SimpleQueue[_Task | None] = SimpleQueue()

    async def run(self, function: Callable[..., T], *args: object) -> T:
        task = _Task(function, args, self._over)
        self._under_way += 1
        if self._threads < min(self._under_way, self._most):
            self._threads += 1
            Thread(target=_work, args=(self._queue,), name="blocking", daemon=True).start()
        self._queue.put(task)
        result: T = await task.result()
        return result

    def stop(self) -> None:
        """End the threads, once they have done what is under way. It is of no use afterwards."""
        for _ in range(self._threads):
            self._queue.put(None)

    def _over(self) -> None:
        self._under_way -= 1


def _work(queue: SimpleQueue[_Task | None]) -> None:
    while (task := queue.get()) is not None:
        task.run()
        del task  # what it holds does not wait for the next one


class Threads:
    """Threads by kind of work, so that slow work cannot take the threads of quick work."""

    def __init__(self) -> None:
        self._begin()

    def stop(self) -> None:
        """End the threads; more work begins new ones."""
        for kind in (self._reading, self._fetching, self._parsing, self._folding, self._watching):
            kind.stop()
        self._begin()

    def _begin(self) -> None:
        self._reading = _Kind(16)  # the catalog's pool has as many connections at hand
        self._fetching = _Kind(32)  # of the store: where it stalls, those who ask the catalog do not wait behind it
        self._parsing = _Kind(2)  # holds the interpreter's lock for most of its time: more would only take turns
        self._folding = _Kind(2)  # a lot of memory each
        self._watching = _Kind(2)

    async def read(self, function: Callable[..., T], *args: object) -> T:
        """Short work: a query."""
        return await self._reading.run(function, *args)

    async def fetch(self, function: Callable[..., T], *args: object) -> T:
        """A piece of a file, out of the store."""
        return await self._fetching.run(function, *args)

    async def parse(self, function: Callable[..., T], *args: object) -> T:
        """The body of a request."""
        try:
            return await self._parsing.run(function, *args)
        except ShiftlogError as error:
            # Its frames hold all that was unpacked, and one of them holds the error: only the collector would free that, much later.
            raise error.with_traceback(None) from None

    async def watch(self, function: Callable[..., T], *args: object) -> T:
        """What pages that are watched wait for: folding what has just landed, which does not wait for longer work."""
        return await self._watching.run(function, *args)

    async def fold(self, function: Callable[..., T], *args: object) -> T:
        """Long work: folding, converting a file."""
        return await self._folding.run(function, *args)
