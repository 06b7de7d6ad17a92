"""A `shiftlog serve` of a data directory, nginx with files, and PostgreSQL, for those who ask them things."""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path

from data import ROOT


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(directory: Path, program: Sequence[str] = (str(Path(sys.executable).with_name("shiftlog")),)) -> int:
    """The port of a new server that publishes nothing by itself, and ends with this process."""
    port = free_port()
    return _started([*program, "serve", "--data", str(directory), "--port", str(port), "--no-publish"], port, "/readyz", 200)


def postgresql(directory: Path) -> str:
    """The URL of a new PostgreSQL that waits for its disk, and ends with this process."""
    script = str(ROOT / "scripts" / "postgresql.sh")
    started = subprocess.run(
        [script, "start", directory], env={**os.environ, "DURABLE": "1"}, stdout=subprocess.PIPE, text=True, check=True
    )
    atexit.register(subprocess.run, [script, "remove", directory], check=True)
    return started.stdout.strip().replace("+psycopg", "")


def static(directory: Path, scratch: Path) -> int:
    """The port of an nginx that sends the files of a directory, with sendfile, and ends with this process."""
    port, where = free_port(), scratch.absolute()
    (where / "nginx.conf").write_text(
        f"worker_processes 1; daemon off; pid {where}/nginx.pid; error_log {where}/error.log; user root;"
        "events {} http { sendfile on; tcp_nopush on; access_log off; default_type application/octet-stream; keepalive_requests 1000000;"
        f"server {{ listen 127.0.0.1:{port}; root {directory.absolute()}; }} }}"
    )
    return _started(["nginx", "-p", str(where), "-c", str(where / "nginx.conf")], port, "/", 403)


def _started(command: Sequence[str], port: int, path: str, status: int) -> int:
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    atexit.register(_stop, server)
    for _ in range(600):
        try:
            connection = HTTPConnection("127.0.0.1", port)
            connection.request("GET", path)
            if connection.getresponse().status == status:
                return port
        except ConnectionError:
            time.sleep(0.05)
    raise RuntimeError(f"{command[0]} did not become ready within 30 s")


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    server.wait()
