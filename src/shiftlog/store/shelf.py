"""Objects that were read lately, kept in memory: many accounts share a landing object, and pages ask for the same twins again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future

_SHARE = 8  # an object that takes more than this part of the room is not kept


class Shelf:
    """Up to `room` bytes; what was not asked for the longest leaves first. Objects never change, so none is ever stale.

    Who asks for what is being fetched waits for it, instead of fetching it too.
    """

    def __init__(self, room: int) -> None:
        self._room, self._taken = room, 0
        self._kept: OrderedDict[str, Future[bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str, fetch: Callable[[str], bytes]) -> bytes:
        """The object of a key, from here or by `fetch`; what it raises is not kept."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                mine = self._kept[key] = Future[bytes]()
            else:
                self._kept.move_to_end(key)
        return self._fetched(key, mine, fetch) if found is None else found.result()

    def drop(self, keys: Iterable[str]) -> None:
        """Forget objects."""
        with self._lock:
            for key in keys:
                self._remove(key)

    def _fetched(self, key: str, mine: Future[bytes], fetch: Callable[[str], bytes]) -> bytes:
        try:
            data = fetch(key)
        except BaseException as error:
            with self._lock:
                if self._kept.get(key) is mine:
                    del self._kept[key]
            mine.set_exception(error)
            raise
        with self._lock:
            mine.set_result(data)
            if self._kept.get(key) is mine:
                self._taken += len(data)
                if len(data) * _SHARE > self._room:
                    self._remove(key)
            while self._taken > self._room:
                self._remove(next(kept for kept, future in self._kept.items() if future.done()))
        return data

    def _remove(self, key: str) -> None:
        """What is still being fetched is not counted yet."""
        future = self._kept.pop(key, None)
        if future is not None and future.done():
            self._taken -= len(future.result())
