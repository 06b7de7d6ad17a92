"""The default engine: this machine's threads. Polars and isal leave the interpreter free while they work."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

WORKERS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Local:
    """Runs functions on threads of this process. At most `workers` partitions are taken at a time, so memory holds no more of them."""

    workers: int = WORKERS
    distant = False

    @property
    def width(self) -> int:
        return self.workers

    def run(self, function: Callable[[T], R], partitions: Iterable[T], *, alone: bool = False) -> Iterator[R]:
        workers = 1 if alone else self.workers
        with ThreadPoolExecutor(workers, thread_name_prefix="engine") as pool:
            waiting: list[Future[R]] = []
            for partition in partitions:
                waiting.append(pool.submit(function, partition))
                if len(waiting) >= workers:
                    yield waiting.pop(0).result()
            for future in waiting:
                yield future.result()


LOCAL = Local()
