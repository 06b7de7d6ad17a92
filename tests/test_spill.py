"""Rows between the steps of a run."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from shiftlog.spill import InMemory, Keep, by_scope, in_directory


@pytest.mark.parametrize("where", ["memory", "directory"])
def test_rows_come_back_by_scope(where: str, tmp_path: Path):
    """Each scope's rows are found again, in their order, wherever they were kept."""
    keep: Keep = InMemory if where == "memory" else in_directory(tmp_path)
    rows = pl.DataFrame({"scope": [7, 3, 7, 5, 3, 7], "n": range(6)})
    found = {piece.scope: piece.scan().collect()["n"].to_list() for piece in by_scope(rows, 0, keep)}
    assert found == {3: [1, 4], 5: [3], 7: [0, 2, 5]}


def test_no_rows_have_no_piece(tmp_path: Path):
    """And what was kept of nothing can still be read."""
    nothing = pl.DataFrame(schema={"scope": pl.Int64})
    assert list(by_scope(nothing, 0, in_directory(tmp_path))) == []
    assert in_directory(tmp_path)(nothing).scan().collect().equals(nothing)
