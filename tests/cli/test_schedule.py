"""Schedules from the shell: imported, corrected, and seen in the numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from shell import Done, Shell

from readers import land, publish_at
from scenes import HOUR, MINUTE, T0, sent
from shiftlog.catalog import accounts
from shiftlog.catalog.schedules import planned
from shiftlog.hours import iso
from shiftlog.house import House
from worked import worked_hour

pytestmark = pytest.mark.usefixtures("account")


@pytest.fixture
def worked(house: House) -> House:
    """The worked hour, published."""
    land(house, sent(*({"eventId": f"e{i}", **fields} for i, fields in enumerate(worked_hour()))))
    publish_at(house, T0 + 3 * HOUR)
    return house


def line(start: int, end: int, state: str, agent: int = 1) -> str:
    """A row of a plan from minute to minute of the worked hour."""
    return f"{agent},{iso(T0 + start * MINUTE)},{iso(T0 + end * MINUTE)},{state}"


def imported(shiftlog: Shell, house: House, file: Path, *lines: str, options: tuple[str, ...] = ()) -> Done:
    file.write_text("\n".join(["agent,start,end,state", *lines, ""]))
    return shiftlog("schedule", "import", "A", file, "--data", house.directory, *options)


def test_adherence_is_in_the_report(shiftlog: Shell, worked: House, tmp_path: Path):
    """Online 0–50 as planned, Away 50–60 where Online was planned to 55; the table shows it too."""
    done = imported(shiftlog, worked, tmp_path / "plan.csv", line(0, 55, "online"), line(55, 60, "4"))
    assert (done.code, done.err) == (
        0,
        "2 rows of 1 agents imported, " + " to ".join(iso(T0 + h * HOUR, "America/New_York") for h in (0, 1)) + "\n",
    )
    asked = ("report", "--data", worked.directory, "--from", iso(T0), "--to", iso(T0 + HOUR))
    [row] = shiftlog(*asked, "--format", "json").json
    assert [row[f"{name}_ms"] // MINUTE for name in ("scheduled", "adherent", "scheduled_online", "online_in_schedule")] == [60, 55, 55, 50]
    assert (row["adherence"], row["conformance"]) == (55 / 60, 50 / 55)
    assert "91.7 %" in shiftlog(*asked).text


def test_without_a_schedule_there_is_none(shiftlog: Shell, worked: House):
    """Null, not 0; and the table does not speak of it."""
    [row] = shiftlog("report", "--data", worked.directory, "--format", "json").json
    assert (row["scheduled_ms"], row["adherence"]) == (None, None)
    assert "adherence" not in shiftlog("report", "--data", worked.directory).text


def test_a_corrected_plan_replaces_the_old_one(shiftlog: Shell, worked: House, tmp_path: Path):
    """For its agents, from its first start to its last end; or as far as it is said to reach."""
    imported(shiftlog, worked, tmp_path / "plan.csv", line(0, 30, "online"), line(30, 60, "away"), line(0, 60, "online", agent=2))
    imported(shiftlog, worked, tmp_path / "plan.csv", line(10, 20, "offline"))
    with worked.catalog.read() as conn:
        found = [((row.start - T0) // MINUTE, (row.end - T0) // MINUTE, row.state) for row in planned(conn, "A") if row.agent_id == 1]
    assert found == [(0, 10, 2), (10, 20, 1), (20, 30, 2), (30, 60, 4)]
    imported(shiftlog, worked, tmp_path / "plan.csv", line(10, 20, "offline"), options=("--from", iso(T0), "--to", iso(T0 + HOUR)))
    with worked.catalog.read() as conn:
        found = [(row.agent_id, (row.start - T0) // MINUTE, row.state) for row in planned(conn, "A")]
    assert found == [(1, 10, 1), (2, 0, 2)]


def test_times_are_of_the_accounts_zone(shiftlog: Shell, worked: House, tmp_path: Path):
    """Unless they have an offset."""
    with worked.catalog.write() as conn:
        accounts.update(conn, "A", {"time_zone": "Asia/Kolkata"})
    imported(shiftlog, worked, tmp_path / "plan.csv", "1,2026-03-02T08:00,2026-03-02T09:00,online")
    with worked.catalog.read() as conn:
        assert [iso(row.start) for row in planned(conn, "A")] == ["2026-03-02T02:30:00+00:00"]


def test_the_timeline_is_drawn_with_the_plan(shiftlog: Shell, worked: House, tmp_path: Path):
    """Planned beside actual."""
    imported(shiftlog, worked, tmp_path / "plan.csv", line(0, 60, "online"))
    window = ("--from", iso(T0), "--to", iso(T0 + HOUR))
    assert shiftlog("chart", "timeline", "--data", worked.directory, *window, "-o", tmp_path / "day.svg").code == 0
    assert "planned" in (tmp_path / "day.svg").read_text()


@pytest.mark.parametrize(
    ("lines", "options", "says"),
    [
        (["1,today,tomorrow,online"], (), "plan.csv, line 2: start: 'today' is not a time"),
        ([line(0, 10, "lunch")], (), "plan.csv, line 2: state: found 'lunch'; allowed: online (2), back_soon (3), away (4), offline (1)"),
        ([line(0, 10, "online"), line(5, 15, "away")], (), "plan.csv, lines 2 and 3: agent 1 is planned twice"),
        ([line(0, 10, "online")], ("--from", iso(T0 + MINUTE)), "which does not lie between"),
        ([], (), "plan.csv holds no row"),
    ],
)
def test_a_wrong_plan_changes_nothing(
    shiftlog: Shell, worked: House, tmp_path: Path, lines: list[str], options: tuple[str, ...], says: str
):
    """One line says what is wrong and where."""
    imported(shiftlog, worked, tmp_path / "good.csv", line(0, 60, "online"))
    done = imported(shiftlog, worked, tmp_path / "plan.csv", *lines, options=options)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert says in done.err
    with worked.catalog.read() as conn:
        assert [row.end - row.start for row in planned(conn, "A")] == [HOUR]


def test_a_file_or_account_that_is_not_there(shiftlog: Shell, worked: House, tmp_path: Path):
    """Is named."""
    assert "there is no file" in shiftlog("schedule", "import", "A", tmp_path / "none.csv", "--data", worked.directory).err
    (tmp_path / "plan.csv").write_bytes(b"\xff\xfe")
    assert "cannot be read" in shiftlog("schedule", "import", "A", tmp_path / "plan.csv", "--data", worked.directory).err
    assert "no account B" in shiftlog("schedule", "import", "B", tmp_path / "plan.csv", "--data", worked.directory).err
