"""Where blocking work is done: catalog and store are never asked from the event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

T = TypeVar("T")


class Threads:
    """Threads by kind of work, so that slow work cannot take the threads of quick work."""

    def __init__(self) -> None:
        self._reading = CapacityLimiter(16)  # the catalog's pool has as many connections at hand
        self._fetching = CapacityLimiter(32)  # of the store: where it stalls, those who ask the catalog do not wait behind it
        self._parsing = CapacityLimiter(2)  # holds the interpreter's lock for most of its time: more would only take turns
        self._folding = CapacityLimiter(2)  # a lot of memory each
        self._watching = CapacityLimiter(2)

    async def read(self, function: Callable[..., T], *args: object) -> T:
        """Short work: a query."""
        return await to_thread.run_sync(function, *args, limiter=self._reading)

    async def fetch(self, function: Callable[..., T], *args: object) -> T:
        """A piece of a file, out of the store."""
        return await to_thread.run_sync(function, *args, limiter=self._fetching)

    async def parse(self, function: Callable[..., T], *args: object) -> T:
        """The body of a request."""
        return await to_thread.run_sync(function, *args, limiter=self._parsing)

    async def watch(self, function: Callable[..., T], *args: object) -> T:
        """What pages that are watched wait for: folding what has just landed, which does not wait for longer work."""
        return await to_thread.run_sync(function, *args, limiter=self._watching)

    async def fold(self, function: Callable[..., T], *args: object) -> T:
        """Long work: folding, converting a file."""
        return await to_thread.run_sync(function, *args, limiter=self._folding)
