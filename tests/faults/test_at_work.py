"""Faults that meet a server at work: the real one, asked over a socket."""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import httpx
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from client.servers import running
from disks import failing_disk, make_read_only, make_writable, small_disk
from faults.test_faults import check_published, pieces
from readers import all_parts, land
from server.callers import EVENTS, LIST
from shiftlog.catalog import accounts, publishing
from shiftlog.catalog import keys as catalog_keys
from shiftlog.catalog.keys import NewKey
from shiftlog.events import SENT
from shiftlog.house import House
from shiftlog.settings import Settings
from shiftlog.simulate import Simulation


def opened(directory: Path) -> House:
    return House.open(directory, create=True, settings=Settings(lead_milliseconds=0))


def new_key(house: House) -> NewKey:
    with house.catalog.write() as conn:
        accounts.ensure(conn, "A", house.catalog.now(), house.settings)
        return catalog_keys.create(conn, house.vault, "A", ["read", "write"], house.catalog.now())


@contextmanager
def serving(house: House, key: NewKey) -> Iterator[httpx.Client]:
    with running(house) as url, httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key.bearer}"}, timeout=30) as client:
        yield client


def lines(piece: pl.DataFrame) -> str:
    """Events as a producer sends them."""
    rows = piece.select(SENT.keys()).to_dicts()
    return "\n".join(json.dumps({name: value for name, value in row.items() if value is not None}) for row in rows)


def post(client: httpx.Client, piece: pl.DataFrame) -> httpx.Response:
    return client.post(EVENTS, content=lines(piece), headers={"Content-Type": "application/x-ndjson"})


def raw(client: httpx.Client, start: str, body: bytes = b"", length: int = 0) -> socket.socket:
    """A connection on which a request was sent, or some of it."""
    url = client.base_url
    connection = socket.create_connection((url.host, url.port or 80), 10)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closed without a good-bye
    head = [f"{start} HTTP/1.1", f"Host: {url.host}:{url.port}", f"Authorization: {client.headers['Authorization']}"]
    head += ["Content-Type: application/x-ndjson", f"Content-Length: {length or len(body)}", "", ""]
    connection.sendall("\r\n".join(head).encode() + body)
    return connection


@pytest.mark.parametrize("abruptly", [False, True])
def test_a_connection_that_breaks_in_a_body(house: House, keys: NewKey, day: Simulation, abruptly: bool):
    """Nothing of it is taken, though what came are whole lines."""
    with serving(house, keys) as client:
        for piece in pieces(day):
            body = lines(piece).encode()
            with raw(client, f"POST {EVENTS}", body[: body.index(b"\n", len(body) // 2) + 1], len(body)) as connection:
                if not abruptly:
                    connection.shutdown(socket.SHUT_WR)
                    assert b" 200 " not in connection.recv(1_000)
        assert [post(client, piece).status_code for piece in pieces(day)] == [200] * 6
    with house.catalog.read() as conn:
        assert publishing.state(conn, "A").landed == 6
    check_published(house, day)


def test_a_connection_that_breaks_before_the_answer(house: House, keys: NewKey, day: Simulation):
    """What came whole may have been taken; sent again it is known."""
    with serving(house, keys) as client:
        for piece in pieces(day):
            raw(client, f"POST {EVENTS}", lines(piece).encode()).close()
            assert post(client, piece).status_code == 200
    check_published(house, day)


def test_a_connection_that_breaks_in_a_download(house: House, keys: NewKey, day: Simulation):
    """The next one gets all of it."""
    for piece in pieces(day):
        land(house, piece.select(SENT.keys()))
    check_published(house, day)
    with serving(house, keys) as client:
        for part in all_parts(house):
            for _ in range(8):
                with raw(client, f"GET {LIST}/{part.name}.gz") as connection:
                    assert connection.recv(100).startswith(b"HTTP/1.1 200")
            whole = client.get(f"{LIST}/{part.name}.gz", headers={"Accept-Encoding": "identity"})
            assert sha256(whole.read()).hexdigest() == part.gz_sha256


def test_objects_that_turn_read_only_at_work(day: Simulation, tmp_path: Path):
    """Refused, with a time to come again; once they can be written, the same server goes on."""
    (tmp_path / "data").mkdir(mode=0o700)
    with small_disk(tmp_path / "data" / "objects", "16m") as disk:
        house = opened(tmp_path / "data")
        with serving(house, new_key(house)) as client:
            first, second, *others = pieces(day)
            assert post(client, first).status_code == 200
            make_read_only(disk)
            refused = post(client, second)
            assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (503, True), refused.text
            assert "read-only" in refused.json()["error"]["message"].lower()
            assert client.get("/readyz").status_code == 503
            make_writable(disk)
            assert [post(client, piece).status_code for piece in (second, *others)] == [200] * 5
            assert client.get("/readyz").status_code == 200
        check_published(house, day)
        house.close()


def test_a_disk_that_fails_at_work(day: Simulation, tmp_path: Path):
    """Every write fails, of objects and of the catalog; what was acknowledged is there when the disk is mended."""
    with failing_disk(tmp_path / "disk") as disk:
        house = opened(disk.place / "data")
        key = new_key(house)
        house.close()
        first, second, *others = pieces(day)
        with serving(house, key) as client:
            assert post(client, first).status_code == 200
            disk.fail()
            refused = post(client, second)
            assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (503, True), refused.text
            assert client.get("/readyz").status_code == 503
        disk.mend()
        house = opened(disk.place / "data")
        with serving(house, key) as client:
            assert [post(client, piece).status_code for piece in (second, *others)] == [200] * 5
        check_published(house, day)
        house.close()
