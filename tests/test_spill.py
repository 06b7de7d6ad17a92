"""Rows between the steps of a run."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from shiftlog.spill import InMemory, Keep, by, in_directory


@pytest.mark.parametrize("where", ["memory", "directory"])
def test_rows_come_back_by_the_values_of_a_column(where: str, tmp_path: Path):
    """Each value's rows are found again, in their order, wherever they were kept."""
    keep: Keep = InMemory if where == "memory" else in_directory(tmp_path)
    rows = pl.DataFrame({"scope": [7, 3, 7, 5, 3, 7], "n": range(6)})
    found = {scope: stretch.scan().collect()["n"].to_list() for scope, stretch in by("scope", rows, keep)}
    assert found == {3: [1, 4], 5: [3], 7: [0, 2, 5]}


def test_no_rows_have_no_stretch(tmp_path: Path):
    """And what was kept of nothing can still be read."""
    nothing = pl.DataFrame(schema={"scope": pl.Int64})
    assert list(by("scope", nothing, in_directory(tmp_path))) == []
    assert in_directory(tmp_path)(nothing).scan().collect().equals(nothing)
