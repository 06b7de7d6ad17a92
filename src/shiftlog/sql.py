"""SQL over an archive: DuckDB (the extra `sql`) with the views events, sessions and intervals."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Unpack

import polars as pl

from shiftlog.archive import Archive, sessions_of
from shiftlog.errors import Invalid, Unusable
from shiftlog.reports import Window


def _events(centre: Archive, window: Window) -> Iterable[pl.DataFrame]:
    return (rows.collect() for rows in centre.event_batches(**window))


def _sessions(centre: Archive, window: Window) -> Iterable[pl.DataFrame]:
    return (sessions_of(rows).collect() for rows in centre.event_batches(**window))


def _intervals(centre: Archive, window: Window) -> Iterable[pl.DataFrame]:
    return centre.interval_batches(**window)


#: The views there are: the rows of `Archive.events`, `.sessions` and `.intervals`.
VIEWS: dict[str, Callable[[Archive, Window], Iterable[pl.DataFrame]]] = {"events": _events, "sessions": _sessions, "intervals": _intervals}


def query(centre: Archive, text: str, **window: Unpack[Window]) -> pl.DataFrame:
    """The rows that a query gives. Instants are epoch ms, as in the frames; `to_timestamp(start / 1000)` is in the asked zone.

    Raises:
        Invalid: the query is wrong, or gives no rows; an unknown zone, or an empty window.
        Unusable: the extra `sql` is not installed.
    """
    duckdb = _duckdb()
    centre.window(window.get("start"), window.get("end"), window.get("tz"))
    with tempfile.TemporaryDirectory(prefix="shiftlog-") as scratch, duckdb.connect() as session:
        try:
            session.execute(f"SET TimeZone = '{centre.zone(window.get('tz'))}'")
            for view, rows in VIEWS.items():
                # What the query does not speak of is not read.
                if re.search(rf"\b{view}\b", text, re.IGNORECASE):
                    session.execute(f"CREATE VIEW {view} AS FROM read_parquet('{_written(rows(centre, window), Path(scratch) / view)}')")
            found = session.sql(text)
            if found is None:
                raise Invalid("the statement gives no rows; a SELECT over events, sessions or intervals is expected")
            return _plain(found.pl())
        except duckdb.Error as error:
            raise Invalid(f"SQL: {' '.join(str(error).split())}") from None


def _written(batches: Iterable[pl.DataFrame], directory: Path) -> str:
    """The pattern of the files that hold the batches."""
    directory.mkdir()
    for number, rows in enumerate(batches):
        rows.write_parquet(directory / f"{number}.parquet", compression="lz4")
    return f"{directory}/*.parquet"


def _plain(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with numbers for decimals, which is what DuckDB makes of a sum of integers."""
    scales = {name: dtype.scale for name, dtype in rows.schema.items() if isinstance(dtype, pl.Decimal)}
    return rows.with_columns(pl.col(name).cast(pl.Float64 if scale else pl.Int64) for name, scale in scales.items())


def _duckdb() -> ModuleType:
    try:
        import duckdb
    except ImportError as error:
        raise Unusable(f"SQL needs an extra ({error.name} is missing): pip install 'shiftlog[sql]'") from None
    return duckdb
