"""The page on running shiftlog names only what there is: settings, metrics, commands and their options."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from shiftlog.catalog.vault import VARIABLE
from shiftlog.cli.app import command
from shiftlog.house import House
from shiftlog.pgp import PASSPHRASE
from shiftlog.server.monitor import Monitor
from shiftlog.settings import table

PAGE = (Path(__file__).parents[1] / "docs" / "deploy.md").read_text()


def test_its_variables_are_settings():
    """Or one of the three that are none: where the data is, the secret key, and a client's passphrase."""
    known = {row["environment"] for row in table()} | {"SHIFTLOG_DATA", VARIABLE, PASSPHRASE}
    assert set(re.findall(r"SHIFTLOG_[A-Z_]+", PAGE)) <= known


def test_its_metrics_are_exported(house: House):
    """By the names under which Prometheus has them."""
    exported = {
        name
        for metric in Monitor(house).registry.collect()
        for name in (metric.name, f"{metric.name}_total" if metric.type == "counter" else metric.name)
    }
    found = set(re.findall(r"`(shiftlog_[a-z_]+)`", PAGE))
    assert len(found) > 5
    assert found <= exported


def test_its_commands_are_there():
    """With the options that they are given."""
    group = typer.main.get_command(command())
    asked = [line.split() for line in re.findall(r"\bshiftlog ([a-z][\w ./=-]+)", PAGE)]
    commands = [words for words in asked if words[0] in group.commands]
    assert len(commands) > 8
    for name, *words in commands:
        found = group.commands[name]
        found = found.commands[words[0]] if hasattr(found, "commands") else found
        options = {option for parameter in found.params for option in parameter.opts + parameter.secondary_opts}
        assert {word for word in words if word.startswith("--")} <= options | {"--help"}, (name, words)
