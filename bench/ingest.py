"""Events over HTTP, durable before the answer: how many a second, and how long a sender waits."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from http.client import HTTPConnection
from pathlib import Path

import data
from measure import Contestant, Question, Scene, Target, Work, of
from server import serve

_BATCH, _BODIES, _REQUESTS = 1_000, 100, 400
_SENDERS = (1, 8, 64)


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


def _prepare(scene: Scene, senders: int) -> Work:
    """A server on an empty data directory that has answered some requests; and all senders connected."""
    from shiftlog.catalog import keys

    with data.deployment(scene.scratch / "data", create=True) as house, house.catalog.write() as conn:
        bearer = keys.create(conn, house.vault, data.ACCOUNT, ["write"], house.catalog.now()).bearer
    port = serve(scene.scratch / "data")
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


def _name(senders: int) -> str:
    return "1 sender" if senders == 1 else f"{senders} senders"


QUESTION = Question(
    title="Taking events in",
    text=f"`POST …/events` with a bearer token, {_BATCH} events of NDJSON a request, to a `shiftlog serve` of its own; an answer says "
    "that the events are durable. The senders share the machine with the server, and memory is that of whichever of the two has more.",
    data=_data,
    contestants=[
        Contestant(_name(senders), lambda scene, senders=senders: _prepare(scene, senders), figures=_waits)  # type: ignore[misc]
        for senders in _SENDERS
    ],
    targets=[
        Target("a lone sender's wait, median", of(_name(1), "p50_ms"), most=8, unit="ms"),
        Target("a lone sender's wait, 99th percentile", of(_name(1), "p99_ms"), most=20, unit="ms"),
    ],
    repetitions=3,
    warm=0,
    left_out=["Not measured here: the same server writing to PostgreSQL by COPY, with one commit a batch."],
)
