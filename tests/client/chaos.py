"""A proxy that does to a connection what networks do: cuts, delays, corrupts, and answers in place of the server."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


class Chaos:
    """What befalls a request, drawn from a seed: nothing with the chance `calm`, else one of the others."""

    def __init__(self, seed: int, calm: float = 0.5) -> None:
        self._random, self._lock, self.calm = random.Random(seed), threading.Lock(), calm
        self.counts: dict[str, int] = {}

    def draw(self, is_file: bool) -> tuple[str, float]:
        kinds = ["refuse", "503", "500", "429", "cut", "delay", "html"] + (["corrupt", "short"] if is_file else [])
        with self._lock:
            kind = "calm" if self._random.random() < self.calm else self._random.choice(kinds)
            self.counts[kind] = self.counts.get(kind, 0) + 1
            return kind, self._random.random()


@contextmanager
def proxied(upstream: str, chaos: Chaos) -> Iterator[str]:
    """A proxy before a server; gives its URL, by which the server believes to be called."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20

        def do_GET(self) -> None:
            self.close_connection = True
            kind, share = chaos.draw("/Agent." in self.path)
            if kind == "refuse":
                return
            if kind in ("503", "500", "429"):
                return self.answer(int(kind), {"Retry-After": "0", "Content-Type": "text/plain"}, b"chaos")
            if kind == "html":
                return self.answer(502, {"Content-Type": "text/html"}, b"<h1>Bad gateway</h1>")
            if kind == "delay":
                time.sleep(share * 0.05)
            status, headers, body = self.asked()
            if kind == "corrupt" and body and status in (200, 206):
                place = int(len(body) * share)
                body = body[:place] + bytes([body[place] ^ 0xFF]) + body[place + 1 :]
            if kind == "short":  # a length that is a lie, and nobody to tell
                body = body[: int(len(body) * share)]
            cut = int(len(body) * share) if kind == "cut" else len(body)
            return self.answer(status, headers, body, cut)

        def asked(self) -> tuple[int, dict[str, str], bytes]:
            connection = HTTPConnection(urlsplit(upstream).netloc, timeout=20)
            connection.request("GET", self.path, headers=dict(self.headers))
            response = connection.getresponse()
            body = response.read()
            connection.close()
            return response.status, {name: value for name, value in response.getheaders() if name.lower() not in _HOP}, body

        def answer(self, status: int, headers: dict[str, str], body: bytes, cut: int | None = None) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body)), "Connection": "close"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[:cut])

        def log_message(self, *_: object) -> None:
            pass

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except (OSError, HTTPException):  # the client is gone, or the server is
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
