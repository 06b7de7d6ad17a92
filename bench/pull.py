"""A thousand parts into a lake of Parquet: pulled, against curl and DuckDB."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import data
from decode import flattened
from measure import Contestant, Question, Scene, Target, Work, times
from server import serve

if TYPE_CHECKING:
    import polars as pl

_EVENTS, _DAYS = 2_000_000, 123
_AFTER = data.YEAR_BEGINS + (_DAYS + 7) * data.DAY
_OURS, _QUICK, _PEER = "shiftlog pull", "shiftlog pull --parquet", "curl --parallel, DuckDB"
_LIST = f"/data_access_le/account/{data.ACCOUNT}/le/agentActivity?startTime=0"


def _data(size: float) -> Path:
    return data.made("thousand-parts", size, lambda directory: _make(directory, size))


def _make(directory: Path, size: float) -> dict[str, float]:
    """A data directory that is published; a day has about 8 hours in which sessions end."""
    events = data.events(round(_EVENTS * size), days=max(1, round(_DAYS * size)))
    with data.deployment(directory / "data", create=True) as house:
        data.land(house, events, 50_000)
        data.publish(house, _AFTER)
    files = [*(directory / "data" / "objects" / "parts").rglob("*.gz")]
    return {"events": events.height, "files": len(files), "gz_mb": sum(file.stat().st_size for file in files) / 1e6}


def _served(scene: Scene) -> tuple[int, str]:
    """The port of a server of the data, and a bearer token."""
    from shiftlog.catalog import keys

    shutil.copytree(scene.data / "data", scene.scratch / "data")
    with data.deployment(scene.scratch / "data") as house, house.catalog.write() as conn:
        bearer = keys.create(conn, house.vault, data.ACCOUNT, ["read"], house.catalog.now()).bearer
    assert bearer is not None
    return serve(scene.scratch / "data"), bearer


# ── ours ──


def _ours(scene: Scene, *, parquet: bool = False) -> Work:
    from shiftlog.client.http import Client
    from shiftlog.client.profile import Profile
    from shiftlog.client.pull import Options, pull

    port, bearer = _served(scene)
    profile = Profile(url=f"http://127.0.0.1:{port}", account=data.ACCOUNT, bearer=bearer)

    def work() -> None:
        with Client(profile) as client:
            done = pull(client, scene.scratch / "lake", Options(parquet=parquet), now=time.time_ns() // 1_000_000)
        if done.failed:
            raise RuntimeError(f"not all files came: {done.failed}")

    return work


# ── curl and DuckDB ──

_COPY = f"""
COPY (
  SELECT * EXCLUDE (filename), regexp_extract(filename, '-([0-9]+)[.]gz$', 1)::INTEGER AS revision,
    parse_filename(filename, true) AS part, '{data.ACCOUNT}' AS account,
    strftime(make_timestamp(split_part(parse_filename(filename), '.', 2)::BIGINT * 1000), '%Y-%m-%d') AS date
  FROM ({{rows}})
) TO '{{target}}' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (account, date))
"""


def _peer(scene: Scene) -> Work:
    """What someone would write who has the same key: the list, its files side by side, and one query over them."""
    import duckdb

    port, bearer = _served(scene)
    connection = duckdb.connect()
    raw, target = scene.scratch / "raw", scene.scratch / "lake" / "events"
    raw.mkdir()
    target.parent.mkdir()

    def work() -> None:
        client = HTTPConnection("127.0.0.1", port)
        client.request("GET", _LIST, headers={"Authorization": f"Bearer {bearer}"})
        files = json.loads(client.getresponse().read())["dataAccessFiles"]["file"]
        lines = [
            f'header = "Authorization: Bearer {bearer}"',
            *(f'url = "{file["@href"]}"' for file in files),
            *["remote-name"] * len(files),
        ]
        command = ["curl", "--silent", "--show-error", "--fail", "--parallel", "--output-dir", raw, "--config", "-"]
        subprocess.run(command, input="\n".join(lines), text=True, check=True)
        connection.sql(_COPY.replace("{rows}", flattened(f"{raw}/*.gz", named=True)).replace("{target}", str(target)))

    return work


# ── what they come to ──


def _rows(_: Any, scene: Scene) -> pl.DataFrame:
    """All events of the lake, in one order of columns and rows."""
    import polars as pl

    from shiftlog.lake import SCHEMA

    rows = pl.read_parquet(scene.scratch / "lake" / "events" / "**" / "*.parquet", hive_partitioning=True)
    partitions = [pl.col(name).cast(pl.String) for name in ("account", "date")]
    return rows.select(*SCHEMA, *partitions).sort("agentSessionId", "eventIndex")


def _size(_: Any, scene: Scene) -> Mapping[str, float]:
    files = [*(scene.scratch / "lake" / "events").rglob("*.parquet")]
    return {"files": len(files), "parquet_mb": sum(file.stat().st_size for file in files) / 1e6}


QUESTION = Question(
    title="Pulling a thousand files",
    text="Every file of a `shiftlog serve` into Parquet that is partitioned by account and date, over loopback with a bearer token. Both "
    "lakes have the same rows and columns. Ours proves each file by the signed manifest, checks every document, and writes a file "
    "a part, durably and in batches, so that it can be stopped at any moment; curl and DuckDB check nothing, start again where they are "
    "stopped, and write a file a date. With `--parquet`, the `.parquet` of each part is taken, which the manifest proves as well. The "
    "server shares the machine with those who pull.",
    data=_data,
    contestants=[
        Contestant(_OURS, _ours, outcome=_rows, figures=_size),
        Contestant(_QUICK, lambda scene: _ours(scene, parquet=True), outcome=_rows, figures=_size),
        Contestant(_PEER, _peer, outcome=_rows, figures=_size, needs="duckdb"),
    ],
    targets=[
        Target(
            "events a second, times those of curl and DuckDB",
            times("rate", _OURS, _PEER),
            least=2,
            missed="a file has 1 600 events, and takes 9 ms of the processor, with the server's 3 beside them, on both cores: two fifths "
            "to read its documents, a fifth to write Parquet, nearly all of it by column and not by event, and a fifth to download it. "
            "DuckDB does by column once for all files what is done here for each, and waits for no disk. Tried: more downloads side by "
            "side, which changes nothing. Not tried: reading several small files at once.",
        ),
        Target(
            "events a second with `--parquet`, times those of curl and DuckDB",
            times("rate", _QUICK, _PEER),
            least=2,
            missed="no rows are read: the pages of the columns that a lake has are copied. Of the 3 ms of the processor that a file takes, "
            "half is the download, most of that in httpx and h11, and a third copying and making the footer anew, nearly all in Python and "
            "so on one core at a time; the server takes as much again, and those who download wait for it most of the time. Tried: more "
            "downloads side by side, which changes nothing. Not tried: another HTTP client, which would save half a millisecond.",
        ),
    ],
    repetitions=3,
    warm=0,
)
