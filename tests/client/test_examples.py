"""The examples that load published files elsewhere, where what they need is installed."""

from __future__ import annotations

import json
import runpy
import time
from pathlib import Path

import pytest

from client.servers import profile, running, shiftlog_client
from readers import every_row, land, publish_at, standing
from scenes import DAY, HOUR, MINUTE, T0, event, login, logout, sent
from shiftlog import Client
from shiftlog.catalog.keys import NewKey
from shiftlog.house import House

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_dlt_loads_every_file_once(house: House, keys: NewKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Corrections included, and a second run changes nothing."""
    dlt = pytest.importorskip("dlt")
    monkeypatch.chdir(tmp_path)
    example = runpy.run_path(str(EXAMPLES / "dlt_shiftlog.py"))
    pipeline = dlt.pipeline("test", destination="duckdb", dataset_name="centre", pipelines_dir=str(tmp_path / "dlt"))
    start = T0 - 2 * DAY
    with shiftlog_client(house, keys) as client:
        for late in (None, start + 90_000):
            events = [event(late, state=3)] if late else [login(start), event(start + MINUTE, state=2), logout(start + HOUR)]
            land(house, sent(*events))
            publish_at(house, T0)
            for _ in range(2):
                pipeline.run(example["agent_activity"](client))
                with pipeline.sql_client() as database:
                    assert database.execute_sql(example["STANDING"])[0][0] == standing(every_row(house)).height


def test_the_live_producer_sends_the_past_at_once_and_the_rest_as_it_happens(house: House, keys: NewKey, tmp_path: Path):
    """Every event is accepted, none before its time."""
    file, where = tmp_path / "events.ndjson", tmp_path / "profile.json"
    with running(house) as url:
        profile(keys, url).save(where)
        now = int(time.time() * 1000)
        events = [login(now - HOUR), event(now - MINUTE, state=2), event(now + 1_200, state=3)]
        file.write_text("".join(json.dumps(each) + "\n" for each in reversed(events)))
        runpy.run_path(str(EXAMPLES / "live_producer.py"))["main"](str(where), str(file))
        assert time.time() * 1000 > now + 1_200
        with Client(str(where)) as client:
            assert client.open_sessions()["timestamp"].sort().to_list() == [each["timestamp"] for each in events]
