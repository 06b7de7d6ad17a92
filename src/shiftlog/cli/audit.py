"""The audit log: who did what, from where, and with what result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shiftlog import hours
from shiftlog.cli import render
from shiftlog.cli.place import Data, deployed, opened
from shiftlog.cli.render import Format

if TYPE_CHECKING:
    from shiftlog.catalog.trail import Asked
    from shiftlog.house import House

_PAGE = 10_000  # lines that are read at a time


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(deployed(audit))


def audit(
    data: Data,
    account: Annotated[str | None, typer.Option(help="Of this account only.", show_default="all, and nobody's")] = None,
    since: Annotated[str | None, typer.Option(help="From this instant on (ISO).", show_default="all there are")] = None,
    until: Annotated[str | None, typer.Option(help="Up to this instant (ISO).", show_default="now")] = None,
    action: Annotated[list[str] | None, typer.Option(help="These actions only, such as download or denied; several times.")] = None,
    format_: Annotated[Format, typer.Option("--format", help="What to print.")] = Format.TABLE,
) -> None:
    """Print the audit log: who listed, downloaded, sent, signed in, was denied; and what was done at this machine.

    Example: `shiftlog audit --data /srv/shiftlog --account 75555851 --since 2026-03-01 --action denied`
    """
    from shiftlog.catalog.trail import Asked

    asked = Asked(
        account, None if since is None else hours.parse(since), None if until is None else hours.parse(until), tuple(action or ())
    )
    with opened(data) as house:
        render.rows([_row(line) for line in _lines(house, asked)], format_, empty="nothing was recorded")


def _lines(house: House, asked: Asked) -> Iterator[dict[str, Any]]:
    from shiftlog.catalog import accounts, trail

    with house.catalog.read() as conn:
        if asked.account is not None:
            accounts.get(conn, asked.account)
        after = 0
        while page := trail.entries(conn, asked, after=after, limit=_PAGE):
            yield from page
            after = page[-1]["id"]


def _row(line: dict[str, Any]) -> dict[str, Any]:
    return {
        "at": hours.iso(line["at"]),
        "account": line["account"],
        "who": line["actor"] or line["consumer_key"],
        "action": line["action"],
        "target": line["target"],
        "status": line["status"],
        "address": line["address"],
        "times": line["times"],
    }
