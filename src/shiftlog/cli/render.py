"""Showing rows: a table for people, JSON, CSV or Parquet for programs; and progress for whoever waits."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

import msgspec

from shiftlog.errors import Invalid

if TYPE_CHECKING:
    import polars as pl
    from rich.progress import Progress


class Format(StrEnum):
    """What a table of rows is printed as."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def rows(items: Sequence[dict[str, Any]], format_: Format, *, empty: str = "nothing to show") -> None:
    """Print rows that all have the same keys."""
    if format_ is Format.JSON:
        line(msgspec.json.format(msgspec.json.encode(items), indent=2).decode())
    elif format_ is Format.CSV:
        _csv(items)
    elif not items:
        note(empty)
    else:
        _table(items)


def one(item: dict[str, Any], format_: Format) -> None:
    """Print one thing: its fields as two columns, or as one JSON object."""
    if format_ is Format.JSON:
        line(msgspec.json.encode(item).decode())
    elif format_ is Format.CSV:
        _csv([item])
    else:
        _table([{"field": name, "value": value} for name, value in item.items()])


def document(value: dict[str, Any], target: BinaryIO) -> None:
    """Write one JSON document."""
    target.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def line(text: str) -> None:
    """One line of data."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """A remark for the person; not data."""
    sys.stderr.write(text + "\n")


def _csv(items: Sequence[dict[str, Any]]) -> None:
    import csv

    if items:
        writer = csv.DictWriter(sys.stdout, list(items[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _plain(value) for key, value in item.items()} for item in items)


def _table(items: Sequence[dict[str, Any]]) -> None:
    right = {name for name, value in items[0].items() if isinstance(value, int | float) and not isinstance(value, bool)}
    columns([(name, name in right) for name in items[0]], ([_plain(value) for value in item.values()] for item in items))


_WIDE = 10_000  # characters: more than any table has


def columns(
    headers: Sequence[tuple[str, bool]],
    lines: Iterable[Sequence[str]],
    target: TextIO | None = None,
    *,
    folded: Collection[str] | None = None,
) -> None:
    """A table for people: headers and whether their column is flush right (numbers, which are never cut), and the lines' cells.

    Where the terminal is narrower than the table, the columns in `folded` are folded, or all that are not numbers.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    file = sys.stdout if target is None else target
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name, right in headers:
        table.add_column(
            name, justify="right" if right else "left", overflow="fold", no_wrap=right or (folded is not None and name not in folded)
        )
    for cells in lines:
        table.add_row(*map(Text, cells))
    least = Console(width=_WIDE).measure(table).minimum
    # Into a pipe a table keeps its full width: nobody wants it folded at a terminal that is not there.
    width = max(Console(file=file).width, least) if file.isatty() else _WIDE
    Console(file=file, width=width).print(table)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


# ── frames ──


class FrameFormat(StrEnum):
    """What a frame of events is written as."""

    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"


def frame(data: pl.DataFrame, format_: FrameFormat, target: BinaryIO) -> None:
    """Write a frame; in CSV a list is its JSON text."""
    if format_ is FrameFormat.NDJSON:
        data.write_ndjson(target)
    elif format_ is FrameFormat.PARQUET:
        data.write_parquet(target)
    else:
        from shiftlog import reports

        reports.flat(data).write_csv(target)


class AnswerFormat(StrEnum):
    """What an answer is printed or written as."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def batches(found: Iterable[pl.DataFrame], format_: AnswerFormat, target: BinaryIO) -> None:
    """Write batches of rows, at least one, as CSV, a JSON array or Parquet; in the first two, instants are ISO 8601 text."""
    from shiftlog import reports

    if format_ is AnswerFormat.PARQUET:
        _parquet(found, target)
    elif format_ is AnswerFormat.CSV:
        for number, rows_ in enumerate(found):
            reports.flat(reports.text(rows_)).write_csv(target, include_header=number == 0)
    else:
        _json(found, target)


def _json(found: Iterable[pl.DataFrame], target: BinaryIO) -> None:
    from shiftlog import reports

    before = b"[\n"
    for rows_ in found:
        if not rows_.is_empty():
            # A line is a row: within JSON text there is no line break.
            target.write(before + reports.text(rows_).write_ndjson().strip().replace("\n", ",\n").encode())
            before = b",\n"
    target.write(b"[]\n" if before == b"[\n" else b"\n]\n")


def _parquet(found: Iterable[pl.DataFrame], target: BinaryIO) -> None:
    from polars import CompatLevel
    from pyarrow import parquet

    writer = None
    for rows_ in found:
        table = rows_.to_arrow(compat_level=CompatLevel.oldest())
        writer = writer or parquet.ParquetWriter(target, table.schema, compression="zstd")
        writer.write_table(table)
    if writer:
        writer.close()


@contextmanager
def output(path: Path | None, *, text: bool = True) -> Iterator[BinaryIO]:
    """Where data goes: standard output, or a file that appears whole or not at all.

    Raises:
        Invalid: the file cannot be written, or what is no text would go to a terminal.
    """
    if path is None or str(path) == "-":
        if not text and sys.stdout.isatty():
            raise Invalid("this format is not for a terminal; give it a file with -o, or a pipe")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    beside = path.with_name(f"{path.name}.partial")
    try:
        with beside.open("wb") as file:
            yield file
        beside.replace(path)
    except OSError as error:
        raise Invalid(f"{path} cannot be written: {error.strerror}") from None
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def progress(unit: str) -> Iterator[Progress]:
    """Progress bars on standard error, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    count = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), count, TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield bar
