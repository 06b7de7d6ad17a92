"""What every engine promises."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest


class EngineContract:
    """Inherited by the tests of each engine, which say how to run."""

    def run(self, function: Callable[[Any], Any], partitions: Iterable[Any]) -> Iterator[Any]:
        raise NotImplementedError

    def test_results_come_in_the_partitions_order(self):
        """Whichever is done first."""

        def slow_first(n: int) -> int:
            time.sleep(0.05 if n == 0 else 0)
            return n * n

        assert list(self.run(slow_first, range(6))) == [0, 1, 4, 9, 16, 25]

    def test_no_partitions_give_no_results(self):
        """An empty run is no error."""
        assert list(self.run(str, [])) == []

    def test_an_error_ends_the_run(self):
        """It reaches whoever asked."""

        def fails(n: int) -> int:
            if n == 3:
                raise ValueError("three")
            return n

        with pytest.raises(ValueError, match="three"):
            list(self.run(fails, range(100)))
