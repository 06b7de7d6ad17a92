"""Servers, publishers and a Spark cluster on one deployment: a large backfill beside what comes in every day."""

from __future__ import annotations

import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

import cluster_of_spark
from cluster.bed import Bed
from cluster.load import START, Load, check
from readers import all_parts, every_row, standing
from s3 import Server
from scenes import DAY
from shiftlog.catalog import tables
from shiftlog.events import SENT
from shiftlog.hours import iso
from shiftlog.simulate import simulate

pytest.importorskip("pyspark", reason="scripts/spark.sh install has PySpark installed")


@pytest.mark.soak
def test_a_backfill_runs_on_spark_while_servers_and_publishers_work(bed: Bed, s3_server: Server, tmp_path: Path):
    """Publishers leave alone the account that Spark is at, and publish the others; each event is published once, and reports agree."""
    for name in bed.publishers:
        os.kill(bed.pid(name), signal.SIGSTOP)  # or they would have published what lands before Spark is asked to
    bed.key("old")
    events = simulate("old", agents=40, days=5, start=START, seed=5).events
    events.select(SENT.keys()).write_ndjson(tmp_path / "old.ndjson")
    bed.run("ingest", str(tmp_path / "old.ndjson"), "--account", "old")
    with cluster_of_spark.running(tmp_path / "spark", s3_server.environment) as master, ThreadPoolExecutor(1) as pool:
        bed.environment |= {"SHIFTLOG_SPARK_MASTER": master, "PYSPARK_PYTHON": sys.executable}
        words = ("publish", "--account", "old", "--now", iso(START + 10 * DAY), "--engine", "spark", "--format", "csv")
        running = pool.submit(bed.run, *words)
        with bed.opened() as house:
            t = tables.accounts
            holder = None
            while holder is None and not running.done():
                time.sleep(0.01)
                with house.catalog.read() as conn:
                    holder = conn.scalar(sa.select(t.c.holder).where(t.c.account == "old"))
        assert not running.done()
        for name in bed.publishers:
            os.kill(bed.pid(name), signal.SIGCONT)
        load = Load(bed, 2, 10)
        load.start()
        printed = running.result().splitlines()[1:]
        load.finish(120)
        assert load.wrong == []
        check(bed, load)
        asked = ("report", "--account", "old", "--every", "1d", "--by", "group", "--format", "csv")
        here, there = bed.run(*asked), bed.run(*asked, "--engine", "spark")
    assert here == there
    assert here.count("\n") > 5
    with bed.opened() as house:
        assert len(all_parts(house, "old")) == len(printed) > 30
        rows = standing(every_row(house, suffix="parquet", account="old"))
    assert rows["eventId"].n_unique() == rows.height == events.height
    said = [line for name in bed.publishers for line in bed.log(name)]
    # A publisher may look at the account when Spark has done with it, and finds nothing to write.
    assert [line for line in said if line.get("account") == "old" and line.get("parts") != 0] == []
    assert [bed.number(name, "shiftlog_publish_failures_total") for name in bed.publishers] == [0, 0]
