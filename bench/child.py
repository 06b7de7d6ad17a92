"""One run in a process of its own: make the data, do a contestant's work, or compare what the contestants came to.

Started by run.py alone, with its order as JSON; the answer goes to the file that the order names.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import Contestant, Question, Scene


def main() -> None:
    order = json.loads(sys.argv[1])
    question: Question = importlib.import_module(order["question"]).QUESTION
    answer = _DO[order["do"]](question, order)
    Path(order["answer"]).write_text(json.dumps(answer))


def _make(question: Question, order: dict[str, Any]) -> dict[str, Any]:
    data = question.data(order["size"])
    return {"data": str(data), "facts": json.loads((data / "facts.json").read_text())}


def _work(question: Question, order: dict[str, Any]) -> dict[str, Any]:
    contestant, scene = _scene(question, order)
    if contestant.cores == 1:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    assert contestant.prepare is not None
    if order["warm"]:
        _warm_up(contestant, scene, Path(order["warm"]))
    work = contestant.prepare(scene)
    start = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    more = contestant.figures(result, scene) if contestant.figures else {}
    return {"seconds": seconds, **more}


def _warm_up(contestant: Contestant, scene: Scene, data: Path) -> None:
    """The same work on little data, so that nobody's first call is what is timed."""
    assert contestant.prepare is not None
    scratch = scene.scratch / "warm"
    scratch.mkdir()
    contestant.prepare(Scene(data, scratch))()
    shutil.rmtree(scratch)


def _outcome(question: Question, order: dict[str, Any]) -> dict[str, Any]:
    """Do the work, and keep what it came to. A command was run before."""
    contestant, scene = _scene(question, order)
    result = contestant.prepare(scene)() if contestant.prepare else None
    assert contestant.outcome is not None
    contestant.outcome(result, scene).write_parquet(order["outcome"])
    return {}


def _compare(question: Question, order: dict[str, Any]) -> dict[str, Any]:
    """What is different, in words; empty where nothing is."""
    import polars as pl
    from polars.testing import assert_frame_equal

    frames = {name: pl.read_parquet(path) for name, path in order["outcomes"].items()}
    (first, one), *others = frames.items()
    for name, other in others:
        try:
            assert_frame_equal(one, other, check_exact=False, rel_tol=1e-12)
        except AssertionError as error:
            return {"different": f"{name} and {first} do not come to the same: {error}"}
    return {"different": "" if one.height else f"{first} came to nothing"}


def _scene(question: Question, order: dict[str, Any]) -> tuple[Contestant, Scene]:
    contestant = next(one for one in question.contestants if one.name == order["contestant"])
    return contestant, Scene(Path(order["data"]), Path(order["scratch"]))


_DO: dict[str, Callable[[Question, dict[str, Any]], dict[str, Any]]] = {
    "make": _make,
    "work": _work,
    "outcome": _outcome,
    "compare": _compare,
}

if __name__ == "__main__":
    main()
