"""`shiftlog` with one thing changed: landed events go to a table of PostgreSQL by COPY, with one commit a request.

As quick as we can make it: connections that stay open, a table without an index, and CSV that Polars writes. It asks nothing about
session ids and forgotten agents, which landing does.
"""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import polars as pl
import psycopg

from shiftlog.events import SENT
from shiftlog.server.ledger import Ledger

if TYPE_CHECKING:
    from shiftlog.catalog.trail import Entry
    from shiftlog.house import House

URL = "BENCH_POSTGRESQL"
_CONNECTIONS = 8
_TYPES = {pl.Int64(): "bigint", pl.String(): "text", pl.List(pl.Int64()): "bigint[]"}


def make(url: str) -> None:
    """The table that events go to."""
    columns = ", ".join(f'"{name}" {_TYPES[dtype]}' for name, dtype in SENT.items())
    with psycopg.connect(url) as connection:
        connection.execute(f"CREATE TABLE events (account text NOT NULL, {columns})")


def landed(url: str) -> pl.DataFrame:
    """What the table holds, with the columns of `SENT`."""
    names = ", ".join(f'"{name}"' for name in SENT)
    with psycopg.connect(url) as connection:
        return pl.DataFrame(connection.execute(f"SELECT {names} FROM events").fetchall(), schema=SENT, orient="row")


class Copying:
    """Stands in for `Landing`."""

    def __init__(self, house: House) -> None:
        self._threads, self._here = ThreadPoolExecutor(_CONNECTIONS), threading.local()
        self._ledger = Ledger(house.catalog)

    def submit(self, account: str, events: pl.DataFrame, line: Entry | None = None) -> Future[int]:
        return self._threads.submit(self._copy, account, events, line)

    def close(self) -> None:
        self._threads.shutdown()
        self._ledger.close()

    def _copy(self, account: str, events: pl.DataFrame, line: Entry | None) -> int:
        connection = self._connection()
        with connection.cursor() as cursor, cursor.copy("COPY events FROM STDIN (FORMAT csv)") as copy:
            copy.write(csv(account, events))
        connection.commit()
        if line is not None:
            self._ledger.record(line).result()
        return events.height

    def _connection(self) -> psycopg.Connection[Any]:
        if not hasattr(self._here, "connection"):
            self._here.connection = psycopg.connect(os.environ[URL])
        found: psycopg.Connection[Any] = self._here.connection
        return found


def csv(account: str, events: pl.DataFrame) -> str:
    """The events as COPY reads them: text is quoted, so that what is not there differs from what is empty."""
    lists = pl.format("{}{}{}", pl.lit("{"), pl.col("userProfileIDs").cast(pl.List(pl.String)).list.join(","), pl.lit("}"))
    frame = events.select(pl.lit(account).alias("account"), *(lists.alias(name) if name == "userProfileIDs" else name for name in SENT))
    return frame.write_csv(include_header=False, quote_style="non_numeric", null_value="")


if __name__ == "__main__":
    from shiftlog.cli.app import main
    from shiftlog.server import services

    services.Landing = Copying  # type: ignore[assignment, misc]
    sys.exit(main())
