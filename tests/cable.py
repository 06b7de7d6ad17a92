"""The cable between a program and a server, which tests cut where it hurts: at a COMMIT, before or after it arrived."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

#: What psycopg sends for it. Without the zero it would be found in READ COMMITTED, too.
COMMIT = b"COMMIT\0"


class Cable:
    """Carries connections to a server on this machine, until it is cut."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._cuts: list[tuple[bytes, bytes, bool]] = []
        self.cut = 0  # how often it was
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_at(self, word: bytes, *, arrives: bool, after: bytes = b"") -> None:
        """Cut the next connection on which a program sends this word, after another; `arrives`: the server hears it, and only its
        answer is lost."""
        self._cuts.append((after, word, arrives))

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listening.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._to))
                except ConnectionRefusedError:  # so is the client's
                    client.close()
                    continue
                threading.Thread(target=self._carry, args=(client, server), daemon=True).start()
                threading.Thread(target=self._carry_back, args=(client, server), daemon=True).start()

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        said = b""  # since the last COMMIT
        with suppress(OSError):
            while data := client.recv(1 << 16):
                said += data
                if self._cuts and self._cuts[0][0] in said and self._cuts[0][1] in data:
                    _, _, arrives = self._cuts.pop(0)
                    self.cut += 1
                    client.shutdown(socket.SHUT_RDWR)
                    if not arrives:
                        break
                    server.sendall(data)
                    # It hears that it is alone only after what was said before that.
                    server.shutdown(socket.SHUT_WR)
                    return
                server.sendall(data)
                if COMMIT in data:
                    said = b""
        _hang_up(client, server)

    @staticmethod
    def _carry_back(client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                with suppress(OSError):
                    client.sendall(data)
        _hang_up(client, server)


def _hang_up(*ends: socket.socket) -> None:
    """Not closed only: a thread may wait at it, and it would stay open as long."""
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def cable(url: str) -> Iterator[tuple[Cable, str]]:
    """A cable to the server of a URL, and the URL by which a program uses it."""
    port = urlsplit(url).port
    assert port is not None
    laid = Cable(port)
    yield laid, url.replace(f":{port}", f":{laid.port}")
    laid.close()
