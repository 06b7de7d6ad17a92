"""The page on running shiftlog names only what there is: settings, metrics, commands and their options."""

from __future__ import annotations

import json
import re
from pathlib import Path

import typer

from shiftlog.catalog.vault import VARIABLE
from shiftlog.cli.app import command
from shiftlog.house import House
from shiftlog.pgp import PASSPHRASE
from shiftlog.server.monitor import Monitor
from shiftlog.settings import table

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "deploy.md").read_text()


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


def measured(name: str, contestant: str, figure: str) -> float:
    """A figure that `make bench` has kept."""
    found = json.loads((ROOT / "bench" / "results" / f"{name}.json").read_text())
    return float(found["medians"][contestant][figure])


def facts(name: str, fact: str) -> float:
    return float(json.loads((ROOT / "bench" / "results" / f"{name}.json").read_text())["facts"][fact])


def test_its_figures_are_those_that_were_measured():
    """Whoever plans with them plans with what the benchmarks came to last."""
    one, many = (round(measured("ingest", who, "rate") / 1000) for who in ("1 sender", "64 senders"))
    assert f"{one} 000 events a second of one sender, {many} 000 of 64" in PAGE
    assert f"| {round(measured('publish', 'shiftlog', 'rate') / 1000)} 000 events a second, both cores at work |" in PAGE
    assert f"in {round(measured('list', 'shiftlog', 'list_ms'))} ms, {measured('list', 'shiftlog', 'mb'):.1f} MB" in PAGE
    bytes_an_event = measured("publish", "shiftlog", "gz_mb") * 1e6 / facts("publish", "events")
    assert f", {round(bytes_an_event)} in a file" in PAGE


def test_servers_for_a_load_follow_from_the_figures():
    """Half of what one takes in over a bucket, and one to spare from two machines on."""
    [rate] = [int(found.replace(" ", "")) for found in re.findall(r"\| ([\d ]+) of 16 senders", PAGE)]
    rows = re.findall(r"^\| [\d ]+ \| \d+ M \| ([\d ]+) a second \| (\d+) \+ 1 to spare", PAGE, re.MULTILINE)
    assert len(rows) == 2
    for peak, servers in rows:
        assert int(servers) == -(-int(peak.replace(" ", "")) // (rate // 2))
