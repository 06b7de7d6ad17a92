"""While some do what they can to keep the server busy, the others are answered."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from attackers import Attack, Target, bomb, bombing, idling, shouting, under, writing_slowly
from callers import EVENTS, LIST

from client.servers import SHIFTLOG, free_port
from scenes import T0, login
from shiftlog.catalog import keys as catalog_keys
from shiftlog.catalog.keys import NewKey
from shiftlog.catalog.parts import Part
from shiftlog.house import House

_DESCRIPTORS = 3_072  # what the server's process may have here
_MEMORY = 400  # MB that an attack may cost at most: that of requests under way, and no more
_PATIENCE = 10.0  # seconds: who waits longer is not answered


@dataclass(frozen=True, slots=True)
class Running:
    """A server in a process of its own."""

    process: subprocess.Popen[bytes]
    port: int

    def memory(self) -> float:
        """The most that was resident so far, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def asked(self, key: NewKey, seconds: float) -> list[float]:
        """Lists and posts of a client with this key, one after the other, for so long: how long each took, in ms."""
        took = []
        until = time.monotonic() + seconds
        with httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", timeout=_PATIENCE, headers={"Authorization": f"Bearer {key.bearer}"}
        ) as client:
            while time.monotonic() < until or len(took) < 10:
                now = time.perf_counter()
                if len(took) % 2:
                    answer = client.get(LIST, params={"startTime": "0", "endTime": "99999999999999"})
                else:
                    event = json.dumps(login(T0 + len(took)))
                    answer = client.post(EVENTS, content=event, headers={"Content-Type": "application/x-ndjson"})
                took.append((time.perf_counter() - now) * 1000)
                assert answer.status_code == 200, answer.text
        return took


def _few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))


@pytest.fixture
def server(house: House, published: Sequence[Part]) -> Iterator[Running]:
    """A server with published files, as `shiftlog serve` runs it."""
    port = free_port()
    command = [SHIFTLOG, "serve", "--data", str(house.directory), "--port", str(port), "--no-publish"]
    log = house.directory.parent / "log"
    with log.open("wb") as lines:
        environment = {**os.environ, "SHIFTLOG_LEAD_MILLISECONDS": "0"}
        process = subprocess.Popen(command, env=environment, stderr=lines, preexec_fn=_few_descriptors)
    try:
        while True:
            assert process.poll() is None, log.read_text()
            try:
                if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.05)
        yield Running(process, port)
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def bearers(house: House, keys: NewKey) -> list[str]:
    """Of the attackers, who have keys."""
    with house.catalog.write() as conn:
        return [catalog_keys.create(conn, house.vault, keys.account, ["write"], house.catalog.now()).bearer for _ in range(16)]


@pytest.fixture(scope="module")
def packed() -> bytes:
    return bomb()


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    """As many as there may be, for the attackers are of this process."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


# What is attacked with, by how many connections, and what may come of each.
ATTACKS = {
    "a gzip of 1 MB that holds 1 GB": (8, {"413", "429", "503", "cut"}),
    "idle connections, a third of the descriptors": (_DESCRIPTORS // 3, {"held", "cut"}),
    "1 000 bodies that come byte by byte": (1_000, {"held", "408", "429", "503", "cut"}),
    "headers of 1 MB": (32, {"431", "400", "cut"}),
}


def _attack(name: str, packed: bytes) -> Attack:
    return dict(zip(ATTACKS, (bombing(packed), idling, writing_slowly, shouting), strict=True))[name]


@pytest.mark.parametrize("seconds", [2, pytest.param(30, marks=pytest.mark.soak)])
@pytest.mark.parametrize("name", ATTACKS)
def test_others_are_answered_meanwhile(server: Running, keys: NewKey, bearers: list[str], packed: bytes, name: str, seconds: float):
    """Every request of theirs, with an answer that is right, in bounded memory; and afterwards all is as before."""
    connections, expected = ATTACKS[name]
    calm = server.asked(keys, 1)
    before = server.memory()
    with under(_attack(name, packed), Target(server.port, bearers, EVENTS), connections) as outcomes:
        took = server.asked(keys, seconds)
    assert outcomes.total() >= connections
    assert set(outcomes) <= expected
    assert server.memory() - before < _MEMORY
    server.asked(keys, 0.5)
    _tell(name, connections, calm, took, server.memory() - before, outcomes)


def _tell(name: str, connections: int, calm: list[float], took: list[float], memory: float, outcomes: dict[str, int]) -> None:
    """The figures, for who runs this with `-s`: SECURITY.md has those of the long form."""
    p99 = statistics.quantiles(took, n=100)[98]
    print(
        f"\n| {name} | {connections:,} | {statistics.median(calm):.1f} ms | {statistics.median(took):.1f} ms | {p99:.1f} ms "
        f"| {memory:.0f} MB | {', '.join(f'{number:,} × {what}' for what, number in sorted(outcomes.items()))} |"
    )
