"""The `shiftlog` command: its parts, and how its errors end. Exit 2: the caller's mistake; 1: a failure."""

from __future__ import annotations

import logging
import os
import sys

import typer

from shiftlog.errors import Damaged, Denied, Invalid, Missing, ShiftlogError


def command() -> typer.Typer:
    """The command with all its parts."""
    from shiftlog.cli import analyse, convert, operate, pull, schedule

    app = typer.Typer(
        name="shiftlog",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        help="Agent activity of contact centres: events in, immutable hourly files out, and numbers that anyone can reproduce.",
        epilog="A first look: `shiftlog keys create --data DIR --account A`, then `shiftlog serve --data DIR`.",
    )
    for subject in (operate, pull, analyse, schedule, convert):
        subject.register(app)
    return app


def main() -> None:
    """Run the command line, and end with its exit code."""
    _log_to_stderr()
    try:
        command()()
    except ShiftlogError as error:
        sys.stderr.write(f"shiftlog: {error}\n")
        sys.exit(2 if isinstance(error, Invalid | Missing | Denied) and not isinstance(error, Damaged) else 1)
    except BrokenPipeError:
        # The reader of our output has gone, which is its right; the interpreter must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        # A fault of ours: one line for the user, all of it for whoever looks for the cause.
        if os.environ.get("SHIFTLOG_DEBUG"):
            raise
        kind = type(error).__name__
        sys.stderr.write(f"shiftlog: an unexpected fault ({kind}: {error}); SHIFTLOG_DEBUG=1 shows where\n")
        sys.exit(1)


def _log_to_stderr() -> None:
    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            structlog.dev.ConsoleRenderer(colors=False) if sys.stderr.isatty() else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
