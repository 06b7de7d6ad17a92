"""The SQL models of docs/sql give the numbers that the program gives."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from polars.testing import assert_frame_equal

from oracle import Session, flat, streams
from scenes import DAY, HOUR, T0
from shiftlog import intervals, sessions
from shiftlog.metrics import metrics
from shiftlog.simulate import simulate
from worked import numbers, worked_hour

SQL = Path(__file__).parents[1] / "docs" / "sql"
#: Schedules and open sessions are in no lake.
NOT_THERE = ("scheduled_ms", "adherent_ms", "scheduled_online_ms", "online_in_schedule_ms", "open_ms", "adherence", "conformance")


def centre(agents: int, days: int, start: int) -> pl.DataFrame:
    """The sessions of a simulated centre."""
    events = simulate("A", agents=agents, days=days, start=start, seed=3).events
    accepted = events.with_columns(receivedAt=pl.lit(0, pl.Int64), position=pl.int_range(pl.len(), dtype=pl.Int64))
    return sessions.fold(sessions.foldable(accepted.select(sessions.ACCEPTED.keys())), account="A", timeout=DAY)


@cache
def database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def modelled(events: pl.DataFrame, edges: list[int]) -> duckdb.DuckDBPyConnection:
    """A database with the models over these events and buckets."""
    connection = database()
    connection.register("events", events.to_arrow())
    connection.register("buckets", pl.DataFrame({"bucket_start": edges[:-1], "bucket_end": edges[1:]}).to_arrow())
    for file in ("intervals.sql", "metrics.sql"):
        connection.execute((SQL / file).read_text())
    return connection


def check(events: pl.DataFrame, every: str, by: str, start: int, end: int, tz: str = "UTC") -> None:
    into = intervals.buckets(every, start, end, tz)
    edges = into.edges.clip(start, end).to_list()
    expected = metrics(events, every=every, by=by, start=start, end=end, tz=tz).drop(NOT_THERE)
    keys = expected.columns[: expected.columns.index("bucket_ms")]
    found = modelled(events, edges).sql(f"FROM metrics WHERE \"by\" = '{by}'").pl()
    moment = pl.col("bucket_start").cast(pl.Datetime("ms")).dt.replace_time_zone("UTC").dt.convert_time_zone(tz)
    found = found.with_columns(moment).select(pl.col(name).cast(dtype) for name, dtype in expected.schema.items())
    assert_frame_equal(found, expected, check_row_order=False, rel_tol=1e-12)
    assert found.height == found.unique(keys).height


@pytest.mark.parametrize("by", ["agent", "group", "account"])
@settings(max_examples=20, deadline=None)
@given(stream=streams(T0, 60_000, 300))
def test_any_sessions_give_the_same_numbers(by: str, stream: list[Session]):
    """In buckets of a quarter of an hour, over a window that cuts sessions."""
    check(flat(*stream).filter(~pl.col("open")), "15m", by, T0 + 3_600_000, T0 + 4 * HOUR)


@pytest.mark.parametrize(("every", "by", "tz"), [("1h", "agent", "UTC"), ("1d", "group", "Europe/Berlin"), ("all", "account", "UTC")])
def test_a_simulated_centre_gives_the_same_numbers(every: str, by: str, tz: str):
    """Over a week in which clocks change."""
    start = 1_774_652_400_000  # Saturday, 2026-03-28, midnight in Berlin
    check(centre(20, 4, start), every, by, start, start + 4 * DAY, tz)


def test_the_worked_hour_comes_out_as_the_page_says():
    """Section 4, by SQL alone."""
    row = modelled(flat(Session(worked_hour())), [T0, T0 + HOUR]).sql("FROM metrics WHERE \"by\" = 'agent'").pl().row(0, named=True)
    assert {name: row[name] for name in numbers()} == numbers()


def test_intervals_are_the_programs():
    """Row for row."""
    folded = centre(5, 1, T0)
    found = modelled(folded, [0, 1]).sql("FROM intervals").pl()
    expected = intervals.intervals(folded).select(found.columns)
    assert_frame_equal(found, expected, check_row_order=False)
