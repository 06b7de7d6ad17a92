"""From how many events on is a Spark cluster worth it? Publishing and a report, with one and two workers, against threads."""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import data
from measure import Contestant, Question, Scene, Target, Work

if TYPE_CHECKING:
    import polars as pl

    from shiftlog.engine import Engine

_SCRIPT = data.ROOT / "scripts" / "spark.sh"


# ── the data ──


def _data(size: float) -> Path:
    return data.made("spark", size, lambda directory: data.make_sizes(directory, size, list(data.SIZES)))


def _engine(scene: Scene, workers: int) -> Engine:
    """This machine's threads for no worker; else a standalone cluster with a session that has done something."""
    from shiftlog.engine.local import LOCAL

    if not workers:
        return LOCAL
    from shiftlog.engine.spark import connected

    os.environ["PYSPARK_PYTHON"] = sys.executable
    where = scene.scratch / "spark"
    started = subprocess.run(
        [_SCRIPT, "start", where],
        env={**os.environ, "WORKERS": str(workers), "MEMORY": "4g"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    atexit.register(subprocess.run, [_SCRIPT, "stop", where])
    session = connected(started.stdout.strip())
    engine = session.__enter__()
    atexit.register(session.__exit__, None, None, None)
    list(engine.run(importlib.util.find_spec, ["shiftlog.steps"] * workers))  # a worker's Python has started, and imported shiftlog
    return engine


# ── the work ──


def _publish(scene: Scene, number: int, workers: int) -> Work:
    import shutil

    from shiftlog.lease import Worker
    from shiftlog.publish import publish

    shutil.copytree(scene.data / f"landed-{number}", scene.scratch / "data")
    engine = _engine(scene, workers)

    def work() -> None:
        with data.deployment(scene.scratch / "data") as house, Worker(house) as worker:
            publish(worker, data.ACCOUNT, now=data.SIZES_END, engine=engine)

    return work


def _report(scene: Scene, number: int, workers: int) -> Work:
    from shiftlog import archive

    engine = _engine(scene, workers)

    def work() -> pl.DataFrame:
        with archive.deployment(scene.data / f"published-{number}", account=data.ACCOUNT) as centre:
            return centre.on(engine).metrics(every="1h", by="agent", until="watermark").collect()

    return work


def _cost(events: str, scene: Scene) -> Mapping[str, float]:
    return {"events": json.loads((scene.data / "facts.json").read_text())[events]}


def _name(what: str, events: str, workers: int) -> str:
    return f"{what} {events}, " + (f"Spark, {workers} {'workers' if workers > 1 else 'worker'}" if workers else "local")


def _ratio(what: str, events: str) -> Any:
    return lambda figures: figures[_name(what, events, 2)]["seconds"] / figures[_name(what, events, 0)]["seconds"]


QUESTION = Question(
    title="Spark",
    text="Landed events published, and a report by agent and hour of what is published, by this machine's threads and by a standalone "
    "Spark cluster on the same two cores: what Spark adds is its overhead, for there is no more machine. Clusters are started, and have "
    "imported shiftlog, before the clock runs. A worker has one core.",
    data=_data,
    contestants=[
        Contestant(
            _name(what, events, workers),
            lambda scene, run=run, number=number, workers=workers: run(scene, number, workers),
            figures=lambda _, scene, events=events: _cost(events, scene),
            needs="pyspark" if workers else None,
        )
        for what, run in (("publish", _publish), ("report", _report))
        for number, events in enumerate(data.SIZES)
        for workers in (0, 1, 2)
    ],
    targets=[
        Target("publishing 10 M events with two workers, times the time of two threads", _ratio("publish", "10 M"), most=1.5),
    ],
    repetitions=1,
    warm=0,
)
