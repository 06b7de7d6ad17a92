"""Does an event cost more where there are more of them? Publishing, a report, a pull and a list, at 1 and 10 times the work."""

from __future__ import annotations

import json
import shutil
import statistics
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import data
import process
from list import asking, entries, path
from measure import Contestant, Figures, Question, Scene, Target, Work
from server import serve

_SIZES = ("1 M", "10 M")
_FILES = {"1 000": 1_000, "10 000": 10_000, "100 000": 100_000}
_LOOKS = 5


def _data(size: float) -> Path:
    return data.made("growth", size, lambda directory: _make(directory, size))


def _make(directory: Path, size: float) -> dict[str, float]:
    """Data directories in which events have landed and are published, and such as name files and hold none."""
    facts = data.make_sizes(directory, size, _SIZES)
    for number, (files, count) in enumerate(_FILES.items()):
        facts[f"{files} files"] = entries(directory / f"named-{number}", max(1, round(count * size)))
    return facts


# ── the work ──


def _publish(scene: Scene, number: int) -> Work:
    shutil.copytree(scene.data / f"landed-{number}", scene.scratch / "data")

    def work() -> Mapping[str, float]:
        with data.deployment(scene.scratch / "data") as house:
            data.publish(house, data.SIZES_END)
        return {}

    return work


def _report(scene: Scene, number: int) -> Work:
    where = ["--data", str(scene.data / f"published-{number}"), "--account", data.ACCOUNT]
    return _command("report", *where, "--every", "1h", "--by", "agent", "--format", "parquet", "-o", str(scene.scratch / "report.parquet"))


def _pull(scene: Scene, number: int) -> Work:
    bearer = _opened(scene, f"published-{number}")
    profile = {"version": 1, "url": f"http://127.0.0.1:{serve(scene.scratch / 'data')}", "account": data.ACCOUNT, "bearer": bearer}
    (scene.scratch / "profile.json").write_text(json.dumps(profile))
    (scene.scratch / "profile.json").chmod(0o600)
    return _command("pull", "--profile", str(scene.scratch / "profile.json"), "--into", str(scene.scratch / "lake"), "--format", "json")


def _command(*words: str) -> Work:
    """A command of shiftlog, in a process whose memory is measured by itself."""
    return lambda: process.command([str(Path(sys.executable).with_name("shiftlog")), *words])


def _list(scene: Scene, number: int) -> Work:
    """Windows that were never asked for, so that no list is one that was kept."""
    headers = {"Authorization": f"Bearer {_opened(scene, f'named-{number}')}"}
    port = serve(scene.scratch / "data")

    def work() -> Mapping[str, float]:
        waits = [asking(port, path(since), headers)() for since in range(1, _LOOKS + 1)]
        return {"seconds": statistics.median(seconds for seconds, _ in waits)}

    return work


def _opened(scene: Scene, directory: str) -> str:
    """A bearer token of a copy of the data directory."""
    from shiftlog.catalog import keys

    shutil.copytree(scene.data / directory, scene.scratch / "data")
    with data.deployment(scene.scratch / "data") as house, house.catalog.write() as conn:
        bearer = keys.create(conn, house.vault, data.ACCOUNT, ["read"], house.catalog.now()).bearer
    assert bearer is not None
    return bearer


# ── figures ──


def _figures(found: Mapping[str, float], scene: Scene, fact: str) -> Mapping[str, float]:
    """Those of the command, where one was run, and how many events (files) it was about."""
    return {**found, "events": json.loads((scene.data / "facts.json").read_text())[fact]}


def _contestants(what: str, run: Callable[[Scene, int], Work], facts: Mapping[str, str]) -> list[Contestant]:
    return [
        Contestant(f"{what} {name}", partial(run, number=number), figures=partial(_figures, fact=fact))
        for number, (name, fact) in enumerate(facts.items())
    ]


def _cost(what: str, less: str, more: str) -> Callable[[Figures], float]:
    def ratio(figures: Figures) -> float:
        one, other = (figures[f"{what} {name}"] for name in (less, more))
        return (other["seconds"] / other["events"]) / (one["seconds"] / one["events"])

    return ratio


def _memory(what: str) -> Callable[[Figures], float]:
    return lambda figures: figures[f"{what} 10 M"]["peak_mb"] / figures[f"{what} 1 M"]["peak_mb"]


# What holds back what is missed.
_COSTS = {
    "publish": "a million events are one share of the agents, which stays in memory from the first step to the last; ten million are five. "
    "What has landed is dealt to them, and what they have due is kept for the next step, both in scratch space, written and read once. "
    "Before it was dealt, each share read all of it: 1.8 times as long for ten million on a loaded machine, and more the more there is.",
}
_ROOMS = {
    "publish": "the bound is two million events (`SHIFTLOG_FOLD_EVENTS`), folded with all that is made of them; one million do not "
    "reach it, and from two million on it stays.",
    "pull": "the bound is a part, up to half a million events (`SHIFTLOG_PART_EVENTS`): ten times the agents make parts of ten times "
    "the events, as long as they are smaller than that.",
}
_EVENTS: dict[str, str] = {name: name for name in _SIZES}
_WORK: dict[str, tuple[Any, dict[str, str]]] = {
    "publish": (_publish, _EVENTS),
    "report": (_report, _EVENTS),
    "pull": (_pull, _EVENTS),
    "list": (_list, {files: f"{files} files" for files in _FILES}),
}

QUESTION = Question(
    title="Growth",
    text="Landed events published; a report by agent and hour of what is published, and a pull of it, as commands from start to end; and "
    "a list of all files that there are, which nobody asked for before. Ten times the events are ten times the agents, in the same ten "
    "days. What is counted as events of a list are its files. The memory is that of the process that publishes, of the report, and of the "
    "pull.",
    data=_data,
    contestants=[one for what, (run, facts) in _WORK.items() for one in _contestants(what, run, facts)],
    targets=[
        *(
            Target(
                f"{what}: what an event costs among 10 M, times what it costs among 1 M",
                _cost(what, "1 M", "10 M"),
                most=1.15,
                missed=_COSTS.get(what, ""),
            )
            for what in ("publish", "report", "pull")
        ),
        Target("list: what a file costs among 10 000, times what it costs among 1 000", _cost("list", "1 000", "10 000"), most=1.15),
        Target("list: what a file costs among 100 000, times what it costs among 10 000", _cost("list", "10 000", "100 000"), most=1.15),
        *(
            Target(f"{what}: peak memory with 10 M, times that with 1 M", _memory(what), most=1.3, missed=_ROOMS.get(what, ""))
            for what in ("publish", "report", "pull")
        ),
    ],
    repetitions=3,
    warm=0,
)
