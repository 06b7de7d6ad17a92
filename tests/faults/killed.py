"""A process that dies at a named step: `python killed.py DATA STEP before|after N ACTION…`, where STEP is `module:name`.

The N-th call of the step kills the process with SIGKILL, before it begins or after it has returned.

land BATCHES ACKS     accept the batches of a Parquet file, appending the number of each to ACKS once it is acknowledged
publish NOW           publish account A
sweep NOW             delete what is too old at NOW
pull PROFILE          pull into the lake DATA
"""

from __future__ import annotations

import functools
import importlib
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1]))

from readers import at
from shiftlog.client import Client, Profile
from shiftlog.client.pull import Options, pull
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
    original, calls = getattr(owner, last), itertools.count(1)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        mine = next(calls)  # of several threads
        if mine == call and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*arguments, **named)
        if mine == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, last, wrapped)


def killed(data: Path, kill: tuple[str, str, str, int], *arguments: object) -> None:
    """Run an action of this script, and see it die at its step."""
    action, step, when, call = kill
    words = [__file__, data, step, when, call, action, *arguments]
    done = subprocess.run([sys.executable, *map(str, words)], env={**os.environ, "SHIFTLOG_LEAD_MILLISECONDS": "0"}, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def land(data: Path, batches: str, acks: str) -> None:
    landing = Landing(House.open(data))
    with Path(acks).open("a") as log:
        for piece in pl.read_parquet(batches).partition_by("batch", maintain_order=True):
            landing.accept("A", piece.select(SENT.keys()))
            log.write(f"{piece['batch'][0]}\n")
            log.flush()


def publish_at(data: Path, now: str) -> None:
    with Worker(House.open(data)) as worker:
        publish(worker, "A", now=int(now))


def sweep_at(data: Path, now: str) -> None:
    sweep(at(House.open(data), int(now)))


def pull_into(data: Path, profile: str) -> None:
    with Client(Profile.load(Path(profile))) as client:
        pull(client, data, Options(), now=time.time_ns() // 1_000_000)


if __name__ == "__main__":
    data, step, when, call, action, *arguments = sys.argv[1:]
    deadly(step, when, int(call))
    {"land": land, "publish": publish_at, "sweep": sweep_at, "pull": pull_into}[action](Path(data), *arguments)
