"""The default engine: this machine's threads. Polars and isal leave the interpreter free while they work."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

WORKERS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Local:
    """Runs functions on threads of this process. At most `workers` partitions are worked on at a time, so memory holds no more of them;
    what has come of one waits for what comes of those before it."""

    workers: int = WORKERS
    distant = False

    @property
    def width(self) -> int:
        return self.workers

    def run(self, function: Callable[[T], R], partitions: Iterable[T], *, alone: bool = False) -> Iterator[R]:
        workers = 1 if alone else self.workers
        with ThreadPoolExecutor(workers, thread_name_prefix="engine") as pool:
            waiting, running = deque[Future[R]](), set[Future[R]]()
            for partition in partitions:
                waiting.append(pool.submit(function, partition))
                running.add(waiting[-1])
                if len(running) >= workers:
                    running = wait(running, return_when=FIRST_COMPLETED).not_done
                while waiting and waiting[0].done():
                    yield waiting.popleft().result()
            for future in waiting:
                yield future.result()


LOCAL = Local()
