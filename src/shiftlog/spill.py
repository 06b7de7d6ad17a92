"""Rows on their way from one step of a run to the next: in memory; in files of a directory, where they need not fit in memory; or in the
store, where the next step may run on another machine."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeAlias

import polars as pl

from shiftlog.store import Store, scan

_ROW_GROUP = 50_000  # rows of a file that are read or passed over together


class Kept(Protocol):
    """Rows that wait for the next step."""

    def scan(self) -> pl.LazyFrame: ...


#: How rows are kept.
Keep: TypeAlias = Callable[[pl.DataFrame], Kept]


@dataclass(frozen=True, slots=True)
class InMemory:
    """Rows in the memory of this process."""

    rows: pl.DataFrame

    def scan(self) -> pl.LazyFrame:
        return self.rows.lazy()


@dataclass(frozen=True, slots=True)
class InFile:
    """Rows in a file of this machine."""

    path: Path

    def scan(self) -> pl.LazyFrame:
        return pl.scan_parquet(self.path)


def in_directory(directory: Path) -> Keep:
    """Keeps rows in files of a directory; they are there as long as it is."""
    return partial(_to_file, directory)


def _to_file(directory: Path, rows: pl.DataFrame) -> InFile:
    path = directory / f"{uuid.uuid4().hex}.parquet"
    rows.write_parquet(path, compression="lz4", row_group_size=_ROW_GROUP)
    return InFile(path)


@dataclass(frozen=True, slots=True)
class InStore:
    """Rows in an object of a store."""

    store: Store
    key: str

    def scan(self) -> pl.LazyFrame:
        return scan(self.store, [self.key])


def in_store(store: Store, prefix: str) -> Keep:
    """Keeps rows in objects under a prefix, which whoever asks for this deletes afterwards."""
    return partial(_to_store, store, prefix)


def _to_store(store: Store, prefix: str, rows: pl.DataFrame) -> InStore:
    key, buffer = f"{prefix}{uuid.uuid4().hex}.parquet", io.BytesIO()
    rows.write_parquet(buffer, compression="lz4", row_group_size=_ROW_GROUP)
    store.put(key, buffer.getvalue())
    return InStore(store, key)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows [offset, offset + length) of what is kept."""

    kept: Kept
    offset: int
    length: int

    def scan(self) -> pl.LazyFrame:
        return self.kept.scan().slice(self.offset, self.length)


@dataclass(frozen=True, slots=True)
class Piece:
    """The rows of one scope (its start, epoch ms) of one share of the agents."""

    scope: int
    share: int
    rows: Stretch


def by(column: str, rows: pl.DataFrame, keep: Keep) -> Iterator[tuple[int, Stretch]]:
    """Keep the rows, and say where those of each value of a column are, in order of the values."""
    ordered = rows if rows[column].is_sorted() else rows.sort(column, maintain_order=True)
    kept, offset = keep(ordered), 0
    for value, length in ordered.group_by(column, maintain_order=True).len().rows():
        yield value, Stretch(kept, offset, length)
        offset += length
