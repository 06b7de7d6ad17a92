"""A process that dies at a named step: `python killed.py DATA STEP before|after N ACTION…`, where STEP is `module:name`.

The N-th call of the step kills the process with SIGKILL, before it begins or after it has returned.

land BATCHES ACKS     accept the batches of a Parquet file, appending the number of each to ACKS once it is acknowledged
publish NOW           publish account A
sweep NOW             delete what is too old at NOW
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1]))

from readers import at
from shiftlog.events import SENT
from shiftlog.house import House
from shiftlog.landing import Landing
from shiftlog.lease import Worker
from shiftlog.publish import publish
from shiftlog.retention import sweep


def deadly(step: str, when: str, call: int) -> None:
    """Put death into a step."""
    module, _, name = step.partition(":")
    *path, last = name.split(".")
    owner: Any = functools.reduce(getattr, path, importlib.import_module(module))
    original, calls = getattr(owner, last), 0

    def wrapped(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*arguments, **named)
        if calls == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, last, wrapped)


def land(house: House, batches: str, acks: str) -> None:
    landing = Landing(house)
    with Path(acks).open("a") as log:
        for piece in pl.read_parquet(batches).partition_by("batch", maintain_order=True):
            landing.accept("A", piece.select(SENT.keys()))
            log.write(f"{piece['batch'][0]}\n")
            log.flush()


def publish_at(house: House, now: str) -> None:
    with Worker(house) as worker:
        publish(worker, "A", now=int(now))


def sweep_at(house: House, now: str) -> None:
    sweep(at(house, int(now)))


if __name__ == "__main__":
    data, step, when, call, action, *arguments = sys.argv[1:]
    house = House.open(Path(data))
    deadly(step, when, int(call))
    {"land": land, "publish": publish_at, "sweep": sweep_at}[action](house, *arguments)
