"""The command line: parse, call, render. `main` is the entry; each other module holds the commands of one subject."""

from shiftlog.cli.app import main

__all__ = ["main"]
