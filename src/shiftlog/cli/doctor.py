"""Looking after a deployment: is all that it needs there, and does it work."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from shiftlog.cli import render
from shiftlog.cli.place import Data, deployed, opened
from shiftlog.cli.render import Format


def register(app: typer.Typer) -> None:
    """Add the commands of this subject."""
    app.command()(deployed(doctor))


def doctor(
    data: Data,
    format_: Annotated[Format, typer.Option("--format", help="What to print.")] = Format.TABLE,
) -> None:
    """Check a deployment (versions, permissions, catalog, clocks, store, disk, lag), and say what to do.

    It may be run beside a running server, and changes nothing. Exits with 1 where something failed.

    Example: `shiftlog doctor --data /srv/shiftlog`
    """
    from shiftlog import doctor

    with opened(data) as house:
        findings = list(doctor.examine(house))
    render.rows([asdict(finding) for finding in findings], format_)
    if not doctor.healthy(findings):
        raise typer.Exit(1)
