"""Tables that are sorted and filtered by their URL: `sort`, `order` and `q`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from shiftlog.errors import Invalid

MOST_ROWS = 1_000  # of a table on a page
ORDERS = ("asc", "desc")


@dataclass(frozen=True, slots=True)
class Sort:
    """By which column a table is sorted, and which way."""

    key: str
    descending: bool

    @classmethod
    def parse(cls, asked: Mapping[str, str], allowed: Sequence[str], default: str) -> Sort:
        """What a query asks for; unless it says so, names go up and numbers down.

        Raises:
            Invalid: no such column or order.
        """
        key = asked.get("sort") or default
        way = asked.get("order") or ("asc" if key == "name" else "desc")
        if key not in allowed:
            raise Invalid(f"sort: found {key[:40]!r}; allowed: {', '.join(allowed)}")
        if way not in ORDERS:
            raise Invalid(f"order: found {way[:40]!r}; allowed: {', '.join(ORDERS)}")
        return cls(key, way == "desc")

    def applied(self, rows: pl.DataFrame, *ties: str) -> pl.DataFrame:
        """The rows in order, those without a value last, equal ones by `ties`."""
        return rows.sort(self.key, *ties, descending=[self.descending, *(False for _ in ties)], nulls_last=True, maintain_order=True)


def named(rows: pl.DataFrame, key: str, names: Mapping[tuple[str, int], str]) -> pl.DataFrame:
    """Rows with the column `name`: what their key (the first column; `key` is its kind) is called, else its number."""
    called = {id_: name for (kind, id_), name in names.items() if kind == key}
    id_ = pl.col(rows.columns[0])
    return rows.with_columns(id_.replace_strict(called, default=id_.cast(pl.String), return_dtype=pl.String).fill_null("–").alias("name"))


def matching(rows: pl.DataFrame, text: str) -> pl.DataFrame:
    """The rows whose name or number holds a text, in letters of either case."""
    wanted = text.strip().lower()
    if not wanted:
        return rows
    holds = [pl.col(name).cast(pl.String).str.to_lowercase().str.contains(wanted, literal=True) for name in ("name", rows.columns[0])]
    return rows.filter(pl.any_horizontal(holds).fill_null(False))
