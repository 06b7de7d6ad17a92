"""The default engine: this machine's threads. Polars and isal leave the interpreter free while they work."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

WORKERS = min(4, os.cpu_count() or 1)


def run(function: Callable[[T], R], partitions: Iterable[T], workers: int = WORKERS) -> Iterator[R]:
    """The function's results, in the partitions' order. At most `workers` partitions are taken at a time, so memory
    holds no more of them; the first error ends the run."""
    with ThreadPoolExecutor(workers, thread_name_prefix="engine") as pool:
        waiting: list[Future[R]] = []
        for partition in partitions:
            waiting.append(pool.submit(function, partition))
            if len(waiting) >= workers:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()
