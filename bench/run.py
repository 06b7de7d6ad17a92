"""Measure: python bench/run.py [QUESTION]… (make bench, make bench ONLY=publish); SIZE=0.1 in the environment scales the data.

Every run is a process of its own, by turns with those of the others; figures are medians. What contestants come to is
compared before anything is timed. A peer that is not installed is named, and the rest goes on. Results go to
bench/results, and from there to docs/performance.md (--docs alone makes that again); those of another SIZE to build/bench.

Exits with 1 where a target is missed, or contestants do not come to the same.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import machine
import page
import process
from data import BUILD
from measure import Contestant, Figures, Question, Scene, Target

RESULTS = Path(__file__).with_name("results")
QUESTIONS = (
    "year",
    "publish",
    "decode",
    "metrics",
    "simulate",
    "startup",
    "ingest",
    "archive",
    "list",
    "download",
    "pull",
    "day",
    "growth",
    "spark",
)
LONG = ("month",)  # measured where they are asked for by name


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "questions", nargs="*", metavar="QUESTION", help=f"of {', '.join(QUESTIONS)} (default: all of these), {', '.join(LONG)}"
    )
    parser.add_argument("--docs", action="store_true", help="make docs/performance.md of the results there are, and measure nothing")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.questions) - {*QUESTIONS, *LONG}):
        parser.error(f"no such question: {', '.join(unknown)}; there are {', '.join((*QUESTIONS, *LONG))}")
    try:
        size = float(os.environ.get("SIZE") or 1)
    except ValueError:
        size = 0
    if size <= 0:
        parser.error(f"SIZE is {os.environ['SIZE']!r}; a factor above 0 is expected")
    results = {} if asked.docs else {name: answered(name, size) for name in asked.questions or QUESTIONS}
    if size == 1:
        write_page()
    print(page.summary(results))
    return 0 if all(page.passed(result) for result in results.values()) else 1


def write_page() -> None:
    """docs/performance.md, of the results that there are."""
    found = {name: RESULTS / f"{name}.json" for name in (*QUESTIONS, *LONG)}
    results = {name: json.loads(path.read_text()) for name, path in found.items() if path.exists()}
    page.write({name: question(name) for name in results}, results)


def question(name: str) -> Question:
    """The question of a module."""
    found: Question = importlib.import_module(name).QUESTION
    return found


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


# ── one question ──


def answered(name: str, size: float) -> dict[str, Any]:
    """`measured`; where a process fails, that is the result, and the other questions go on."""
    try:
        return measured(name, size)
    except process.Failed as problem:
        return failed(name, str(problem))


def measured(name: str, size: float) -> dict[str, Any]:
    """A question's result, which is kept in a file: the figures, and what became of its targets."""
    say(f"{name}: data")
    asked, here, data = question(name), machine.line(), process.child({"do": "make", "question": name, "size": size})
    present = [one for one in asked.contestants if one.needs is None or there(one.needs)]
    missing = {one.name: f"{one.needs} is not installed" for one in asked.contestants if one not in present}
    for peer, reason in missing.items():
        say(f"{name}: {peer} is left out: {reason}")
    result = {"machine": here, "size": size, "facts": data["facts"], "missing": missing}
    different = compared(name, present, data["data"])
    if different:
        return failed(name, different)
    warm = process.child({"do": "make", "question": name, "size": asked.warm})["data"] if asked.warm else ""
    runs = timed(name, asked, present, data["data"], warm)
    medians = {one: _medians(figures, data["facts"]) for one, figures in runs.items()}
    result |= {"medians": medians, "targets": [judged(target, medians) for target in asked.targets], "runs": runs}
    directory = RESULTS if size == 1 else BUILD / f"results-{size:g}"
    directory.mkdir(exist_ok=True)
    (directory / f"{name}.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return result


def there(name: str) -> bool:
    """Whether there is a module or a program of this name."""
    return importlib.util.find_spec(name) is not None or shutil.which(name) is not None


def failed(name: str, problem: str) -> dict[str, Any]:
    """The result of a question that has no figures."""
    say(f"{name}: FAILED: {problem}")
    return {"failed": problem, "targets": []}


def compared(name: str, contestants: Sequence[Contestant], data: str) -> str:
    """What is different in what the contestants come to, in words; empty where nothing is."""
    concerned = [one for one in contestants if one.outcome]
    if not concerned:
        return ""
    with tempfile.TemporaryDirectory(dir=BUILD, prefix="outcomes-") as directory:
        outcomes = {one.name: f"{directory}/{number}.parquet" for number, one in enumerate(concerned)}
        for one in concerned:
            say(f"{name}: what {one.name} comes to")
            with scene(data) as here:
                if one.command:
                    process.command(one.command(here))
                process.child(_order("outcome", name, one, here, outcome=outcomes[one.name]), one.cores)
        return str(process.child({"do": "compare", "question": name, "outcomes": outcomes})["different"])


def timed(name: str, asked: Question, contestants: Sequence[Contestant], data: str, warm: str) -> dict[str, list[dict[str, float]]]:
    """The figures of all runs, which the contestants have by turns: a slow minute of the machine is everybody's."""
    runs: dict[str, list[dict[str, float]]] = {one.name: [] for one in contestants}
    for turn in range(asked.repetitions):
        first = turn % len(contestants)
        for one in [*contestants[first:], *contestants[:first]]:
            with scene(data) as here:
                if one.command:
                    took = process.command(one.command(here))
                else:
                    took = process.child(_order("work", name, one, here, warm=warm), one.cores)
            runs[one.name].append(took)
            say(f"{name}: {one.name}: {took['seconds']:.3f} s, {took['peak_mb']:.0f} MB")
    return runs


@contextmanager
def scene(data: str) -> Iterator[Scene]:
    """An empty directory for one run."""
    with tempfile.TemporaryDirectory(dir=BUILD, prefix="run-") as scratch:
        yield Scene(Path(data), Path(scratch))


def _order(do: str, name: str, one: Contestant, here: Scene, **more: str) -> dict[str, Any]:
    return {"do": do, "question": name, "contestant": one.name, "data": str(here.data), "scratch": str(here.scratch), **more}


def _medians(runs: Sequence[dict[str, float]], facts: dict[str, float]) -> dict[str, float]:
    figures = {figure: statistics.median(run[figure] for run in runs) for figure in runs[0]}
    return figures | ({"rate": facts["events"] / figures["seconds"]} if "events" in facts else {})


def judged(target: Target, medians: Figures) -> dict[str, Any]:
    """What became of a target: its value, and whether that is enough; null where a contestant is missing."""
    try:
        value = target.value(medians)
    except KeyError:
        return {"text": target.text, "asked": target.asked, "value": None, "unit": target.unit, "met": None}
    return {"text": target.text, "asked": target.asked, "value": value, "unit": target.unit, "met": target.met(value)}


if __name__ == "__main__":
    sys.exit(main())
