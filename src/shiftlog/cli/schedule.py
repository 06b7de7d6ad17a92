"""Schedules: what is planned for agents, from CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shiftlog import hours
from shiftlog.cli import render
from shiftlog.cli.place import Data, deployed, opened
from shiftlog.errors import Invalid, Missing


def register(app: typer.Typer) -> None:
    """Add the commands of this subject."""
    schedule_app = typer.Typer(no_args_is_help=True, help="What is planned for agents.")
    schedule_app.command("import")(deployed(import_schedule))
    app.add_typer(schedule_app, name="schedule")


def import_schedule(
    account: Annotated[str, typer.Argument(help="The account.")],
    file: Annotated[Path, typer.Argument(help="CSV with the columns agent, start, end (ISO) and state (its name or code).")],
    data: Data,
    from_: Annotated[
        str | None, typer.Option("--from", help="Where the file begins to say everything (ISO).", show_default="its first start")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", help="Where it ends to do so.", show_default="its last end")] = None,
) -> None:
    """Import what is planned for agents, for adherence and conformance, and for the timeline.

    From the file's first start to its last end (or from --from to --to) the file is all that is planned for the agents in it:
    what was imported for them before is replaced there, and stays before and after. Other agents are left as they are.
    Times without an offset are in the account's time zone. Rows of one agent must not overlap.

    Example: `shiftlog schedule import 75555851 week.csv --data DIR --from 2026-03-02 --to 2026-03-09`
    """
    from shiftlog import schedules
    from shiftlog.catalog import accounts, forgetting, trail
    from shiftlog.catalog.schedules import replace

    with opened(data) as house, house.catalog.write() as conn:
        zone = accounts.get(conn, account).time_zone
        plan = schedules.read(_text(file), name=str(file), tz=zone)
        start = min(row.start for row in plan) if from_ is None else hours.parse(from_, zone)
        end = max(row.end for row in plan) if to is None else hours.parse(to, zone)
        schedules.check_within(plan, start, end, tz=zone)
        rules = forgetting.rules(conn, house.vault, account)
        plan = [row for row in plan if (agent := rules.agent(row.agent_id)) is None or not agent.removed]
        replace(conn, account, plan, start, end)
        trail.by_hand(conn, house.catalog.now(conn), account, "schedule-import", f"{len(plan)} rows")
    agents = len({row.agent_id for row in plan})
    render.note(f"{len(plan)} rows of {agents} agents imported, {hours.iso(start, zone)} to {hours.iso(end, zone)}")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Missing(f"there is no file {file}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{file} cannot be read: {error}") from None
