"""Forgetting an agent."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from shiftlog.cli import render
from shiftlog.cli.place import Data, deployed, opened
from shiftlog.cli.render import Format


def register(app: typer.Typer) -> None:
    """Add the commands of this subject."""
    app.command()(deployed(forget))


def forget(
    data: Data,
    agent: Annotated[int, typer.Option("--agent", help="The agent's number.", show_default=False)],
    account: Annotated[str | None, typer.Option("--account", help="The account.", show_default="the only one there is")] = None,
    remove: Annotated[
        bool,
        typer.Option("--remove/--pseudonym", help="Remove all sessions of the agent, or put a pseudonym in the place of names and login."),
    ] = False,
    format_: Annotated[Format, typer.Option("--format", help="What to print.")] = Format.TABLE,
) -> None:
    """Forget an agent (GDPR, Art. 17): in all that lies here, in what others pull, and in what arrives from now on.

    Published files that name the agent are deleted, and what they hold of others is published again as the next revision; lakes follow with
    their next pull. Stopped anywhere, run it again. What was copied elsewhere, back-ups among it, is for you to delete.

    Example: `shiftlog forget --agent 4711 --account 75555851 --data /srv/shiftlog`
    """
    from shiftlog import erasure
    from shiftlog.lease import Worker

    with opened(data) as house, Worker(house) as worker, render.progress("parts") as bar:
        task = bar.add_task("parts looked at", total=None)
        name = erasure.only_account(house, account)
        done = erasure.forget(worker, name, agent, remove=remove, on_part=lambda: bar.advance(task))
    render.one({"account": name, **asdict(done)}, format_)
    if not done.clean:
        render.note("others read in the catalog all the time: what was deleted may still be in its files; run this again in a quiet moment")
        raise typer.Exit(1)
