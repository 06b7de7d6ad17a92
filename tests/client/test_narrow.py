"""Files of a lake that are made of a part's `.parquet` without reading it: the bytes are those of writing the rows."""

from __future__ import annotations

import io

import polars as pl
import pytest

from shiftlog import steps
from shiftlog.client.narrow import narrowed, written
from shiftlog.lake import SCHEMA
from shiftlog.sessions import TWIN


def part(rows: int, *, constant: bool = False) -> pl.DataFrame:
    """A part's rows with all that a column can have: nothing, the same, others each time, and lists of many lengths."""
    number = pl.Series("number", range(rows), pl.Int64)
    columns: dict[str, pl.Series] = {}
    for place, (name, kind) in enumerate(TWIN.items()):
        values = (number * (place + 7919) % (1 if constant else 10 ** (place % 6))).rename(name)
        if isinstance(kind, pl.List):
            columns[name] = pl.Series(name, [list(range(value % 5)) if value % 3 else None for value in values], kind)
        elif kind == pl.String:
            columns[name] = "é" + values.cast(pl.String)
        else:
            columns[name] = (values % 100).cast(kind)
        if place % 4 == 1:
            columns[name] = columns[name].zip_with(values % 7 != 0, pl.Series(name, [None], kind))
    some = pl.DataFrame(columns)
    return some.with_columns(part=pl.lit("Agent.0.3600000.part-00000-0") if constant else pl.col("part") + number.cast(pl.String))


@pytest.mark.parametrize("rows", [1, 2, 1_000, 99_999, 100_000])
@pytest.mark.parametrize("constant", [True, False])
def test_the_bytes_are_those_of_writing_the_rows(rows: int, constant: bool):
    """Of one page a column and of many."""
    frame = part(rows, constant=constant)
    assert narrowed(steps.parquet(frame), rows) == written(frame.select(SCHEMA.keys()))


def test_how_a_frame_came_to_be_does_not_matter():
    """A part of many chunks."""
    frame = part(3_000)
    pieces = pl.concat([frame[:1_000], frame[1_000:1_001], frame[1_001:]], rechunk=False)
    assert narrowed(steps.parquet(pieces), 3_000) == written(frame.select(SCHEMA.keys()))


def test_what_cannot_be_known_is_left_to_those_who_read():
    """Several row groups, other rows than were said, other columns, another writer, and what is no Parquet."""
    frame = part(100)
    whole = steps.parquet(frame)
    assert narrowed(whole, 100) is not None
    assert narrowed(steps.parquet(part(100_001)), 100_001) is None
    assert narrowed(whole, 99) is None
    assert narrowed(steps.parquet(frame.drop("position")), 100) is None
    assert narrowed(steps.parquet(frame.with_columns(pl.col("revision").cast(pl.Int64))), 100) is None
    assert narrowed(whole.replace(b"Polars (python)", b"polars (python)"), 100) is None
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", use_pyarrow=True)
    assert narrowed(buffer.getvalue(), 100) is None
    assert narrowed(b"", 0) is None
    assert narrowed(whole[:-20], 100) is None


def test_a_footer_that_does_not_fit_its_pages_is_refused():
    """What a column is about stands in two places."""
    whole = steps.parquet(part(100))
    begin = whole.index(b"PAR1") + 4
    assert narrowed(whole[:begin] + b"\0" + whole[begin:], 100) is None
