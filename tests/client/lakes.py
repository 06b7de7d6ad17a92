"""Lakes to pull into, and the parts that are pulled."""

from __future__ import annotations

import gzip
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from shiftlog import container, lake
from shiftlog.catalog import Catalog
from shiftlog.client.pull import Options, Progress, Summary, pull
from shiftlog.events import FLAT, WIRE
from shiftlog.hours import HOUR
from shiftlog.house import House
from shiftlog.names import PartName

START = 1_790_000_000_000 - 1_790_000_000_000 % 86_400_000


def rows(*sessions: tuple[str, int], account: str = "A") -> pl.DataFrame:
    """Sessions as a flat frame: an id and how many events; none is a withdrawal."""
    made: list[dict[str, Any]] = []
    for number, (session, events) in enumerate(sessions):
        times = [START + number * 1000 + i for i in range(events)]
        fields = {**dict.fromkeys(WIRE), "agentID": number, "type": 1, "state": 2, "userProfileIDs": [1, number]}
        common = {"agentSessionId": f"{account}-{session}", "sessionStartTime": times[0] if times else None, "sessionEndTime": None}
        made += [{**common, "eventIndex": i, **fields, "timestamp": time} for i, time in enumerate(times)]
        if not events:
            made.append({**common, "eventIndex": None, **dict.fromkeys(WIRE)})
    return pl.DataFrame(made, schema=FLAT)


def packed(frame: pl.DataFrame, version: str = "1.0.0.4", account: str = "A") -> bytes:
    """A published file of these rows."""
    return container.compress(container.encode(frame, account=account, version=version)) or gzip.compress(b"")


def name(revision: int = 0, part: int = 0, hour: int = 0) -> PartName:
    return PartName(START + hour * HOUR, START + (hour + 1) * HOUR, part, revision)


def pulled(client: Any, directory: Path, *, now: int | None = None, progress: Progress | None = None, **options: Any) -> Summary:
    """One pull, by the clock of this machine unless said otherwise."""
    return pull(client, directory, Options(**options), now=now or int(time.time() * 1000), progress=progress)


class CatalogAt(Catalog):
    """A catalog whose clock stands at an instant."""

    def __init__(self, engine: sa.Engine, instant: int) -> None:
        super().__init__(engine)
        self.instant = instant

    def now(self, conn: sa.Connection | None = None) -> int:
        return self.instant


def at(house: House, instant: int) -> House:
    """The same deployment when the clock shows `instant` (epoch ms)."""
    return replace(house, catalog=CatalogAt(house.catalog.engine, instant))


def everything(directory: Path) -> pl.DataFrame:
    """All rows of a lake by its snapshot, in a stable order."""
    found = lake.scan(directory, lake.read(directory).files).collect()
    return found.sort("agentSessionId", "eventIndex")


def globbed(directory: Path) -> pl.DataFrame:
    """All rows of a lake by a plain glob, in the same order."""
    files = sorted((directory / "events").rglob("*.parquet"))
    frame = pl.read_parquet(files, hive_partitioning=False) if files else pl.DataFrame(schema=lake.SCHEMA)
    return frame.sort("agentSessionId", "eventIndex")
