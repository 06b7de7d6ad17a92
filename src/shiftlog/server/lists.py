"""Lists that were written before: sent again as they were, until a part comes or goes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import NamedTuple

_ROOM = 32 << 20  # bytes of all lists that are kept


class Page(NamedTuple):
    """A page of a list as it is sent; `last` is the (generated, seq) of its last part, None where it has none."""

    body: bytes
    last: tuple[int, int] | None
    more: bool


class Lists:
    """Pages by whatever they follow from; the last ones asked for. Safe in several threads."""

    def __init__(self, room: int = _ROOM) -> None:
        self._room, self._taken = room, 0
        self._kept: OrderedDict[Hashable, Page] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, of: Hashable) -> Page | None:
        with self._lock:
            if of in self._kept:
                self._kept.move_to_end(of)
            return self._kept.get(of)

    def keep(self, of: Hashable, page: Page) -> None:
        with self._lock:
            if of in self._kept or len(page.body) > self._room:
                return
            self._kept[of] = page
            self._taken += len(page.body)
            while self._taken > self._room:
                self._taken -= len(self._kept.popitem(last=False)[1].body)
