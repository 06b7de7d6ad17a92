"""Results as text: the summary that a run prints, and docs/performance.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from measure import Question, Target

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
Result = Mapping[str, Any]

_HEAD = """# How fast it is, and against what

This page is made by `make bench` of what it measured (`bench/results`); `python bench/run.py --docs` makes it again.
`make bench ONLY=publish` measures one question, and `make bench SIZE=0.1` all of them on a tenth of the data, whose results are not
kept here.

Every run is a process of its own, by turns with those of its peers; figures are medians. All contestants work on the same simulated
data, and what they come to is compared before anything is timed. Memory is the most that was resident, the interpreter and
libraries included. Ratios hold from machine to machine; seconds do not.
"""


def passed(result: Result) -> bool:
    """Whether the contestants came to the same, and no target was missed."""
    return "failed" not in result and all(target["met"] is not False for target in result["targets"])


def summary(results: Mapping[str, Result]) -> str:
    """A line a target, for a terminal."""
    rows = [("question", "target", "asked", "measured", "")]
    for name, result in results.items():
        if "failed" in result:
            rows.append((name, "equal outcomes, and figures", "", "", "FAILED"))
        rows += [(name, target["text"].replace("`", ""), target["asked"], _value(target), _verdict(target)) for target in result["targets"]]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def write(questions: Mapping[str, Question], results: Mapping[str, Result]) -> None:
    """docs/performance.md."""
    overview = ["| question | target | asked | measured | |", "|---|---|---|---|---|"]
    for name, result in results.items():
        overview += [
            f"| [{name}](#{name}) | {target['text']} | {target['asked']} | {_value(target)} | {_verdict(target)} |"
            for _, target in _judged(questions[name], result)
        ]
    sections = [_section(name, questions[name], result) for name, result in results.items()]
    PAGE.write_text("\n".join([_HEAD, *overview, "", *sections]))


def _section(name: str, question: Question, result: Result) -> str:
    facts = ", ".join(f"{value:,.0f} {fact}" for fact, value in result["facts"].items()).replace(",", " ").replace("  ", ", ")
    rows = ["| | seconds | k events/s | peak MB | more |", "|---|---|---|---|---|"]
    rows += [_row(contestant, dict(figures)) for contestant, figures in result["medians"].items()]
    rows += [f"| {contestant} | not measured: {reason} | | | |" for contestant, reason in result["missing"].items()]
    missed = [
        f"**{target.text}** ({target.asked}; measured {_value(found)}): {target.missed}"
        for target, found in _judged(question, result)
        if found["met"] is False and target.missed
    ]
    paragraphs = [f"## {name}", f"{question.title}. {question.text}", f"Data: {facts}.", "\n".join(rows), *missed, *question.left_out]
    return "\n\n".join([*paragraphs, f"<sub>{result['machine']}</sub>"]) + "\n"


def _judged(question: Question, result: Result) -> list[tuple[Target, Mapping[str, Any]]]:
    """The question's targets, and what became of each: a result may be from before a target was set."""
    known = {found["text"]: found for found in result["targets"]}
    unknown = {"value": None, "met": None}
    return [(target, known.get(target.text, {"text": target.text, "asked": target.asked, **unknown})) for target in question.targets]


def _row(contestant: str, figures: dict[str, float]) -> str:
    seconds, peak, rate = figures.pop("seconds"), figures.pop("peak_mb"), figures.pop("rate", None)
    more = ", ".join(f"{name} {value:,.4g}" for name, value in figures.items())
    return f"| {contestant} | {seconds:.3g} | {'' if rate is None else f'{rate / 1000:,.0f}'} | {peak:,.0f} | {more} |"


def _value(target: Mapping[str, Any]) -> str:
    return "–" if target["value"] is None else f"{target['value']:.3g} {target['unit']}"


def _verdict(target: Mapping[str, Any]) -> str:
    return {True: "met", False: "MISSED", None: "not measured"}[target["met"]]
