"""A `shiftlog serve` of a data directory, for those who ask it things."""

from __future__ import annotations

import atexit
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(directory: Path) -> int:
    """The port of a new server that publishes nothing by itself, and ends with this process."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("shiftlog")), "serve", "--data", str(directory), "--port", str(port), "--no-publish"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    atexit.register(_stop, server)
    for _ in range(600):
        try:
            connection = HTTPConnection("127.0.0.1", port)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return port
        except ConnectionError:
            time.sleep(0.05)
    raise RuntimeError("the server did not become ready within 30 s")


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    server.wait()
