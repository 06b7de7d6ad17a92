"""Does asking a year of 300 agents take more memory than asking a month? The commands, on a data directory."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data import ACCOUNT, DAY, YEAR_BEGINS, deployment, land, made, publish
from measure import Contestant, Question, Scene, Target, times

if TYPE_CHECKING:
    import polars as pl

_AGENTS, _DAYS = 300, 365
_JUNE = (YEAR_BEGINS + 152 * DAY, YEAR_BEGINS + 182 * DAY)
_YEAR = (YEAR_BEGINS, YEAR_BEGINS + _DAYS * DAY)
_ONE_DAY = (_JUNE[0] + 9 * DAY, _JUNE[0] + 10 * DAY)


def _data(size: float) -> Path:
    return made("year", size, lambda directory: _make(directory, max(1, round(_AGENTS * size))))


def _make(directory: Path, agents: int) -> dict[str, float]:
    """A data directory into which events came block by block, and that was published after each."""
    from shiftlog.simulate import Centre

    count = 0
    with deployment(directory / "data", create=True) as house:
        for arrived in Centre(ACCOUNT, agents, _DAYS, YEAR_BEGINS, seed=1).arrivals():
            land(house, arrived.drop("arrivesAt"), 100_000)
            count += arrived.height
            publish(house, arrived["arrivesAt"].max())
        publish(house, _YEAR[1] + 3 * DAY)
    return {"events": count, "agents": agents}


def _command(scene: Scene, *words: str, window: tuple[int, int], output: str) -> list[str]:
    source = ["--data", str(scene.data / "data"), "--account", ACCOUNT, "--tz", "Europe/Berlin"]
    begins, ends = (datetime.fromtimestamp(instant / 1000, UTC).isoformat() for instant in window)
    return [
        str(Path(sys.executable).with_name("shiftlog")),
        *words,
        *source,
        "--from",
        begins,
        "--to",
        ends,
        "-o",
        str(scene.scratch / output),
    ]


def _report(scene: Scene, window: tuple[int, int]) -> list[str]:
    return _command(scene, "report", "--every", "1d", "--by", "agent", "--format", "parquet", window=window, output="report.parquet")


def _june(_: Any, scene: Scene) -> pl.DataFrame:
    """The month's whole days of a report: those at its edges are cut by its window."""
    import polars as pl

    begins = pl.col("bucket_start").dt.timestamp("ms")
    rows = pl.read_parquet(scene.scratch / "report.parquet")
    return rows.filter((begins >= _JUNE[0] + DAY) & (begins < _JUNE[1] - DAY))


QUESTION = Question(
    title="A year of 300 agents",
    text="The commands as a user gives them, from start to end, on a data directory that holds 365 days of 300 agents, published "
    "week by week. What the month's report says is compared with the same days of the year's.",
    data=_data,
    contestants=[
        Contestant("report, a year", command=lambda scene: _report(scene, _YEAR), outcome=_june),
        Contestant("report, a month", command=lambda scene: _report(scene, _JUNE), outcome=_june),
        Contestant(
            "timeline, a day",
            command=lambda scene: _command(scene, "timeline", "--format", "csv", window=_ONE_DAY, output="day.csv"),
        ),
        Contestant("chart states, a year", command=lambda scene: _command(scene, "chart", "states", window=_YEAR, output="year.png")),
        Contestant("chart states, a month", command=lambda scene: _command(scene, "chart", "states", window=_JUNE, output="month.png")),
    ],
    targets=[
        Target(
            "peak memory of a year's `report --every 1d --by agent`, times a month's",
            times("peak_mb", "report, a year", "report, a month"),
            most=1.3,
        ),
        Target(
            "peak memory of a year's `chart states`, times a month's",
            times("peak_mb", "chart states, a year", "chart states, a month"),
            most=1.3,
        ),
    ],
    repetitions=3,
    warm=0,
)
