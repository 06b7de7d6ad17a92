"""How fast is a contact centre simulated? What every other question waits for first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import data
from measure import Contestant, Question, Scene, Target, Work, of

_AGENTS, _DAYS = 1_000, 14
_OURS = "shiftlog"


def _data(size: float) -> Path:
    """No data, but how much is to be made."""
    return data.made("centre", size, lambda _: {"agents": max(1, round(_AGENTS * size)), "days": _DAYS})


def _ours(scene: Scene) -> Work:
    from shiftlog.simulate import Centre

    facts = json.loads((scene.data / "facts.json").read_text())
    centre = Centre(data.ACCOUNT, int(facts["agents"]), int(facts["days"]), data.YEAR_BEGINS, seed=1, late=0.01, repeat=0.01)

    def work() -> int:
        return sum(arrived.height for arrived in centre.arrivals())

    return work


def _rate(count: Any, _: Scene) -> Mapping[str, float]:
    return {"events": count}


QUESTION = Question(
    title="Simulating",
    text="All events of a centre in the order of their arrival, some late and some repeated, as frames, block by block.",
    data=_data,
    contestants=[Contestant(_OURS, _ours, figures=_rate)],
    targets=[
        Target(
            "events a second",
            lambda figures: of(_OURS, "events")(figures) / of(_OURS, "seconds")(figures) / 1e6,
            least=1,
            unit="M",
        )
    ],
)
