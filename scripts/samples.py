"""Draw the charts of the documentation, docs/images/*.png, of simulated centres of 5 and of 500 agents. No network is needed.

python scripts/samples.py [DIRECTORY]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import polars as pl

from shiftlog import charts
from shiftlog.drawing import THEMES
from shiftlog.events import ACCEPTED, AgentState
from shiftlog.hours import DAY, MINUTE, parse
from shiftlog.intervals import END, START
from shiftlog.metrics import SCHEDULE
from shiftlog.sessions import fold, foldable
from shiftlog.simulate import Simulation, simulate

ZONE = "Europe/Berlin"
MONDAY = parse("2026-03-02", ZONE)
IMAGES = Path(__file__).parents[1] / "docs" / "images"
SEEDS = {5: 3, 500: 1}  # with this seed all five work on the Monday, one of them in two parts


def main() -> None:
    """Draw all of them, in both themes."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    directory.mkdir(parents=True, exist_ok=True)
    for agents, seed in SEEDS.items():
        # From the day before, so that those who work at night are there from the beginning.
        simulation = simulate("demo", agents=agents, days=8, start=MONDAY - DAY, seed=seed)
        sessions, plan = _sessions(simulation), _plan(simulation)
        for name, options in _samples(plan).items():
            for theme in THEMES:
                kind = name.partition("-")[0]
                drawn = charts.chart(
                    kind, sessions, account="demo", start=MONDAY, tz=ZONE, source=f"simulated, seed {seed}", theme=theme, **options
                )
                # Half the usual scale: the pictures are kept with the code.
                charts.save(drawn, directory / f"{name}-{agents}-{theme}.png", scale=1)


def _samples(plan: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """The options of each sample; the part of its name up to a hyphen is the chart's."""
    day, week = {"end": MONDAY + DAY}, {"end": MONDAY + 7 * DAY}
    return {
        "timeline": day,
        "timeline-planned": {**day, "schedule": plan},
        "states": week,
        "occupancy-agent": week,
        "occupancy-weekday": {**week, "by": "weekday"},
        "concurrency": week,
        "staffing": week,
    }


def _sessions(simulation: Simulation) -> pl.DataFrame:
    landed = {"receivedAt": pl.col("timestamp"), "position": pl.int_range(pl.len(), dtype=pl.Int64)}
    accepted = simulation.events.with_columns(**landed).select(ACCEPTED.keys())
    return fold(foldable(accepted), account="demo", timeout=DAY)


def _plan(simulation: Simulation) -> pl.DataFrame:
    """A schedule such as somebody may have had in mind: what came to pass, on the quarter hours."""
    quarter = 15 * MINUTE
    times = [((time + quarter // 2) // quarter * quarter).alias(name) for name, time in (("start", START), ("end", END))]
    states = simulation.known.states.filter(pl.col("state") != AgentState.IRRELEVANT).rename({"agentID": "agent_id"})
    return states.with_columns(times).filter(END.gt(START)).select(SCHEDULE.keys())


if __name__ == "__main__":
    main()
