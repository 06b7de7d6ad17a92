"""Asking from the shell: the same numbers from every source, in every format, and one line for every mistake."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from shell import Shell

from readers import all_parts, every_row, lake_of, land, publish_at
from scenes import DAY, HOUR, MINUTE, T0, event, login, logout, sent
from shiftlog import archive
from shiftlog.catalog import accounts
from shiftlog.hours import iso, parse
from shiftlog.house import House
from shiftlog.metrics import DEFINITIONS
from worked import numbers, worked_hour

pytestmark = pytest.mark.usefixtures("account")

WINDOW = ("--from", iso(T0), "--to", iso(T0 + HOUR))


def numbered(events: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Events as they are sent, each with an id of its own."""
    return sent(*({"eventId": f"e{i}", "agentNickname": "Ada", **fields} for i, fields in enumerate(events)))


def files(house: House, into: Path) -> list[Path]:
    """All published files, in a directory."""
    into.mkdir()
    for part in all_parts(house):
        (into / f"{part.name}.gz").write_bytes(house.store.get(part.gz_key))
    return sorted(into.iterdir())


Ask = Callable[..., Any]


@pytest.fixture
def worked(house: House) -> House:
    """The worked hour, published."""
    land(house, numbered(worked_hour()))
    publish_at(house, T0 + 3 * HOUR)
    return house


@pytest.fixture(params=["deployment", "files", "lake"])
def source(request: pytest.FixtureRequest, worked: House, tmp_path: Path) -> tuple[object, ...]:
    """The worked hour from everywhere, as arguments."""
    if request.param == "files":
        return tuple(files(worked, tmp_path / "files"))
    return ("--data", worked.directory) if request.param == "deployment" else ("--lake", lake_of(worked, tmp_path / "lake"))


# ── the worked hour ──


def test_the_worked_hour(shiftlog: Shell, source: tuple[object, ...]):
    """To the digit, whatever it is read from."""
    [row] = shiftlog("report", *source, *WINDOW, "--format", "json").json
    assert {name: row[name] for name in numbers()} == numbers()
    assert list(row) == ["agent_id", "bucket_start", "bucket_ms", *(name for name in row if name in DEFINITIONS)]
    assert set(DEFINITIONS) < set(row)


def test_the_worked_hour_of_an_open_session(shiftlog: Shell, house: House):
    """Before its logout, and before anything is published; its last five minutes are open."""
    start = house.catalog.now() - HOUR
    land(house, numbered(worked_hour(start)[:-1]))
    window = ("--from", iso(start), "--to", iso(start + HOUR))
    [row] = shiftlog("report", "--data", house.directory, *window, "--format", "json").json
    assert {name: row[name] for name in numbers()} == numbers()
    assert row["open_ms"] == 5 * MINUTE
    assert shiftlog("report", "--data", house.directory, *window, "--until", "watermark", "--format", "json").json == []


@pytest.mark.parametrize(("by", "keys"), [("agent", {"agent_id": 1}), ("group", {"group_id": 7}), ("account", {})])
def test_rows_by_what_is_asked_for(shiftlog: Shell, worked: House, by: str, keys: dict[str, int]):
    """Each under its own id, and with the bucket's beginning in the zone."""
    [row] = shiftlog("report", "--data", worked.directory, *WINDOW, "--by", by, "--tz", "Asia/Kolkata", "--format", "json").json
    assert {name: row[name] for name in keys} == keys
    assert row["bucket_start"] == iso(T0, "Asia/Kolkata")
    assert [row[name] for name in ("bucket_ms", "login_ms", "agents")] == [HOUR, HOUR, 1]


def test_profiles_have_a_row_each(shiftlog: Shell, worked: House):
    """An interval counts in each of its profiles."""
    rows = shiftlog("report", "--data", worked.directory, *WINDOW, "--by", "profile", "--format", "json").json
    assert [(row["profile_id"], row["login_ms"]) for row in rows] == [(5, HOUR), (6, HOUR)]


# ── from a number to where it comes from ──


def test_a_number_leads_to_its_events(shiftlog: Shell, worked: House):
    """From the report to the intervals it sums, to the events that begin them, to the part that was published."""
    data = ("--data", worked.directory)
    [row] = shiftlog("report", *data, *WINDOW, "--columns", "online_ms", "--format", "json").json
    found = shiftlog("timeline", *data, *WINDOW, "--agent", 1, "--format", "json").json
    online = [interval for interval in found if interval["state_name"] == "online"]
    assert sum(interval["length_ms"] for interval in online) == row["online_ms"] == 50 * MINUTE
    [one] = [interval for interval in online if interval["start_ms"] == T0 + 25 * MINUTE]
    query = f"SELECT concurrentEng, part FROM events WHERE eventId = '{one['eventId']}'"
    [behind] = shiftlog("sql", *data, query, "--format", "json").json
    assert (behind["concurrentEng"], behind["part"]) == (one["concurrency"], one["part"])
    events = every_row(worked).filter(pl.col("agentSessionId") == one["agentSessionId"], pl.col("eventIndex") == one["eventIndex"])
    assert events["timestamp"].to_list() == [T0 + 25 * MINUTE]
    assert one["part"] in [str(part.name) for part in all_parts(worked)]


def test_a_file_has_no_event_ids(shiftlog: Shell, worked: House, tmp_path: Path):
    """Its intervals are found by session and place, and by the file's name where that is a part's."""
    [file] = files(worked, tmp_path / "files")
    renamed = file.rename(tmp_path / "files" / "some.gz")
    for path, part in ((renamed, None), (file, file.stem)):
        rows = shiftlog("timeline", renamed.rename(path), "--format", "json").json
        assert {(row["eventId"], row["part"]) for row in rows} == {(None, part)}
        assert [row["eventIndex"] for row in rows][:2] == [2, 4]  # several events in one instant open one interval


def test_timeline_times_have_offsets(shiftlog: Shell, worked: House):
    """In text; beside them milliseconds."""
    rows = shiftlog("timeline", "--data", worked.directory, "--tz", "Europe/Berlin", "--format", "json").json
    assert [(row["start"], row["start_ms"]) for row in rows[:1]] == [(iso(T0, "Europe/Berlin"), T0)]
    assert [(parse(row["end"]), row["end_ms"] - row["start_ms"]) for row in rows] == [(row["end_ms"], row["length_ms"]) for row in rows]


# ── buckets and zones ──


@pytest.mark.parametrize(
    ("zone", "date", "hours"),
    [("Europe/Berlin", "2026-10-25", 25), ("Europe/Berlin", "2026-03-29", 23), ("America/New_York", "2026-11-01", 25)],
)
def test_days_on_which_clocks_change(shiftlog: Shell, house: House, zone: str, date: str, hours: int):
    """They have 23 or 25 hours, each with its own offset; an agent without an event in an hour counts in it."""
    start = parse(date, zone)
    land(house, numbered([login(start - HOUR), *(event(start + h * 12 * HOUR, state=2) for h in range(3)), logout(start + 30 * HOUR)]))
    publish_at(house, start + 3 * DAY)
    tomorrow = iso(start + 36 * HOUR, zone)[:10]
    asked = ("report", "--data", house.directory, "--tz", zone, "--from", date, "--to", tomorrow, "--format", "json")
    each, [day] = shiftlog(*asked, "--every", "1h").json, shiftlog(*asked, "--every", "1d").json
    assert [row["bucket_start"] for row in each] == [iso(start + h * HOUR, zone) for h in range(hours)]
    assert {(row["login_ms"], row["bucket_ms"]) for row in each} == {(HOUR, HOUR)}
    assert (day["bucket_start"], day["bucket_ms"], day["login_ms"]) == (iso(start, zone), hours * HOUR, hours * HOUR)


# ── formats ──


def test_formats_say_the_same(shiftlog: Shell, worked: House, tmp_path: Path):
    """JSON, CSV and Parquet have the same rows."""
    asked = ("report", "--data", worked.directory, *WINDOW, "--every", "15m", "--format")
    rows = pl.DataFrame(shiftlog(*asked, "json").json, infer_schema_length=None)
    csv = pl.read_csv(BytesIO(shiftlog(*asked, "csv").out))
    assert shiftlog(*asked, "parquet", "-o", tmp_path / "out.parquet").code == 0
    parquet = pl.read_parquet(tmp_path / "out.parquet")
    assert rows.columns == csv.columns == parquet.columns
    assert rows.select(pl.col(pl.Int64, pl.Float64)).equals(csv.select(rows.select(pl.col(pl.Int64, pl.Float64)).columns))
    assert parquet["bucket_start"].dt.epoch("ms").to_list() == [parse(text) for text in rows["bucket_start"]]
    assert parquet["occupancy"].equals(rows["occupancy"])


def test_a_timeline_as_csv_and_parquet(shiftlog: Shell, worked: House):
    """Lists are JSON text in the one, and lists in the other."""
    asked = ("timeline", "--data", worked.directory, *WINDOW, "--format")
    assert pl.read_csv(BytesIO(shiftlog(*asked, "csv").out))["profile_ids"][0] == "[5,6]"
    assert pl.read_parquet(BytesIO(shiftlog(*asked, "parquet").out))["profile_ids"].to_list()[0] == [5, 6]


def test_shares_write_what_the_whole_writes(shiftlog: Shell, house: House, monkeypatch: pytest.MonkeyPatch):
    """A source too large for memory is written share by share, byte for byte the same."""
    for agent in range(1, 6):
        land(house, sent(login(T0, agentID=agent), event(T0 + MINUTE, agentID=agent, state=2), logout(T0 + 3 * HOUR, agentID=agent)))
    publish_at(house, T0 + 5 * HOUR)
    data = ("--data", house.directory)
    asked = [("report", *data, "--every", "1h"), ("report", *data, "--by", "account"), ("timeline", *data)]
    whole = [shiftlog(*question, "--format", form).out for question in asked for form in ("csv", "json")]
    monkeypatch.setattr(archive, "SHARE_EVENTS", 5)
    assert [shiftlog(*question, "--format", form).out for question in asked for form in ("csv", "json")] == whole


def test_columns_stand_beside_the_key(shiftlog: Shell, worked: House):
    """In the order asked for, each once."""
    asked = ("report", "--data", worked.directory, *WINDOW, "--format", "csv", "--columns", "occupancy, login_ms,occupancy,name")
    assert shiftlog(*asked).text.splitlines() == [
        "agent_id,name,bucket_start,occupancy,login_ms",
        f"1,Ada,{iso(T0, 'America/New_York')},0.64,3600000",
    ]


def test_a_table_is_for_people(shiftlog: Shell, worked: House):
    """Percentages, times as h:mm:ss, names beside ids; and on the error stream what it is about."""
    done = shiftlog("report", "--data", worked.directory, *WINDOW, "--tz", "UTC")
    for text in ("Ada", "1:00:00", "83.3 %", "64.0 %", "1.78"):
        assert text in done.text
    assert done.err == f"A at {worked.directory} · {iso(T0)} to {iso(T0 + HOUR)} · UTC · complete up to {iso(T0 + 2 * HOUR)}\n"


def test_imported_names_come_before_nicknames(shiftlog: Shell, worked: House):
    """Agents, groups and profiles have them."""
    with worked.catalog.write() as conn:
        accounts.name(conn, "A", [("agent", 1, 0, "Ada L."), ("group", 7, 0, "Sales")])
    data = ("--data", worked.directory)
    assert "Ada L." in shiftlog("report", *data).text
    assert "Sales" in shiftlog("report", *data, "--by", "group").text
    assert "Ada L." in shiftlog("timeline", *data).text


def test_a_table_can_be_a_file(shiftlog: Shell, worked: House, tmp_path: Path):
    """It is the same table."""
    shown = shiftlog("report", "--data", worked.directory).text
    assert shiftlog("report", "--data", worked.directory, "-o", tmp_path / "table.txt").out == b""
    assert (tmp_path / "table.txt").read_text() == shown


def test_a_long_table_says_that_there_is_more(shiftlog: Shell, worked: House, monkeypatch: pytest.MonkeyPatch):
    """Nobody reads a million rows at a terminal."""
    monkeypatch.setattr("shiftlog.cli.people.MOST_ROWS", 3)
    done = shiftlog("timeline", "--data", worked.directory)
    assert "3 of 8 rows; --format csv has all of them" in done.err


@pytest.mark.parametrize("command", ["report", "timeline"])
def test_nothing_is_an_answer(shiftlog: Shell, worked: House, command: str):
    """A day on which nobody worked is no mistake."""
    asked = (command, "--data", worked.directory, "--from", "2020-01-01", "--to", "2020-01-02")
    assert shiftlog(*asked, "--format", "json").json == []
    assert len(shiftlog(*asked, "--format", "csv").text.splitlines()) == 1
    assert "nobody was logged in" in shiftlog(*asked).err


def test_the_environment_names_the_data_directory(shiftlog: Shell, worked: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Unless another source is named."""
    monkeypatch.setenv("SHIFTLOG_DATA", str(worked.directory))
    here = shiftlog("report", *WINDOW, "--format", "json").json
    assert shiftlog("report", *files(worked, tmp_path / "files"), *WINDOW, "--tz", "America/New_York", "--format", "json").json == here


# ── quality ──


def test_quality_counts_and_shares(shiftlog: Shell, source: tuple[object, ...]):
    """What only a deployment can tell is null elsewhere; the shares are of the login time."""
    found = shiftlog("quality", *source, "--format", "json").json
    told = 0 if "--data" in source else None
    assert {code: found["counts"][code] for code in ("missing_login", "duplicate_event")} == {"missing_login": 0, "duplicate_event": told}
    assert (found["login_ms"], found["observed_ms"], found["shares"]["observed"]) == (HOUR, HOUR, 1.0)
    assert (["duplicate_event", "unknown"] in map(str.split, shiftlog("quality", *source).text.splitlines())) == (told is None)


def test_findings_are_rows(shiftlog: Shell, house: House):
    """With account, agent, session, event, and what is wrong."""
    land(house, sent(login(T0), event(T0 + MINUTE, state=2, prevState=4)))
    publish_at(house, T0 + 3 * DAY)
    rows = shiftlog("quality", "--data", house.directory, "--tz", "UTC", "--findings", "--format", "json").json
    assert [(row["account"], row["agent_id"], row["code"], row["eventIndex"]) for row in rows] == [
        ("A", 1, "missing_logout", 1),
        ("A", 1, "state_jump", 1),
    ]
    assert (rows[0]["time"], rows[0]["timestamp"]) == (iso(T0 + MINUTE), T0 + MINUTE)
    csv = pl.read_csv(BytesIO(shiftlog("quality", "--data", house.directory, "--format", "csv").out))
    assert dict(csv.select("name", "value").rows())["missing_logout"] == 1
    assert dict(csv.select("name", "share").rows())["inferred_ms"] == 1.0


# ── charts and SQL ──


@pytest.mark.parametrize("form", ["svg", "html"])
def test_a_chart_is_drawn(shiftlog: Shell, source: tuple[object, ...], tmp_path: Path, form: str):
    """With the agent's name, from any source."""
    done = shiftlog("chart", "timeline", *source, *WINDOW, "-o", tmp_path / f"day.{form}")
    assert done.code == 0, done.err
    assert "Ada" in (tmp_path / f"day.{form}").read_text()


def test_sql_over_the_views(shiftlog: Shell, source: tuple[object, ...]):
    """Events, sessions and intervals; times are the asked zone's."""
    query = """
        SELECT agent_id, sum("end" - start) AS ms, strftime(to_timestamp(min(start) / 1000), '%H') AS hour
        FROM intervals JOIN sessions ON sessions.agentSessionId = intervals.agentSessionId
        WHERE state = 2 AND sessions.events = (SELECT count(*) FROM Events) GROUP BY agent_id"""
    (*files_,) = source
    arguments = (*files_, query) if "--data" not in source and "--lake" not in source else (query, *files_)
    hour = iso(T0, "Asia/Kolkata")[11:13]
    assert shiftlog("sql", *arguments, "--tz", "Asia/Kolkata", "--format", "json").json == [
        {"agent_id": 1, "ms": 50 * MINUTE, "hour": hour}
    ]
    assert "0:50" not in shiftlog("sql", *arguments).text


def test_a_missing_extra_is_named(shiftlog: Shell, worked: House, monkeypatch: pytest.MonkeyPatch):
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "duckdb", None)
    done = shiftlog("sql", "SELECT 1", "--data", worked.directory)
    assert done.code == 1
    assert "pip install 'shiftlog[sql]'" in done.err


# ── mistakes ──

WRONG = {
    "a zone": (("report", "--tz", "Mars/Base"), "time zone 'Mars/Base' is not known"),
    "a timeline's zone": (("timeline", "--tz", "Mars/Base"), "time zone 'Mars/Base' is not known"),
    "a bucket": (("report", "--every", "2h"), "bucket '2h' is not known; allowed: 5m, 15m, 30m, 1h, 1d, all"),
    "a key": (("report", "--by", "team"), "rows by 'team' are not known"),
    "a column": (("report", "--columns", "login_ms,idle"), "column 'idle' is not known; allowed: agent_id, bucket_start"),
    "a timeline's column": (("timeline", "--columns", "idle"), "column 'idle' is not known"),
    "an agent": (("timeline", "--agent", 99), "agent 99 is not known"),
    "a chart's agent": (("chart", "timeline", "--agent", 99), "agent 99 is not known"),
    "an empty window": (("report", "--from", "2026-03-02", "--to", "2026-03-02"), "the window is empty"),
    "from after to": (("quality", "--from", "2026-03-03", "--to", "2026-03-02"), "the window is empty"),
    "a time": (("report", "--from", "yesterday"), "'yesterday' is not a time"),
    "an until": (("report", "--until", "tomorrow"), "until 'tomorrow' is not known; allowed: now, watermark"),
    "another account": (("report", "--account", "B"), "there is no account B"),
    "a chart": (("chart", "pie"), "chart 'pie' is not known"),
    "a chart of nothing": (("chart", "staffing", "--from", "2020-01-01", "--to", "2020-01-02"), "nothing to draw"),
    "SQL": (("sql", "SELECT * FROM nothing"), "SQL: Catalog Error: Table with name nothing does not exist"),
    "no statement": (("sql", "/* nothing */"), "the statement gives no rows"),
}


@pytest.mark.parametrize(("arguments", "says"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_one_line(shiftlog: Shell, worked: House, tmp_path: Path, arguments: tuple[object, ...], says: str):
    """It says what is wrong, ends with 2, and leaves no file."""
    output = tmp_path / ("out.svg" if arguments[0] == "chart" else "out.csv")
    done = shiftlog(*arguments, "--data", worked.directory, *(() if arguments[0] == "chart" else ("--format", "csv")), "-o", output)
    assert (done.code, done.out) == (2, b"")
    assert done.err.count("\n") == 1
    assert says in done.err
    assert list(tmp_path.glob("out*")) == []


def test_a_wrong_source_is_one_line(shiftlog: Shell, worked: House, tmp_path: Path):
    """None, two, one that is not there, one that is no container, one of another account."""
    [file] = files(worked, tmp_path / "files")
    (tmp_path / "text.gz").write_text("no container")
    wrong = {
        (): "one source is expected",
        (file, "--data", worked.directory): "one source is expected",
        (tmp_path / "none.gz",): "there is no file",
        (tmp_path,): "is a directory",
        (tmp_path / "text.gz",): "text.gz cannot be read as a published file",
        (file, "--account", "B"): "is of account A, not B",
        ("--lake", tmp_path): "is not a lake",
        ("--lake", lake_of(worked, tmp_path / "lake"), "--account", "B"): "is of account A, not B",
    }
    for source, says in wrong.items():
        done = shiftlog("report", *source, "--format", "json")
        assert (done.code, done.out, done.err.count("\n")) == (2, b"", 1), done
        assert says in done.err


@pytest.mark.parametrize("command", ["report", "timeline", "quality", "chart", "sql"])
def test_help_teaches(shiftlog: Shell, command: str):
    """With an example that can be typed."""
    done = shiftlog(command, "--help")
    assert done.code == 0
    assert f"shiftlog {command}" in done.text.split("Example")[1]


def test_numbers_are_never_cut(shiftlog: Shell, worked: House, monkeypatch: pytest.MonkeyPatch):
    """However narrow the terminal, and however wide the table."""
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("shiftlog.cli.render.sys.stdout.isatty", lambda: True)
    shown = shiftlog("sql", "--data", worked.directory, "SELECT * FROM events LIMIT 1").text
    assert str(T0) in shown
    assert all(str(T0) in line for line in shown.splitlines() if "A-9" in line)
