"""A run on a cluster that repeats what is slow: `speculated.py MASTER DATA MARKS NOW` publishes account A.

In each step of several tasks one's first attempt does its work, and then waits for another to have done the same. It is a process of
its own: its functions are sent along, and its session is no other test's.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from shiftlog.engine.spark import Spark, connected
from shiftlog.hours import parse
from shiftlog.house import House
from shiftlog.lease import Worker
from shiftlog.publish import publish
from shiftlog.settings import Settings


class Slowed:
    """An engine whose first task of each step of several is slow at its first attempt; marks are `STEP.first` and `STEP.again`."""

    distant = True

    def __init__(self, engine: Spark, marks: Path) -> None:
        self.engine, self.marks, self.steps = engine, marks, count()

    @property
    def width(self) -> int:
        return self.engine.width

    def run(self, function: Callable[[Any], Any], partitions: Iterable[Any], *, alone: bool = False) -> Iterator[Any]:
        tasks = list(enumerate(partitions))
        if len(tasks) == 1:  # Spark repeats what is slower than the others
            return self.engine.run(function, [partition for _, partition in tasks], alone=alone)
        first = self.marks / f"{next(self.steps)}.first"
        again = first.with_suffix(".again")

        def slow(task: tuple[int, Any]) -> Any:
            number, partition = task
            result = function(partition)
            if number == 0:
                try:
                    first.touch(exist_ok=False)
                except FileExistsError:
                    again.touch()
                else:
                    until = time.monotonic() + 120
                    while not again.exists() and time.monotonic() < until:
                        time.sleep(0.05)
            return result

        return self.engine.run(slow, tasks, alone=alone)


def main(master: str, data: str, marks: str, now: str) -> None:
    house = House.open(Path(data), settings=Settings(lead_milliseconds=0, part_events=700, fold_events=4_000))
    with connected(master) as engine, Worker(house) as worker:
        publish(worker, "A", now=parse(now), engine=Slowed(engine, Path(marks)))
    house.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
