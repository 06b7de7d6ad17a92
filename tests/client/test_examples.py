"""The examples that load published files elsewhere, where what they need is installed."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from client.servers import shiftlog_client
from readers import every_row, land, publish_at, standing
from scenes import DAY, HOUR, MINUTE, T0, event, login, logout, sent
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
