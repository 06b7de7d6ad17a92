"""A proxy before an S3 server, which lets through what is asked, until it is told what shall befall the next requests."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

_HOP = {"connection", "transfer-encoding", "content-length", "date", "server"}
SLOW_DOWN = b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>'


@dataclass
class Weather:
    """What befalls the next requests, in turn: `slow down` (503), `expired` (403), `lost` (it is done, and never answered), `cut` (half of
    it comes), or a number of seconds to wait. `unconditional`: what has a condition is refused (501)."""

    url: str
    coming: deque[str | float] = field(default_factory=deque)
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    unconditional: bool = False


@contextmanager
def before(upstream: str) -> Iterator[Weather]:
    """A proxy before a server."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            weather.seen.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            event = weather.coming.popleft() if weather.coming else None
            if event == "slow down":
                return self.answer(503, {}, SLOW_DOWN)
            if event == "expired":
                return self.answer(403, {}, SLOW_DOWN.replace(b"SlowDown", b"AccessDenied"))
            if weather.unconditional and "If-None-Match" in self.headers:
                return self.answer(501, {}, SLOW_DOWN.replace(b"SlowDown", b"NotImplemented"))
            if isinstance(event, float):
                time.sleep(event)
            connection = HTTPConnection(urlsplit(upstream).netloc, timeout=20)
            connection.request(self.command, self.path, body, dict(self.headers))
            response = connection.getresponse()
            content = response.read()
            connection.close()
            if event == "lost":
                self.close_connection = True
                return None
            return self.answer(response.status, dict(response.getheaders()), content, len(content) // 2 if event == "cut" else None)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on

        def answer(self, status: int, headers: dict[str, str], body: bytes, cut: int | None = None) -> None:
            self.send_response(status)
            length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
            for name, value in {**{n: v for n, v in headers.items() if n.lower() not in _HOP}, "Content-Length": length}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[:cut])
            self.close_connection = self.close_connection or cut is not None

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    weather = Weather(f"http://127.0.0.1:{server.server_port}")
    try:
        yield weather
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
