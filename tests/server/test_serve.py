"""The real server on a real port: what only a socket can show."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from callers import EVENTS, LIST, signed
from requests_oauthlib import OAuth1Session

from shiftlog.catalog.keys import NewKey
from shiftlog.catalog.parts import Part
from shiftlog.errors import Invalid, Unusable
from shiftlog.house import House
from shiftlog.server import app as server

_SERVE = """
import sys
from pathlib import Path
from shiftlog.house import House
from shiftlog.server import app
house = House.open(Path(sys.argv[1]))
app.serve(house, port=int(sys.argv[2]), publish=False)
house.close()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server in a process of its own."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        arguments = [sys.executable, "-c", _SERVE, str(directory), str(self.port)]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def wait(self) -> None:
        """Return when it answers."""
        patience = time.monotonic() + 60
        while True:
            assert self.process.poll() is None
            assert time.monotonic() < patience
            try:
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)

    def stop(self, number: int = signal.SIGTERM) -> str:
        """Stop it; what it printed."""
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=60)
        return str(output, "utf-8")


@pytest.fixture
def running(house: House) -> Iterator[Server]:
    """A server of the deployment, on a port of its own."""
    started = Server(house.directory)
    try:
        started.wait()
        yield started
    finally:
        started.process.kill()
        started.process.communicate()


@pytest.fixture
def session(keys: NewKey) -> OAuth1Session:
    """requests-oauthlib, as clients in the field use it."""
    return OAuth1Session(keys.consumer_key, keys.consumer_secret, keys.token, keys.token_secret)


def test_a_signed_client_lists_and_downloads(house: House, published: Sequence[Part], running: Server, session: OAuth1Session):
    """GET with a JSON content type and the body `{}`, `@href` as given, over connections that are kept open."""
    options = {"headers": {"Content-Type": "application/json"}, "data": "{}"}
    listed = session.get(f"{running.url}{LIST}", params={"startTime": "0", "endTime": "99999999999999"}, **options).json()
    for file, part in zip(listed["dataAccessFiles"]["file"], published, strict=True):
        answer = session.get(file["@href"], **options)
        assert (answer.status_code, answer.content) == (200, house.store.get(part.gz_key))
        assert answer.headers["ETag"] == f'"{part.gz_sha256}"'
        assert "Content-Encoding" not in answer.headers
        head = session.head(file["@href"])
        assert (head.headers["Content-Length"], head.content) == (str(part.gz_bytes), b"")
        some = session.get(file["@href"], headers={"Range": "bytes=3-7"})
        assert (some.status_code, some.content) == (206, answer.content[3:8])
        assert session.get(file["@href"], headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304


def test_a_path_is_signed_as_it_was_sent(running: Server, keys: NewKey):
    """Percent-encoded bytes reach the check as they came; normalised, they would be another URL."""
    url = f"{running.url}/data_access_le/account/%41/le/agentActivity?startTime=%30&x=a+b"
    request = httpx.Request("GET", url, headers=signed(keys, url))
    with httpx.Client() as client:
        assert client.send(request).json()["error"]["internalCode"] == 21


def test_a_request_that_was_accepted_is_answered_before_the_server_ends(running: Server, keys: NewKey):
    """SIGTERM before a request's body: the body is taken, the answer is sent, and the process ends well."""
    body = b'{"agentID":1,"timestamp":1465992202047}'
    head = f"POST {EVENTS} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {keys.bearer}\r\nContent-Type: application/x-ndjson\r\n"
    with socket.create_connection(("127.0.0.1", running.port), timeout=60) as client:
        client.sendall(f"{head}Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n".encode())
        assert client.recv(1_000).startswith(b"HTTP/1.1 100 Continue")
        running.process.send_signal(signal.SIGTERM)
        while listens(running.port):
            time.sleep(0.05)
        client.sendall(body)
        answer = b"".join(iter(lambda: client.recv(10_000), b""))
    running.process.communicate(timeout=60)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b'{"accepted":1}')
    assert running.process.returncode == 0


def listens(port: int) -> bool:
    """Whether new connections are taken."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_quietly_with_its_connections_open(running: Server, number: int):
    """Idle connections hold nothing up, and nothing is printed but its log lines."""
    with httpx.Client() as client:
        client.get(f"{running.url}/healthz")
        output = running.stop(number)
    assert running.process.returncode == 0
    assert "Traceback" not in output


def test_a_body_too_large_is_refused_while_it_is_sent(running: Server, keys: NewKey):
    """The sender reads the answer, and not a broken connection."""
    headers = {"Authorization": f"Bearer {keys.bearer}", "Content-Type": "application/x-ndjson"}
    answer = httpx.post(f"{running.url}{EVENTS}", content=b" " * 40_000_000, headers=headers, timeout=60)
    assert (answer.status_code, answer.json()["error"]["internalCode"]) == (413, 30)


def test_a_port_in_use_is_one_clear_error(house: House, running: Server):
    """Before anything was started."""
    with pytest.raises(Unusable, match=rf"127\.0\.0\.1:{running.port} cannot be listened on: Address already in use"):
        server.serve(house, port=running.port)


def test_an_address_that_is_not_ours_is_one_clear_error(house: House):
    """So is a certificate that is not there, and a public URL that is none."""
    with pytest.raises(Unusable, match="cannot be listened on"):
        server.serve(house, host="192.0.2.1")
    with pytest.raises(Unusable, match="certificate"):
        server.serve(house, port=free_port(), tls_cert=Path("none.pem"), tls_key=Path("none.key"))
    with pytest.raises(Invalid, match="public URL"):
        server.serve(house, public_url="da.example.net")
