"""Any tool reads the lake: the documentation's own code runs on one."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset
import pytest

from client.lakes import everything, name, rows
from client.test_writer import add
from shiftlog import lake
from shiftlog.hours import parse

DOCS = (Path(__file__).parents[2] / "docs" / "lake.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)


@pytest.fixture
def pulled_lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three days, a revision, and a part of which nothing is left."""
    directory = tmp_path / "lake"
    for hour in range(3):
        add(directory, (name(hour=24 * hour), rows((f"{hour}", 2), (f"{hour}0", 3))))
    add(directory, (name(1), rows(("0", 4), ("00", 0))))
    monkeypatch.chdir(tmp_path)
    return directory


@pytest.mark.parametrize("code", BLOCKS, ids=lambda code: re.search(r"import (\w+)|from (\w+)", code)[0])
def test_the_documentations_code_reads_a_lake(code: str, pulled_lake: Path):
    """Each block, as it stands there."""
    if "pyspark" in code:
        pytest.importorskip("pyspark")
    exec(compile(code, "docs/lake.md", "exec"), {})


def test_duckdb_reads_the_hive_layout(pulled_lake: Path):
    """With the partitions as columns, and the types of the documentation."""
    found = duckdb.sql(f"""
        SELECT account, date::VARCHAR, count(*) FROM read_parquet('{pulled_lake}/events/**/*.parquet') GROUP BY ALL ORDER BY ALL
    """).fetchall()
    assert found == [("A", "2026-09-21", 4), ("A", "2026-09-22", 5), ("A", "2026-09-23", 5)]


def test_pandas_and_pyarrow_read_the_hive_layout(pulled_lake: Path):
    """The same rows as the snapshot has, and the same columns with those of the path."""
    expected = everything(pulled_lake).height
    frame = pd.read_parquet(pulled_lake / "events")
    assert len(frame) == expected
    assert list(frame.columns) == [*lake.SCHEMA, "account", "date"]
    assert pyarrow.dataset.dataset(pulled_lake / "events", partitioning="hive").count_rows() == expected


def test_spark_reads_the_hive_layout(pulled_lake: Path):
    """Where it is installed."""
    sql = pytest.importorskip("pyspark.sql")
    spark = sql.SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    frame = spark.read.parquet(str(pulled_lake / "events"))
    assert frame.count() == everything(pulled_lake).height
    assert set(frame.columns) == {*lake.SCHEMA, "account", "date"}
    spark.stop()


def test_the_documentations_sql_reads_a_lake(pulled_lake: Path):
    """With the models of docs/sql."""
    [block] = re.findall(r"```sql\n(.*?)```", DOCS, re.DOTALL)
    root = Path(__file__).parents[2]
    text = re.sub(r"^\.read (\S+)$", lambda match: (root / match[1]).read_text(), block, flags=re.MULTILINE)
    connection = duckdb.connect()
    for day in ("02", "09"):
        text = text.replace(f"2026-03-{day}", {"02": "2026-09-21", "09": "2026-09-28"}[day])
    assert connection.execute(text).fetchall()
    assert parse("2026-09-21") == connection.execute("SELECT min(bucket_start) FROM metrics").fetchone()[0]


def test_the_schema_is_the_documentations():
    """Every column is in its table, with its type."""
    section = DOCS.split("## What is in it")[1]
    said = {
        column: kind
        for names, kind in re.findall(r"^\| (`.*?`) \| (\S[^|]*?) \|", section.split("| column |")[1], re.MULTILINE)
        for column in re.findall(r"`(\w+)`", names)
    }
    kinds = {pl.Int64(): "int64", pl.Int32(): "int32", pl.String(): "string", pl.List(pl.Int64()): "list of int64"}
    for column, dtype in lake.SCHEMA.items():
        assert said[column].startswith(kinds[dtype]), column
