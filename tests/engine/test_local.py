"""The engine of this machine's threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from shiftlog.engine.local import Local

from .contract import EngineContract


class TestLocal(EngineContract):
    """Threads keep the contract, and hold few partitions at a time."""

    def run(self, function: Callable[[Any], Any], partitions: Iterable[Any]) -> Iterator[Any]:
        return Local(workers=2).run(function, partitions)

    def test_few_partitions_are_taken_ahead(self):
        """Not more than there are workers wait, so memory holds no more."""
        taken: list[int] = []

        def tracked() -> Iterator[int]:
            for n in range(50):
                taken.append(n)
                yield n

        results = self.run(str, tracked())
        assert next(results) == "0"
        assert len(taken) <= 3
