"""A list of 10 000 files: against the same bytes, as a file that nginx sends."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from data import ACCOUNT, YEAR_BEGINS, deployment, made
from measure import Contestant, Question, Scene, Target, Work, times
from server import serve, static

_PARTS, _ROUNDS = 10_000, 30
_OURS, _STATIC = "shiftlog", "nginx, a file"
_HOUR = 3_600_000


def _data(size: float) -> Path:
    return made("parts-of-a-list", size, lambda directory: _make(directory, max(1, round(_PARTS * size))))


def _make(directory: Path, count: int) -> dict[str, float]:
    return {"parts": entries(directory / "data", count)}


def entries(directory: Path, count: int) -> int:
    """A data directory whose catalog names so many parts; their files are not there, and not asked for."""
    from shiftlog.catalog import publishing
    from shiftlog.catalog.parts import NewPart
    from shiftlog.catalog.publishing import Lease, Outcome

    parts = []
    for number in range(count):
        start = YEAR_BEGINS + number * _HOUR
        key, digest = f"parts/{ACCOUNT}/{number}", f"{number:064x}"
        sizes = {"gz_bytes": 90_000, "twin_bytes": 40_000, "gz_sha256": digest, "twin_sha256": digest}
        counts = {"sessions": 60, "withdrawals": 0, "events": 2_400, "min_timestamp": start, "max_timestamp": start + _HOUR}
        keys = {"gz_key": f"{key}.gz", "twin_key": f"{key}.parquet"}
        parts.append(
            NewPart(scope_start=start, scope_end=start + _HOUR, part=0, revision=0, schema_version="1.0.0.4", **sizes, **counts, **keys)
        )
    with deployment(directory, create=True) as house:
        lease = publishing.acquire(house.catalog, ACCOUNT, "bench", 60_000, lambda _: True)
        with house.catalog.read() as conn:
            base = publishing.state(conn, ACCOUNT)
        now = house.catalog.now()
        outcome = Outcome(now, now, parts[-1].scope_end, 0, None, 0, 0, parts, {}, 0, None, 0)
        if not isinstance(lease, Lease):
            raise RuntimeError("another process holds the lease")
        publishing.commit(house.catalog, house.vault, lease, base, outcome, 0)
        publishing.release(house.catalog, lease)
    return count


def path(since: int = 0) -> str:
    """Where the list of all that was generated since (epoch ms) is asked for."""
    return f"/data_access_le/account/{ACCOUNT}/le/agentActivity?startTime={since}&endTime=99999999999999"


def _ours(scene: Scene) -> Work:
    from shiftlog.catalog import keys

    shutil.copytree(scene.data / "data", scene.scratch / "data")
    with deployment(scene.scratch / "data") as house, house.catalog.write() as conn:
        bearer = keys.create(conn, house.vault, ACCOUNT, ["read"], house.catalog.now()).bearer
    return _again(asking(serve(scene.scratch / "data"), path(), {"Authorization": f"Bearer {bearer}"}))


def _static(scene: Scene) -> Work:
    """What ours answers, kept as a file."""
    scratch = scene.scratch
    body = _fetched(_ours(scene))
    (scratch / "www").mkdir()
    (scratch / "www" / "list.json").write_bytes(body)
    return _again(asking(static(scratch / "www", scratch), "/list.json", {}))


def asking(port: int, path: str, headers: Mapping[str, str]) -> Callable[[], tuple[float, bytes]]:
    """A request over one connection: each time, how long its answer took (seconds), and the answer."""
    connection = HTTPConnection("127.0.0.1", port)

    def once() -> tuple[float, bytes]:
        start = time.perf_counter()
        connection.request("GET", path, headers=dict(headers))
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} was answered by {answer.status}: {body[:200]!r}")
        return time.perf_counter() - start, body

    return once


def _again(once: Callable[[], tuple[float, bytes]]) -> Work:
    """Many times, after one that is not counted."""
    once()
    return lambda: [once() for _ in range(_ROUNDS)]


def _fetched(work: Work) -> bytes:
    body: bytes = work()[-1][1]
    return body


def _waits(took: Sequence[tuple[float, bytes]], _: Scene) -> Mapping[str, float]:
    return {"list_ms": statistics.median(seconds for seconds, _ in took) * 1000, "mb": len(took[-1][1]) / 1e6}


def _answer(took: Any, _: Scene) -> Any:
    """How many files the list has, and how long it is."""
    import json

    import polars as pl

    body = took[-1][1]
    return pl.DataFrame({"files": [len(json.loads(body)["dataAccessFiles"]["file"])]})


QUESTION = Question(
    title="A list of 10 000 files",
    text="The whole list of the Data Access API with a bearer token, from a `shiftlog serve`, and the same bytes as a file that nginx "
    f"sends; medians of {_ROUNDS} requests over one connection, as the client waits for them.",
    data=_data,
    contestants=[
        Contestant(_OURS, _ours, outcome=_answer, figures=_waits),
        Contestant(_STATIC, _static, outcome=_answer, figures=_waits, needs="nginx"),
    ],
    targets=[
        Target(
            "time, times that of the static file",
            times("list_ms", _OURS, _STATIC),
            most=3,
            missed="a list that was sent before is sent again from memory, until a part comes or goes, which one row of the catalog "
            "tells. What is left are the commit of the audit line, and 2.8 MB that go through the event loop, where nginx has the kernel "
            "send a file. Before lists were kept it was 83 times.",
        )
    ],
    repetitions=3,
    warm=0,
)
