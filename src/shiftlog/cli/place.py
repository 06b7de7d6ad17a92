"""Where a deployment is: the options that all commands on one share, and its opening."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from shiftlog.house import House

_PANEL = "Where the deployment is"

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", help="The data directory.", show_default="needed, unless all is elsewhere", envvar="SHIFTLOG_DATA", rich_help_panel=_PANEL
    ),
]
_ELSEWHERE = {
    "catalog": Annotated[
        str | None,
        typer.Option(
            help="Another catalog than the directory's: postgresql+psycopg://USER@HOST/NAME (or SHIFTLOG_CATALOG).",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ],
    "store": Annotated[
        str | None,
        typer.Option(
            help="Another store than the directory's: s3://BUCKET/PREFIX, gs://…, az://… (or SHIFTLOG_STORE).",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ],
}


def deployed(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options --catalog and --store, which do what the environment's variables do."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> None:
        for name in _ELSEWHERE:
            if (given := options.pop(name)) is not None:
                os.environ[f"SHIFTLOG_{name.upper()}"] = given
        command(*args, **options)

    named = inspect.Parameter.KEYWORD_ONLY
    own = [parameter.replace(kind=named) for parameter in inspect.signature(command, eval_str=True).parameters.values()]
    data = [parameter.replace(default=None) if parameter.name == "data" else parameter for parameter in own]
    more = [inspect.Parameter(name, named, default=None, annotation=type_) for name, type_ in _ELSEWHERE.items()]
    run.__signature__ = inspect.Signature([*data, *more])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*data, *more)}
    return run


@contextmanager
def opened(data: Path | None, *, create: bool = False) -> Iterator[House]:
    """The deployment of a data directory, or of the URLs in the environment; open until the block ends."""
    from shiftlog.house import House

    house = House.open(data, create=create)
    try:
        yield house
    finally:
        house.close()
