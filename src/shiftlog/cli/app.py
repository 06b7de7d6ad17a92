"""The `shiftlog` command: its parts, and how its errors end. Exit 2: the caller's mistake; 1: a failure."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import typer
import typer.main
from typer.core import TyperGroup

from shiftlog.cli import logs
from shiftlog.errors import Damaged, Denied, Invalid, Missing, ShiftlogError

_COMPLETES = "_SHIFTLOG_COMPLETE"  # the variable by which shells ask for completions


class _Everything(TyperGroup):
    """All commands, which are listed plainly: Rich takes as long to import as all that the list needs."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "rich_markup_mode": None})

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """A row for each, with its whole first sentence."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.get_short_help_str(limit=1_000)) for name, one in self.commands.items()])


def command() -> typer.Typer:
    """The command with all its parts."""
    from shiftlog.cli import analyse, audit, backup, convert, doctor, forget, operate, pull, schedule, secrets

    app = typer.Typer(
        name="shiftlog",
        cls=_Everything,
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        help="Agent activity of contact centres: events in, immutable hourly files out, and numbers that anyone can reproduce.",
        epilog="A first look: `shiftlog keys create --data DIR --account A`, then `shiftlog serve --data DIR`.",
    )
    app.callback()(_before)
    for subject in (operate, secrets, audit, backup, forget, doctor, pull, analyse, schedule, convert):
        subject.register(app)
    return app


def _before() -> None:
    # Not before a command is to run: the logging library takes as long to import as all that help needs.
    logs.to_stderr(logging.WARNING)


def _without_options(app: typer.Typer, asked: str) -> typer.Typer:
    """The command in which all but one of its commands can only be listed; reading what options they have takes longest."""
    for one in app.registered_commands:
        if one.callback and asked != (one.name or typer.main.get_command_name(one.callback.__name__)):
            one.callback = _listed(one.callback)
    for group in app.registered_groups:
        if group.typer_instance and group.name != asked:
            _without_options(group.typer_instance, asked="")
    return app


def _listed(callback: Callable[..., Any]) -> Callable[[], None]:
    def nothing() -> None: ...

    nothing.__name__, nothing.__doc__ = callback.__name__, callback.__doc__
    return nothing


def main() -> None:
    """Run the command line, and end with its exit code."""
    app = command()
    try:
        # Whoever completes words may ask for the options of any command.
        app() if _COMPLETES in os.environ else _without_options(app, asked="".join(sys.argv[1:2]))()
    except ShiftlogError as error:
        sys.stderr.write(f"shiftlog: {error}\n")
        sys.exit(2 if isinstance(error, Invalid | Missing | Denied) and not isinstance(error, Damaged) else 1)
    except BrokenPipeError:
        _leave_quietly()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if "Broken pipe" in str(error):  # as Polars tells it
            _leave_quietly()
        # A fault of ours: one line for the user, all of it for whoever looks for the cause.
        if os.environ.get("SHIFTLOG_DEBUG"):
            raise
        kind = type(error).__name__
        sys.stderr.write(f"shiftlog: an unexpected fault ({kind}: {error}); SHIFTLOG_DEBUG=1 shows where\n")
        sys.exit(1)


def _leave_quietly() -> NoReturn:
    """The reader of our output has gone, which is its right; the interpreter must not complain at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(0)
