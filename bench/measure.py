"""What a question is: contestants that do the same work on the same data, and what is asked of their figures.

The modules of questions are imported by the runner, which has to stay small (a child's peak memory begins with what its
parent had), so they import what they measure inside their functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import polars as pl

#: What is timed; what it gives is looked at afterwards.
Work: TypeAlias = Callable[[], Any]
#: The medians of every contestant, by name: `seconds`, `peak_mb`, and what else the contestant or the data tell.
Figures: TypeAlias = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Scene:
    """One run: `data` is generated and the same for all, `scratch` is an empty directory for this run alone."""

    data: Path
    scratch: Path


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way to do the work, in a process of its own: a function, or a command that is timed from its start to its end.

    `prepare` does what is not timed (imports, opening, copying) and gives the work. `outcome` is what the work came to as a
    frame that has to be equal for all contestants that have one; `figures` are more numbers of a run. `needs` is the
    module or the program of a peer that may not be installed. With `cores` = 1 the process is bound to one.
    """

    name: str
    prepare: Callable[[Scene], Work] | None = None
    command: Callable[[Scene], Sequence[str]] | None = None
    outcome: Callable[[Any, Scene], pl.DataFrame] | None = None
    figures: Callable[[Any, Scene], Mapping[str, float]] | None = None
    needs: str | None = None
    cores: int = 2


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked of the figures: at least or at most so much. `missed` says what holds it back, and what was tried."""

    text: str
    value: Callable[[Figures], float]
    least: float | None = None
    most: float | None = None
    unit: str = "×"
    missed: str = ""

    @property
    def asked(self) -> str:
        return f"≥ {self.least:g} {self.unit}" if self.least is not None else f"≤ {self.most:g} {self.unit}"

    def met(self, value: float) -> bool:
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


@dataclass(frozen=True, slots=True)
class Question:
    """`data` makes or finds the generated data of a size; of the facts beside it, `events` gives every contestant a rate.

    Functions do their work on `warm` times the data first, in the same process; 0 is not at all.
    """

    title: str
    text: str
    data: Callable[[float], Path]
    contestants: Sequence[Contestant]
    targets: Sequence[Target]
    repetitions: int = 5
    warm: float = 0.01
    left_out: Sequence[str] = field(default=())


def times(figure: str, one: str, other: str) -> Callable[[Figures], float]:
    """A figure of one contestant, divided by the same of another."""
    return lambda figures: figures[one][figure] / figures[other][figure]


def of(contestant: str, figure: str) -> Callable[[Figures], float]:
    """A figure of a contestant as it is."""
    return lambda figures: figures[contestant][figure]
