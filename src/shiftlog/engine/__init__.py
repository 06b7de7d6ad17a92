"""Engines: how a function is run over partitions. `local` uses this machine's threads, `spark` a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Engine(Protocol):
    """What runs a function over partitions.

    `width`: how many partitions are worked on at once, about. `distant`: the function runs elsewhere, in processes that have shiftlog and
    reach the store, and nothing else of this machine; function, partitions and results travel pickled.
    """

    @property
    def width(self) -> int: ...

    @property
    def distant(self) -> bool: ...

    def run(self, function: Callable[[T], R], partitions: Iterable[T], *, alone: bool = False) -> Iterator[R]:
        """The function's results, in the partitions' order; the first error ends the run, and is raised here.

        `alone`: the function takes all the memory that a process should, so each process runs one at a time.
        """
