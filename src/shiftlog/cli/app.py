"""The `shiftlog` command: its parts, and how its errors end. Exit 2: the caller's mistake; 1: a failure."""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn

import typer

from shiftlog.cli import logs
from shiftlog.errors import Damaged, Denied, Invalid, Missing, ShiftlogError


def command() -> typer.Typer:
    """The command with all its parts."""
    from shiftlog.cli import analyse, convert, doctor, operate, pull, schedule

    app = typer.Typer(
        name="shiftlog",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        help="Agent activity of contact centres: events in, immutable hourly files out, and numbers that anyone can reproduce.",
        epilog="A first look: `shiftlog keys create --data DIR --account A`, then `shiftlog serve --data DIR`.",
    )
    for subject in (operate, doctor, pull, analyse, schedule, convert):
        subject.register(app)
    return app


def main() -> None:
    """Run the command line, and end with its exit code."""
    logs.to_stderr(logging.WARNING)
    try:
        command()()
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
