"""Backing up a deployment in a directory, and restoring it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shiftlog.cli import render
from shiftlog.cli.place import Data, opened
from shiftlog.cli.render import Format
from shiftlog.errors import Invalid

if TYPE_CHECKING:
    from shiftlog import backup as backups

FormatOption = Annotated[Format, typer.Option("--format", help="What to print.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this subject."""
    app.command()(backup)
    app.command()(restore)


def backup(
    to: Annotated[Path, typer.Argument(help="The back-up's directory, which is made; better on another disk.", show_default=False)],
    data: Data = None,
    keep: Annotated[int, typer.Option(help="How many snapshots stay.", min=1)] = 7,
    verify: Annotated[bool, typer.Option("--verify", help="Only check every byte of the back-up that is there.")] = False,
    format_: FormatOption = Format.TABLE,
) -> None:
    """Back up a data directory while it is at work: a snapshot of one moment. Only what is new is copied; stopped anywhere, run it again.

    The secret key is in it, so that it is as secret as the deployment.

    Example: `shiftlog backup /mnt/backup/shiftlog --data /srv/shiftlog`
    Example: `shiftlog backup /mnt/backup/shiftlog --verify`
    """
    from shiftlog import backup as backups

    with render.progress("bytes") as bar:
        task = bar.add_task("bytes checked" if verify else "bytes copied, or there already", total=None)
        if verify:
            found = backups.verify(to, on_bytes=lambda n: bar.advance(task, n))
        else:
            with opened(data) as house:
                done = backups.backup(house, to, keep=keep, on_bytes=lambda n: bar.advance(task, n))
    if not verify:
        return _show(done, format_)
    render.one({**asdict(found), "wrong": len(found.wrong)}, format_)
    for problem in found.wrong:
        render.note(f"wrong: {problem}")
    if found.wrong:
        raise typer.Exit(1)


def restore(
    source: Annotated[Path, typer.Argument(metavar="FROM", help="The back-up's directory.", show_default=False)],
    data: Data = None,
    snapshot: Annotated[str | None, typer.Option(help="The name of a snapshot.", show_default="the newest")] = None,
    format_: FormatOption = Format.TABLE,
) -> None:
    """Make a data directory from a back-up; nothing may be in it. Every byte is checked; stopped anywhere, run it again.

    Example: `shiftlog restore /mnt/backup/shiftlog --data /srv/shiftlog`
    """
    from shiftlog import backup as backups

    if data is None:
        raise Invalid("--data DIR (or SHIFTLOG_DATA) is expected: the data directory to make")
    with render.progress("bytes") as bar:
        task = bar.add_task("bytes restored", total=None)
        done = backups.restore(source, data, snapshot=snapshot, on_bytes=lambda n: bar.advance(task, n))
    _show(done, format_)


def _show(done: backups.Done, format_: Format) -> None:
    render.one(asdict(done), format_)
    if not done.secret_key:
        render.note("the secret key is not in the data directory, and not in the back-up: keep it where it is kept")
