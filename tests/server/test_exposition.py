"""A publisher that serves nothing else shows its numbers on a port of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from test_serve import free_port

from readers import all_parts, land
from scenes import HOUR, login, logout, sent
from shiftlog.errors import Later, Unusable
from shiftlog.house import House
from shiftlog.server.exposition import exposed
from shiftlog.server.monitor import Monitor

SHIFTLOG = str(Path(sys.executable).with_name("shiftlog"))


@pytest.fixture
def publisher(house: House) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """`shiftlog publish --watch` with the option: the address of its numbers, and the process."""
    port = free_port()
    words = [SHIFTLOG, "publish", "--watch", "--data", str(house.directory), "--metrics-port", str(port)]
    process = subprocess.Popen(words, env={**os.environ, "SHIFTLOG_LEAD_MILLISECONDS": "0"}, stderr=subprocess.PIPE)
    yield f"http://127.0.0.1:{port}", process
    process.kill()
    process.communicate()


def numbers(url: str) -> dict[str, float]:
    """The samples as Prometheus would take them; nothing where nobody answers yet."""
    try:
        answer = httpx.get(f"{url}/metrics", timeout=30)
    except httpx.TransportError:
        return {}
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = (line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def test_a_publisher_counts_what_it_published(house: House, account: str, publisher: tuple[str, subprocess.Popen[bytes]]):
    """Parts, failures, takeovers and lag stand where an alarm can be made of them, and the process ends when it is told to."""
    url, process = publisher
    start = house.catalog.now() - 5 * HOUR
    land(house, sent(login(start), logout(start + 1)), account)
    patience = time.monotonic() + 60
    while not (found := numbers(url)).get("shiftlog_parts_published_total"):
        assert time.monotonic() < patience
        assert process.poll() is None
        time.sleep(0.05)
    assert found["shiftlog_parts_published_total"] == len(all_parts(house)) == 1
    assert found["shiftlog_publish_failures_total"] == found["shiftlog_lease_takeovers_total"] == 0
    assert found["shiftlog_waiting_batches"] == 0
    assert 0 < found["shiftlog_watermark_lag_seconds"] < 7_200
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_only_the_numbers_are_served(house: House):
    """Whatever else is asked for is not there."""
    port = free_port()
    with exposed(Monitor(house).registry, "127.0.0.1", port):
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 404
        assert httpx.get(f"http://127.0.0.1:{port}/metrics?name=x").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/metrics")


def test_a_catalog_that_does_not_answer_is_told_as_a_server_tells_it(house: House, monkeypatch: pytest.MonkeyPatch):
    """503: so that an alarm on what cannot be scraped is raised, and the port answers again afterwards."""
    port, away = free_port(), True
    real = type(house.catalog).read

    def read(self: object) -> object:
        if away:
            raise Later("the catalog does not answer")
        return real(house.catalog)

    monkeypatch.setattr(type(house.catalog), "read", read)
    with exposed(Monitor(house).registry, "127.0.0.1", port):
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics")
        assert (answer.status_code, answer.text) == (503, "the catalog does not answer\n")
        away = False
        assert httpx.get(f"http://127.0.0.1:{port}/metrics").status_code == 200


def test_a_port_that_is_taken_is_named(house: House):
    """And how another is chosen."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with (
            pytest.raises(Unusable, match=f"127.0.0.1:{port} cannot be listened on: .*--metrics-port"),
            exposed(Monitor(house).registry, "127.0.0.1", port),
        ):
            pass
