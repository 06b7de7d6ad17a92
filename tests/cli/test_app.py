"""The command as a whole: what it lists, and how quickly it gets to work."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer.main
from shell import Shell

from shiftlog.cli.app import command

_SLOW = ("rich", "structlog", "polars", "sqlalchemy", "fastapi")


def test_help_lists_every_command(shiftlog: Shell):
    """With its first sentence, whole."""
    listed = " ".join(shiftlog("--help").text.split())
    everything = typer.main.get_command(command())
    for name, one in everything.commands.items():  # type: ignore[attr-defined]
        assert f" {name} {' '.join(one.get_short_help_str(limit=1_000).split())}" in listed


def test_help_imports_nothing_slow():
    """Nothing that takes longer to import than all of the help to make."""
    seen = f"atexit.register(lambda: print('SLOW', *(set({_SLOW}) & set(sys.modules))))"
    code = f"import sys, atexit; {seen}; import shiftlog.cli as c; c.main()"
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["SLOW"]


@pytest.mark.parametrize("words", ["report --eve", "keys create --perm", "schedule import --fro"])
def test_options_of_any_command_are_completed(shiftlog: Shell, monkeypatch: pytest.MonkeyPatch, words: str):
    """Although the shell's words are not the command's arguments."""
    monkeypatch.setenv("_SHIFTLOG_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"shiftlog {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split())))
    assert words.split()[-1] in shiftlog().text


def test_a_mistyped_command_is_named(shiftlog: Shell):
    """With the one that was meant."""
    done = shiftlog("repotr", "--by", "agent")
    assert done.code == 2
    assert "Did you mean 'report'" in done.err
