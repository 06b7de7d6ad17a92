"""Engines: how a function is run over partitions. `local` uses this machine's threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Engine(Protocol):
    """What runs a function over partitions."""

    def run(self, function: Callable[[T], R], partitions: Iterable[T], *, alone: bool = False) -> Iterator[R]:
        """The function's results, in the partitions' order; the first error ends the run, and is raised here.

        `alone`: the function takes all the memory that a process should, so each process runs one at a time.
        """
