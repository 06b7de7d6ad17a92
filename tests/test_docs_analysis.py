"""What docs/analysis.md and the example say works, as it stands there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from readers import all_parts, lake_of, land, publish_at
from scenes import DAY, HOUR, MINUTE, event, login, logout, sent
from shiftlog import reports
from shiftlog.catalog import accounts
from shiftlog.cli.app import command
from shiftlog.hours import parse
from shiftlog.house import House
from shiftlog.server import answers
from shiftlog.settings import Settings

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "analysis.md").read_text()
START = parse("2026-03-02T08:00:00-05:00")


@pytest.fixture
def centre(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """What the page's commands expect where they are run: DIR, lake, files, plan.csv."""
    monkeypatch.chdir(tmp_path)
    house = House.open(tmp_path / "DIR", create=True, settings=Settings(lead_milliseconds=0))
    with house.catalog.write() as conn:
        accounts.ensure(conn, "acme", house.catalog.now(), house.settings)
    day = [login(START), event(START + MINUTE, state=2), event(START + 2 * HOUR, state=4, agentNickname="Ada"), logout(START + 3 * HOUR)]
    land(house, sent(*({**fields, "agentID": 1000001} for fields in day)), "acme")
    publish_at(house, START + 5 * DAY, "acme")
    Path("files").mkdir()
    for part in all_parts(house, "acme"):
        Path("files", f"{part.name}.gz").write_bytes(house.store.get(part.gz_key))
    lake_of(house, Path("lake"), "acme")
    Path("plan.csv").write_text(blocks("csv")[0])
    return house


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def expanded(line: str) -> list[str]:
    """The words of a command line, with files for patterns."""
    words = shlex.split(line)
    return [name for word in words for name in (map(str, sorted(Path().glob(word))) if word.endswith("*.gz") else [word])]


@pytest.mark.usefixtures("centre")
def test_the_pages_commands_work(capfd: pytest.CaptureFixture[str]):
    """Every one of them ends well and prints something, or leaves a file."""
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("shiftlog ")]
    assert len(lines) >= 9
    for line in lines:
        before = set(Path().iterdir())
        command()(expanded(line)[1:], standalone_mode=False)
        assert "".join(capfd.readouterr()) or set(Path().iterdir()) > before, line


@pytest.mark.usefixtures("centre")
def test_the_pages_python_works(capfd: pytest.CaptureFixture[str]):
    """As it stands."""
    [block] = blocks("python")
    exec(compile(block, "docs/analysis.md", "exec"), {})
    assert "'observed': 1.0" in capfd.readouterr().out


def test_the_page_names_every_parameter(centre: House):
    """Those of the four questions over HTTP, the limits, the header and the forms."""
    for route in answers.router.routes:
        name = route.path.removeprefix("/api/v1/accounts/{account}")
        [row] = [line for line in PAGE.splitlines() if line.startswith("| `GET") and f"{name}?" in line]
        declared = {parameter.alias for found in (route.dependant, *route.dependant.dependencies) for parameter in found.query_params}
        assert set(re.findall(r"(\w+)=", row.split("|")[1])) == declared
    for text in (answers.WATERMARK, *answers.ROWS[1:], "SHIFTLOG_ANSWER_EVENTS", "SHIFTLOG_ANSWER_ROWS"):
        assert text in PAGE
    assert {"eventIndex", "eventId", "part", "agentSessionId"} <= set(reports.TIMELINE)


@pytest.mark.parametrize("source", ["DIR", "lake", "files/{file}"])
def test_the_example_works(centre: House, source: str):
    """It says how available the agent was, and what it did otherwise."""
    [part] = all_parts(centre, "acme")
    script = [sys.executable, ROOT / "examples" / "availability_of_a_day.py"]
    done = subprocess.run(
        [*script, source.format(file=f"{part.name}.gz"), "2026-03-02", "America/New_York"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "acme on 2026-03-02 (America/New_York)",
        "Ada: logged in 3.00 h, online 66.1%, busy 0.0% of that",
        "Ada was not online:",
        f"  before first status for 1.0 min, from epoch ms {START}",
        f"  away for 60.0 min, from epoch ms {START + 2 * HOUR}",
    ]
