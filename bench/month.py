"""A month of 5 000 agents, end to end: simulated and taken in, published, pulled into a lake, proved, and reported."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import data
import process
from measure import Contestant, Question, Scene, Target, Work, of
from server import serve

_AGENTS, _DAYS = 5_000, 30
_END = data.YEAR_BEGINS + (_DAYS + 3) * data.DAY
_SHIFTLOG = str(Path(sys.executable).with_name("shiftlog"))


def _data(size: float) -> Path:
    """No data, but how much there is to be; what a stage leaves for the next is beside it."""
    return data.made("month", size, lambda directory: _count(directory, max(1, round(_AGENTS * size))))


def _count(_: Path, agents: int) -> dict[str, float]:
    return {"agents": agents, "days": _DAYS, "events": sum(block.height for block in _arrivals(agents))}


def _arrivals(agents: int) -> Any:
    from shiftlog.simulate import Centre

    return Centre(data.ACCOUNT, agents, _DAYS, data.YEAR_BEGINS, seed=1, late=0.01, repeat=0.01).arrivals()


def _take_in(scene: Scene) -> Work:
    """All events as they arrive, in batches that are durable one by one."""
    import json

    agents = int(json.loads((scene.data / "facts.json").read_text())["agents"])
    for stale in ("deployment", "lake"):
        shutil.rmtree(scene.data / stale, ignore_errors=True)

    def work() -> None:
        with data.deployment(scene.data / "deployment", create=True) as house:
            for arrived in _arrivals(agents):
                data.land(house, arrived.drop("arrivesAt"), 50_000)

    return work


def _publish(scene: Scene) -> Sequence[str]:
    now = datetime.fromtimestamp(_END / 1000, UTC).isoformat()
    return [_SHIFTLOG, "publish", "--data", str(scene.data / "deployment"), "--account", data.ACCOUNT, "--now", now]


def _pull(scene: Scene) -> Work:
    house = scene.data / "deployment"
    port, profile = serve(house), str(scene.scratch / "profile.json")
    key = [_SHIFTLOG, "keys", "create", "--data", str(house), "--account", data.ACCOUNT, "--permission", "read"]
    process.command([*key, "--profile", profile, "--url", f"http://127.0.0.1:{port}"])
    return lambda: process.command([_SHIFTLOG, "pull", "--profile", profile, "--into", str(scene.data / "lake"), "--format", "json"])


def _figures(found: Any, _: Scene) -> Mapping[str, float]:
    """Those of the command alone, where a server ran beside it."""
    return found or {}


def _verify(scene: Scene) -> Sequence[str]:
    return [_SHIFTLOG, "verify", str(scene.data / "lake")]


def _report(scene: Scene, *source: str) -> Sequence[str]:
    output = str(scene.scratch / "report.parquet")
    return [_SHIFTLOG, "report", *source, "--every", "1h", "--by", "agent", "--format", "parquet", "-o", output]


def _minutes(figures: Mapping[str, Mapping[str, float]]) -> float:
    return sum(stage["seconds"] for stage in figures.values()) / 60


_LAKE, _DEPLOYMENT = "report, from the lake", "report, from the deployment"

QUESTION = Question(
    title="A month of 5 000 agents",
    text="From the first event to the last number: events as they arrive, one in a hundred hours late and one in a hundred twice, are "
    "taken in with batches of 50 000; the month is published in one run, pulled from a `shiftlog serve`, proved, and reported by agent and "
    "hour. The stages follow one another, each on what the one before has left. Only where it is asked for: it takes a while.",
    data=_data,
    contestants=[
        Contestant("simulate, and take in", _take_in),
        Contestant("publish", command=_publish),
        Contestant("pull", _pull, figures=_figures),
        Contestant("verify", command=_verify),
        Contestant(_LAKE, command=lambda scene: _report(scene, "--lake", str(scene.data / "lake"))),
        Contestant(_DEPLOYMENT, command=lambda scene: _report(scene, "--data", str(scene.data / "deployment"), "--account", data.ACCOUNT)),
    ],
    targets=[
        Target("the whole way", _minutes, most=20, unit="min"),
        Target("peak memory of publishing", of("publish", "peak_mb"), most=4_000, unit="MB"),
        Target("peak memory of the report", of(_DEPLOYMENT, "peak_mb"), most=4_000, unit="MB"),
    ],
    repetitions=1,
    warm=0,
)
