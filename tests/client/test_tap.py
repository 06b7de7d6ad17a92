"""The Singer tap: what it writes, and where it goes on."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import polars as pl
import pytest

from client.lakes import START, name, packed, rows
from client.seed import SeedServer
from client.servers import seed_client, shiftlog_client
from readers import all_parts, every_row, land, publish_at, standing
from scenes import DAY, HOUR, MINUTE, T0, event, login, logout, sent
from shiftlog.catalog.keys import NewKey
from shiftlog.client import Client
from shiftlog.client.tap import STREAMS, Selection, State, Tap, run, selected
from shiftlog.errors import Invalid, Later, Missing
from shiftlog.house import House

ALL = selected(None)
SINGER = Path(__file__).parents[2] / "build" / "singer" / "bin" / "python"
PARSE = "import json, singer, sys\nfor line in sys.stdin: print(json.dumps(singer.parse_message(line).asdict()))"


@pytest.fixture
def client(house: House, keys: NewKey) -> Iterator[Client]:
    """A client of three hours of one agent, of which the first was corrected."""
    for hour in range(3):
        start = T0 - 2 * DAY + hour * HOUR
        land(house, sent(login(start), event(start + MINUTE, state=2), logout(start + 2 * MINUTE)))
    publish_at(house, T0)
    land(house, sent(event(T0 - 2 * DAY + 90_000, state=3)))
    publish_at(house, T0)
    with shiftlog_client(house, keys) as client:
        yield client


def synced(client: Client, state: Any = None, chosen: Selection = ALL, now: int = T0) -> list[dict[str, Any]]:
    """The messages of one run; `state` is as an earlier run wrote it."""
    out = io.BytesIO()
    known = State() if state is None else msgspec.convert(state, State)
    Tap(client, out).sync(chosen, known, now)
    return messages(out)


def messages(out: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def records(messages: list[dict[str, Any]], stream: str) -> list[dict[str, Any]]:
    return [message["record"] for message in messages if message["type"] == "RECORD" and message["stream"] == stream]


def last_state(messages: list[dict[str, Any]]) -> Any:
    return [message["value"] for message in messages if message["type"] == "STATE"][-1]


def test_every_message_is_singers(client: Client):
    """A schema before its records, records that it allows, keys in every record, a state at the end."""
    schemas: dict[str, Any] = {}
    written = synced(client)
    for message in written:
        if message["type"] == "SCHEMA":
            schemas[message["stream"]] = message
        elif message["type"] == "RECORD":
            schema = schemas[message["stream"]]
            jsonschema.validate(
                message["record"], {**schema["schema"], "required": schema["key_properties"], "additionalProperties": False}
            )
    assert schemas.keys() == {stream.name for stream in STREAMS}
    assert written[-1]["type"] == "STATE"


def test_singers_own_parser_reads_it(client: Client):
    """singer-python, in an interpreter of its own, takes every message for what it is."""
    if not SINGER.exists():
        pytest.skip("scripts/singer.sh has not installed singer-python")
    written = synced(client)
    read = subprocess.run([SINGER, "-c", PARSE], input="\n".join(map(json.dumps, written)), text=True, capture_output=True, check=True)
    assert [json.loads(line) for line in read.stdout.splitlines()] == written


def test_the_streams_hold_what_was_published(house: House, client: Client):
    """Events that stand are those whose revision is their session's."""
    written = synced(client)
    assert [record["name"] for record in records(written, "files")] == [str(part.name) for part in all_parts(house)]
    assert [record["sha256"] for record in records(written, "files")] == [part.gz_sha256 for part in all_parts(house)]
    latest = {record["agentSessionId"]: record for record in records(written, "sessions")}
    stand = [
        record
        for record in records(written, "events")
        if record["revision"] == latest[record["agentSessionId"]]["revision"] and not latest[record["agentSessionId"]]["withdrawn"]
    ]
    expected = standing(every_row(house)).select("agentSessionId", "eventIndex", "timestamp")
    assert pl.DataFrame(stand).select(expected.columns).sort("timestamp").rows() == expected.sort("timestamp").rows()


def test_the_state_goes_on(house: House, client: Client):
    """A second run brings nothing, a third what is new."""
    first = synced(client)
    assert not records(synced(client, last_state(first)), "files")
    land(house, sent(login(T0 - DAY, agentID=2), logout(T0 - DAY + 1, agentID=2)))
    publish_at(house, T0)
    third = synced(client, last_state(first))
    assert [record["sessions"] for record in records(third, "files")] == [1]


def test_a_run_that_ends_early_goes_on_where_its_state_is(client: Client, monkeypatch: pytest.MonkeyPatch):
    """What was written after the last state comes again, and nothing is left out."""
    monkeypatch.setattr("shiftlog.client.tap._FILES", 2)
    whole = synced(client)
    download, left = client.download, [0, 1, 2]

    def failing(*arguments: Any, **options: Any) -> Path:
        if not left:
            raise Later("the line is dead")
        left.pop()
        return download(*arguments, **options)

    monkeypatch.setattr(client, "download", failing)
    out = io.BytesIO()
    with pytest.raises(Later):
        Tap(client, out).sync(ALL, State(), T0)
    monkeypatch.undo()
    early = messages(out)
    later = synced(client, last_state(early))
    names = [[record["name"] for record in records(each, "files")] for each in (whole, early, later)]
    assert names[1][:2] + names[2] == names[0]


def test_a_server_that_does_not_say_how_far_it_reaches(tmp_path: Path):
    """It is asked further back, and what it tells again is known by name."""
    seed = SeedServer(tmp_path / "published")
    for hour in range(8):
        seed.add(str(name(hour=hour)), packed(rows((f"{hour}", 2))), START + (hour + 1) * HOUR)
    with seed_client(seed) as client:
        first = synced(client, now=START + 9 * HOUR)
        seed.add(str(name(hour=8)), packed(rows(("8", 2))), START + 9 * HOUR - 1)
        second = synced(client, last_state(first), now=START + 9 * HOUR)
        third = synced(client, last_state(second), now=START + 10 * HOUR)
    assert len(records(first, "files")) == 8
    assert [record["name"] for record in records(second, "files")] == [str(name(hour=8))]
    assert not records(third, "files")


def test_a_catalog_selects_streams_and_columns(client: Client):
    """Keys come always; a stream that is selected later begins at its beginning."""
    catalog = {"streams": [json.loads(json.dumps(stream.entry)) for stream in STREAMS]}
    assert selected(catalog) == ALL
    for entry in catalog["streams"]:
        entry["metadata"][0]["metadata"]["selected"] = entry["stream"] == "sessions"
        for column in entry["metadata"][1:]:
            column["metadata"]["selected"] = column["breadcrumb"][1] == "events"
    chosen = selected(catalog)
    assert chosen == {"sessions": ["agentSessionId", "events"]}
    first = synced(client, chosen=chosen)
    assert {message["stream"] for message in first if message["type"] != "STATE"} == {"sessions"}
    both = synced(client, last_state(first))
    assert (len(records(both, "files")), len(records(both, "sessions"))) == (4, 0)


# ── the command ──


def test_discover_prints_the_catalog(tmp_path: Path):
    """Without asking a server."""
    (tmp_path / "config.json").write_text("{}")
    out = io.BytesIO()
    run(["--config", str(tmp_path / "config.json"), "--discover"], out)
    assert [entry["tap_stream_id"] for entry in json.loads(out.getvalue())["streams"]] == ["files", "sessions", "events"]


@pytest.mark.parametrize(
    ("files", "arguments", "error", "said"),
    [
        ({}, [], Missing, r"config\.json cannot be read"),
        ({"config": "x"}, [], Invalid, r"config\.json is not what it should be"),
        ({"config": "{}"}, [], Invalid, "url is missing"),
        ({"config": '{"profile": "none.json"}'}, [], Missing, "there is no profile"),
        ({"config": '{"profile": 1}'}, [], Invalid, "not the path"),
        ({"config": "{}", "catalog": '{"streams": [{"tap_stream_id": "agents"}]}'}, ["--catalog", "catalog.json"], Invalid, "'agents'"),
        ({"config": "{}", "state": "[]"}, ["--state", "state.json"], Invalid, r"state\.json is not what it should be"),
    ],
)
def test_what_it_is_given_wrong_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], arguments: list[str], error: type[Exception], said: str
):
    """Before anything is written."""
    monkeypatch.chdir(tmp_path)
    for stem, text in files.items():
        (tmp_path / f"{stem}.json").write_text(text)
    out = io.BytesIO()
    with pytest.raises(error, match=said):
        run(["--config", "config.json", *arguments], out)
    assert out.getvalue() == b""
