"""What the kernel adds up is what Polars adds up; against the oracle both are held in test_metrics.py."""

from __future__ import annotations

import shutil
from typing import Any
from unittest.mock import patch

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from shiftlog import kernels, metrics, sweeping
from shiftlog.hours import DAY, MINUTE
from shiftlog.intervals import buckets, steps
from shiftlog.metrics import measures
from shiftlog.simulate import simulate
from wire import many

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler is there")
START = 1_700_000_000_000


def events() -> pl.DataFrame:
    """Sessions of 20 events a minute apart, three of an agent at a time, with values of every kind."""
    number = pl.int_range(600, dtype=pl.Int64)
    values = {
        **{"agentID": number // 60, "timestamp": START + number % 60 // 3 * MINUTE + number // 60 * 7 * MINUTE},
        **{"state": number % 7 - 1, "type": number % 5, "concurrentEng": number % 4 - 1, "maxConcurrentEng": number % 3},
        **{"agentSessionId": pl.concat_str(number // 60, pl.lit("-"), number % 3), "eventIndex": (number % 60 // 3).cast(pl.Int32)},
    }
    return many(30, 20).with_columns(**values)


def by_polars(frame: pl.DataFrame, **asked: Any) -> pl.DataFrame:
    with patch.object(kernels, "load", lambda: None):
        return measures(frame, **asked)


def test_the_names_are_those_of_the_definitions():
    """And in their order, so that no number stands under another name."""
    assert tuple(metrics._PARTS) == sweeping.SUMS


@pytest.mark.parametrize("by", metrics.KEYS)
@pytest.mark.parametrize("every", ["5m", "1d", "all"])
@pytest.mark.parametrize("tz", ["UTC", "Australia/Lord_Howe"])
def test_a_centres_days_are_added_up_alike(by: str, every: str, tz: str):
    """Simulated days, some of whose sessions have no logout, and lie over midnight."""
    seen = simulate("A", agents=15, days=2, start=START, seed=3).arrivals()
    flat = seen.with_columns(agentSessionId="sessionId", eventIndex=pl.int_range(pl.len(), dtype=pl.Int32).over("sessionId"))
    asked: dict[str, Any] = {"by": by, "every": every, "tz": tz, "start": START + 7 * MINUTE, "end": START + DAY + 1}
    found = measures(flat, **asked)
    assert found.height > 0
    assert_frame_equal(found, by_polars(flat, **asked))


@pytest.mark.parametrize("by", metrics.KEYS)
def test_agents_with_several_sessions_at_a_time_have_one_row_a_bucket(by: str):
    """Whose pieces do not follow each other."""
    found = measures(events(), by=by, every="15m")
    assert found.drop("agents").n_unique(list(found.columns[: found.columns.index("bucket_ms")])) == found.height
    assert_frame_equal(found, by_polars(events(), by=by, every="15m"))


def test_numbers_beyond_64_bits_wrap_around_alike():
    """A concurrency that nobody has, times milliseconds."""
    large = events().with_columns(concurrentEng=pl.lit(2**62), maxConcurrentEng=pl.lit(2**61))
    assert_frame_equal(measures(large, every="15m"), by_polars(large, every="15m"))


def test_what_is_not_known_is_left_to_polars():
    """An event without a group, of an agent who has one else; and without an agent."""
    into = buckets("15m", START, START + DAY)
    for column, by in (("agentGroupID", "group"), ("agentID", "agent")):
        some = events().with_columns(pl.when(pl.int_range(600) % 20 > 2).then(column).alias(column))
        assert sweeping.sums(steps(some, keep=["group_id"]), into, "group_id") is None
        assert_frame_equal(measures(some, by=by, every="15m"), by_polars(some, by=by, every="15m"))


def test_no_event_is_no_row():
    """And of events outside of the window nothing is counted."""
    into = buckets("15m", START, START + DAY)
    for frame in (events().clear(), events().with_columns(pl.col("timestamp") - 2 * DAY)):
        found = sweeping.sums(steps(frame), into)
        assert found is not None
        assert found.is_empty()
