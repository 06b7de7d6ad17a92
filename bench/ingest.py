"""Events over HTTP, durable before the answer: against the same server with PostgreSQL's COPY behind it."""

from __future__ import annotations

import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

import data
from measure import Contestant, Question, Scene, Target, Work, of, times
from server import postgresql, serve

if TYPE_CHECKING:
    import polars as pl

_BATCH, _BODIES, _REQUESTS = 1_000, 100, 400
_SENDERS = (1, 8, 64)
_PEER = "PostgreSQL COPY"


# ── the data ──


def _data(size: float) -> Path:
    return data.made("bodies", size, lambda directory: _make(directory, max(1, round(_REQUESTS * size))))


def _make(directory: Path, requests: int) -> dict[str, float]:
    """Bodies of 1 000 events each, as NDJSON, which are sent by turns."""
    from shiftlog.simulate import to_ndjson

    events = data.events(int(_BODIES * _BATCH * 1.1))[: _BODIES * _BATCH]
    for number, piece in enumerate(events.iter_slices(_BATCH)):
        (directory / f"{number}.ndjson").write_bytes(to_ndjson(piece))
    return {"events": requests * _BATCH, "requests": requests}


# ── the server, and those who send to it ──


def _ours(scene: Scene, senders: int) -> Work:
    return _prepare(scene, senders, serve(_deployment(scene)))


def _peer(scene: Scene, senders: int) -> Work:
    import copying

    scene.scratch.chmod(0o711)  # its user has to reach its directory
    url = os.environ[copying.URL] = postgresql(scene.scratch / "postgresql")
    copying.make(url)
    return _prepare(scene, senders, serve(_deployment(scene), [sys.executable, copying.__file__]))


def _deployment(scene: Scene) -> Path:
    with data.deployment(scene.scratch / "data", create=True):
        return scene.scratch / "data"


def _prepare(scene: Scene, senders: int, port: int) -> Work:
    """All senders connected to a server that has answered some requests."""
    from shiftlog.catalog import keys

    with data.deployment(scene.scratch / "data") as house, house.catalog.write() as conn:
        bearer = keys.create(conn, house.vault, data.ACCOUNT, ["write"], house.catalog.now()).bearer
    bodies = [file.read_bytes() for file in scene.data.glob("*.ndjson")]
    requests = int(json.loads((scene.data / "facts.json").read_text())["requests"])
    connections = [HTTPConnection("127.0.0.1", port) for _ in range(senders)]
    for connection in connections:
        _send(connection, bearer, bodies[:20] if senders == 1 else bodies[:2])

    def work() -> list[float]:
        queue = iter([bodies[number % len(bodies)] for number in range(requests)])
        each: list[list[float]] = [[] for _ in connections]
        threads = [
            threading.Thread(target=lambda connection, took: took.extend(_send(connection, bearer, queue)), args=pair)
            for pair in zip(connections, each, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = [seconds for some in each for seconds in some]
        if len(took) != requests:
            raise RuntimeError(f"{requests - len(took)} of {requests} requests were not answered")
        return took

    return work


def _send(connection: HTTPConnection, bearer: str, bodies: Iterable[bytes]) -> list[float]:
    """Send one after the other; how long each took to be answered, in seconds."""
    headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/x-ndjson"}
    took = []
    for body in bodies:
        start = time.perf_counter()
        connection.request("POST", f"/api/v1/accounts/{data.ACCOUNT}/events", body, headers)
        answer = connection.getresponse()
        text = answer.read()
        took.append(time.perf_counter() - start)
        if json.loads(text).get("accepted") != _BATCH:
            raise RuntimeError(f"the server answered {answer.status}: {text[:300]!r}")
    return took


def _waits(took: Sequence[float], _: Scene) -> Mapping[str, float]:
    cuts = statistics.quantiles(took, n=100)
    return {"p50_ms": statistics.median(took) * 1000, "p99_ms": cuts[98] * 1000}


# ── what has landed ──


def _landed(scene: Scene) -> pl.DataFrame:
    from shiftlog import landing
    from shiftlog.catalog import batches
    from shiftlog.events import SENT

    with data.deployment(scene.scratch / "data") as house, house.catalog.read() as conn:
        return _once(landing.read(house.store, batches.after(conn, data.ACCOUNT, 0)).select(SENT.keys()))


def _copied() -> pl.DataFrame:
    import copying

    return _once(copying.landed(os.environ[copying.URL]))


def _once(events: pl.DataFrame) -> pl.DataFrame:
    """Each event once: bodies are sent by turns, and to begin with, as often as there are senders."""
    return events.unique().sort("agentID", "timestamp", "eventId")


def _name(senders: int) -> str:
    return "1 sender" if senders == 1 else f"{senders} senders"


def _contestants(senders: int) -> list[Contestant]:
    return [
        Contestant(_name(senders), lambda scene: _ours(scene, senders), outcome=lambda _, scene: _landed(scene), figures=_waits),
        Contestant(
            f"{_PEER}, {_name(senders)}", lambda scene: _peer(scene, senders), outcome=lambda *_: _copied(), figures=_waits, needs="psycopg"
        ),
    ]


_MANY = _name(_SENDERS[-1])

QUESTION = Question(
    title="Taking events in",
    text=f"`POST …/events` with a bearer token, {_BATCH} events of NDJSON a request, to a `shiftlog serve` of its own; an answer says "
    "that the events are durable. The senders share the machine with the server, and memory is that of whichever of the two has more. "
    "PostgreSQL COPY is the same server, with the same checks of each event, which writes them to a table without an index on a "
    "PostgreSQL that waits for the same disk: by COPY of CSV that Polars writes, with one commit a request, over eight connections. "
    "It does not ask whose the session ids are, its line in the audit log is a commit of its own, and its memory is without PostgreSQL's. "
    "The events are spelled plainly and have an `eventId`: others are read by the exact reader, four times as slow.",
    data=_data,
    contestants=[one for senders in _SENDERS for one in _contestants(senders)],
    targets=[
        Target(
            "a lone sender's wait, median",
            of(_name(1), "p50_ms"),
            most=8,
            unit="ms",
            missed="of what a request waits for in the server (seen on a busy machine), a third is the commit in the catalog, a quarter "
            "the object's file, a fifth writing its Parquet, a tenth reading the events; three of these waits are for the disk, and"
            " the rest is HTTP and the ways between threads. Before, it was 14 ms. Done: one commit for the events and their audit "
            "line; owners and rules found out by the commit and not asked for before; events read by a compiled kernel; no "
            "framework on the way. Tried: the thread that reads the events hands them on by itself, which could not be told from "
            "the noise. Not tried: Parquet without Polars' engine, whose threads take more than the bytes do.",
        ),
        Target("a lone sender's wait, 99th percentile", of(_name(1), "p99_ms"), most=20, unit="ms"),
        Target(f"events a second of {_MANY}, times those of COPY", times("rate", _MANY, f"{_PEER}, {_MANY}"), least=1.5),
        Target(f"99th percentile of {_MANY}' waits, times that of COPY", times("p99_ms", _MANY, f"{_PEER}, {_MANY}"), most=1),
    ],
    repetitions=3,
    warm=0,
)
