"""Servers for clients to ask: shiftlog's in this process, the original service as it is documented, and any ASGI application."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
from anyio.from_thread import start_blocking_portal

from client.seed import SeedServer
from shiftlog.catalog.keys import NewKey
from shiftlog.client import Client, Profile
from shiftlog.client.patience import Patience
from shiftlog.house import House
from shiftlog.server.app import create_app

URL = "http://da.example.net"
SHIFTLOG = str(Path(sys.executable).with_name("shiftlog"))


class Bridge(httpx.BaseTransport):
    """Takes the requests of a synchronous client to an ASGI application in this process."""

    def __init__(self, app: Any) -> None:
        self._starting = start_blocking_portal()
        self._portal = self._starting.__enter__()
        self._inner = httpx.ASGITransport(app)
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._portal.call(self._ask, request)

    async def _ask(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        return httpx.Response(response.status_code, headers=response.headers, stream=httpx.ByteStream(await response.aread()))

    def close(self) -> None:
        self._starting.__exit__(None, None, None)


def profile(key: NewKey, url: str = URL) -> Profile:
    """The profile of a key, with all its values."""
    return Profile(url, key.account, key.consumer_key, key.consumer_secret, key.token, key.token_secret, key.bearer)


def hasty(attempts: int = 4) -> Patience:
    """Patience that does not sleep."""
    return Patience(attempts=attempts, sleep=lambda _: None)


@contextmanager
def shiftlog_client(house: House, key: NewKey, patience: Patience | None = None) -> Iterator[Client]:
    """A client of a deployment in this process."""
    app = create_app(house, publish=False)
    app.state.services.start()
    try:
        with Client(profile(key), transport=Bridge(app), patience=patience or hasty()) as client:
            yield client
    finally:
        app.state.services.stop()


@contextmanager
def seed_client(server: SeedServer, patience: Patience | None = None) -> Iterator[Client]:
    """A client of a server that has the seed's three resources only."""
    with Client(server.profile(), transport=Bridge(server), patience=patience or hasty()) as client:
        yield client


def answering(*answers: httpx.Response | Exception, then: Callable[[httpx.Request], httpx.Response] | None = None) -> httpx.MockTransport:
    """A transport that gives these answers, one after the other, and from then on what `then` gives."""
    left = list(answers)

    def handle(request: httpx.Request) -> httpx.Response:
        if not left:
            assert then is not None, f"one more request than expected: {request.method} {request.url}"
            return then(request)
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return httpx.MockTransport(handle)


def query(request: httpx.Request) -> dict[str, str]:
    """The parameters of a request."""
    return {name: values[0] for name, values in parse_qs(request.url.query.decode()).items()}


@contextmanager
def running(house: House, port: int | None = None, log: Path | None = None) -> Iterator[str]:
    """`shiftlog serve` as a process of its own, which logs to a file or to this process's standard error; gives its URL."""
    port = port or free_port()
    command = [SHIFTLOG, "serve", "--data", str(house.directory), "--port", str(port), "--no-publish"]
    with ExitStack() as files:
        lines = None if log is None else files.enter_context(log.open("wb"))
        process = subprocess.Popen(command, env={**os.environ, "SHIFTLOG_LEAD_MILLISECONDS": "0"}, stderr=lines)
    try:
        _wait(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"the server ended with {process.returncode}")


def lake_files(directory: Path) -> dict[str, bytes]:
    """Every file of a lake by its path, but for the snapshot, the lock and what is not in it."""
    there = [*(directory / "events").rglob("*"), *(directory / "raw").rglob("*")]
    return {str(path.relative_to(directory)): path.read_bytes() for path in there if path.is_file()}
