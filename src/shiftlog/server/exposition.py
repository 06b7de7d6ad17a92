"""The numbers of a process that serves nothing else, such as a publisher, for Prometheus: `/metrics` on a port of its own."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from threading import Thread
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, generate_latest

from shiftlog.errors import ShiftlogError, Unusable
from shiftlog.server.monitor import EXPOSITION

log = structlog.get_logger()

_PATIENCE = 10.0  # seconds that who asks may take for each step


@contextmanager
def exposed(registry: CollectorRegistry, host: str, port: int) -> Iterator[None]:
    """Answer GET /metrics for as long as the block runs: with 503 while the catalog cannot be asked, as a server does.

    Raises:
        Unusable: the port cannot be had.
    """
    try:
        address: Any
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        server = _server(family, registry)(address, _Handler)
    except OSError as error:
        raise Unusable(f"{host}:{port} cannot be listened on: {error.strerror}; choose another with --metrics-port") from None
    thread = Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    log.info("metrics.started", host=host, port=port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    registry: CollectorRegistry

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asked has gone, and will ask again; all else is a fault of ours."""
        error = sys.exception()
        if not isinstance(error, OSError):
            log.error("failed", what="metrics", exc_info=error)


def _server(family: int, registry: CollectorRegistry) -> type[_Server]:
    return type("_Server", (_Server,), {"address_family": family, "registry": registry})


class _Handler(BaseHTTPRequestHandler):
    timeout = _PATIENCE
    server: _Server

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            return self._answer(HTTPStatus.NOT_FOUND, b"there is only /metrics\n")
        try:
            text = generate_latest(self.server.registry)
        except ShiftlogError as error:
            return self._answer(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}\n".encode())
        self._answer(HTTPStatus.OK, text, EXPOSITION)

    def _answer(self, status: HTTPStatus, body: bytes, media_type: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: whoever watches asks every few seconds."""
