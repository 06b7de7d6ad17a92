"""The engine of this machine's threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from shiftlog.engine.local import Local

from .contract import EngineContract


class TestLocal(EngineContract):
    """Threads keep the contract, and hold few partitions at a time."""

    def run(self, function: Callable[[Any], Any], partitions: Iterable[Any]) -> Iterator[Any]:
        return Local(workers=2).run(function, partitions)

    def test_few_partitions_are_taken_ahead(self):
        """Not more than there are workers are at work, so memory holds no more."""
        taken: list[int] = []
        done: list[int] = []

        def tracked() -> Iterator[int]:
            for n in range(50):
                assert len(taken) - len(done) < 2
                taken.append(n)
                yield n

        assert len(list(self.run(done.append, tracked()))) == 50

    def test_a_slow_partition_holds_up_no_other(self):
        """The first waits for the last."""
        last = threading.Event()

        def first_waits(n: int) -> bool:
            if n == 9:
                last.set()
            return n > 0 or last.wait(60)

        assert all(self.run(first_waits, range(10)))
