"""What computes: the options --engine and --spark-master, and the engine that they name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from shiftlog.errors import Invalid

if TYPE_CHECKING:
    from shiftlog.engine import Engine

_PANEL = "What computes"


class EngineName(StrEnum):
    """The engines there are."""

    LOCAL = "local"
    SPARK = "spark"


EngineOption = Annotated[EngineName, typer.Option("--engine", help="This machine, or an Apache Spark cluster.", rich_help_panel=_PANEL)]
MasterOption = Annotated[
    str | None,
    typer.Option(
        "--spark-master",
        help="The cluster: spark://HOST:PORT, yarn, k8s://… or local[N].",
        show_default="SHIFTLOG_SPARK_MASTER",
        rich_help_panel=_PANEL,
    ),
]


@contextmanager
def engine(name: EngineName, master: str | None) -> Iterator[Engine]:
    """The engine of these options, until the block ends.

    Raises:
        Invalid: a master is given and no use for it, or the other way round.
    """
    from shiftlog import settings
    from shiftlog.engine.local import LOCAL

    if name is EngineName.LOCAL:
        if master is not None:
            raise Invalid("--spark-master is for --engine spark")
        yield LOCAL
        return
    where = master or settings.load().spark_master
    if not where:
        raise Invalid("--engine spark needs --spark-master spark://HOST:PORT (or SHIFTLOG_SPARK_MASTER)")
    from shiftlog.engine.spark import connected

    with connected(where) as found:
        yield found
