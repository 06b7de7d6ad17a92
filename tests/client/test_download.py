"""Downloads: as many pieces as the network allows, and one file in the end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.servers import answering, hasty
from shiftlog.client import Client, Profile
from shiftlog.client.answers import File
from shiftlog.errors import Damaged, Gone, Later, Unusable
from shiftlog.names import PartName

NAME = PartName(1466078400000, 1466082000000, 0, 0)
FILE = File(NAME, f"https://da.example.net/data_access_le/account/A/le/agentActivity/{NAME}.gz")
DATA = bytes(range(256)) * 40


class Cut(httpx.SyncByteStream):
    """A body that breaks off."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __iter__(self) -> Iterator[bytes]:
        yield self.data
        raise httpx.ReadError("the connection was reset")


class FileServer:
    """Serves one file, with ETag, Range and If-Range as shiftlog does; cuts each answer after so many bytes as told."""

    def __init__(self, data: bytes = DATA, etag: str | None = '"abc"', cuts: list[int] | None = None) -> None:
        self.data, self.etag, self.cuts, self.ranges = data, etag, cuts or [], list[str]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        start = 0
        if "range" in request.headers and request.headers["if-range"] == self.etag:
            start = int(re.fullmatch(r"bytes=(\d+)-", request.headers["range"])[1])
        self.ranges.append(request.headers.get("range", ""))
        headers = {"ETag": self.etag} if self.etag else {}
        if start >= len(self.data):
            return httpx.Response(416, headers={"Content-Range": f"bytes */{len(self.data)}"})
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(self.data) - 1}/{len(self.data)}"
        body = self.data[start:]
        stream = Cut(body[: self.cuts.pop(0)]) if self.cuts else httpx.ByteStream(body)
        return httpx.Response(206 if start else 200, headers=headers, stream=stream)


def client(transport: httpx.BaseTransport, attempts: int = 4) -> Client:
    profile = Profile("https://da.example.net", "A", "ck", "cs", "to", "ts")
    return Client(profile, transport=transport, patience=hasty(attempts))


def download(server: FileServer, directory: Path, **options: object) -> bytes:
    return client(httpx.MockTransport(server)).download(FILE, directory, **options).read_bytes()


def test_a_file_is_downloaded(tmp_path: Path):
    """With every byte counted once."""
    counted: list[int] = []
    assert download(FileServer(), tmp_path, on_bytes=counted.append) == DATA
    assert sum(counted) == len(DATA)


@given(cuts=st.lists(st.integers(1, 2000), max_size=5), size_known=st.booleans())
def test_a_download_goes_on_where_it_was_cut(tmp_path_factory: pytest.TempPathFactory, cuts: list[int], size_known: bool):
    """However often; each piece is asked for from where the last one ended."""
    server = FileServer(cuts=list(cuts))
    found = download(server, tmp_path_factory.mktemp("partial"), size=len(DATA) if size_known else None)
    assert found == DATA
    ends = [sum(cuts[: i + 1]) for i in range(len(cuts))]
    assert server.ranges == ["", *(f"bytes={end}-" for end in ends)]


def test_another_process_goes_on_where_one_was_killed(tmp_path: Path):
    """The partial file's name keeps the ETag."""
    with pytest.raises(Later):
        client(httpx.MockTransport(FileServer(cuts=[1000, 0, 0, 0, 0])), attempts=2).download(FILE, tmp_path)
    server = FileServer()
    assert download(server, tmp_path) == DATA
    assert server.ranges == ["bytes=1000-"]


def test_a_file_that_is_there_whole_is_not_fetched_again(tmp_path: Path):
    """By its size where that is known, else by the server's word."""
    download(FileServer(), tmp_path)
    server = FileServer()
    assert download(server, tmp_path, size=len(DATA)) == DATA
    assert server.ranges == []
    assert download(server, tmp_path) == DATA
    assert server.ranges == [f"bytes={len(DATA)}-"]


def test_a_file_that_has_changed_is_fetched_anew(tmp_path: Path):
    """If-Range makes the server send all of it, and nothing of the old one is left."""
    with pytest.raises(Later):
        client(httpx.MockTransport(FileServer(cuts=[1000, 0])), attempts=1).download(FILE, tmp_path)
    assert download(FileServer(data=b"other", etag='"xyz"'), tmp_path) == b"other"
    assert len(list(tmp_path.iterdir())) == 1


def test_without_an_etag_a_download_begins_anew(tmp_path: Path):
    """Nothing says that the rest would be the rest of the same."""
    server = FileServer(etag=None, cuts=[100, 200])
    assert download(server, tmp_path) == DATA
    assert server.ranges == ["", "", ""]


def test_a_weak_etag_is_none(tmp_path: Path):
    """Bytes may differ under it."""
    server = FileServer(etag='W/"abc"', cuts=[100])
    assert download(server, tmp_path) == DATA
    assert server.ranges == ["", ""]


@pytest.mark.parametrize("wrong", [len(DATA) - 1, len(DATA) + 1])
def test_a_wrong_length_is_not_believed(tmp_path: Path, wrong: int):
    """The manifest says how long the file is; patience ends with what was found."""
    with pytest.raises(Later, match=f"gave .* bytes; the manifest says {wrong}|another size"):
        download(FileServer(), tmp_path, size=wrong)


def test_a_partial_of_another_length_is_thrown_away(tmp_path: Path):
    """It was of another file, and the next attempt begins anew."""
    download(FileServer(data=DATA + b"more"), tmp_path)
    assert download(FileServer(), tmp_path) == DATA


def test_a_page_is_no_file(tmp_path: Path):
    """What a proxy says is repeated, without its tags."""
    page = httpx.Response(200, html="<html><head><style>p {}</style></head><body><p>Please log in</p></body></html>")
    with pytest.raises(Damaged, match="a page instead of the file: Please log in"):
        client(answering(page)).download(FILE, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_gone_is_gone(tmp_path: Path):
    """At once."""
    with pytest.raises(Gone, match="when its retention ended"):
        client(answering(httpx.Response(410, json={"error": {"message": "deleted when its retention ended"}}))).download(FILE, tmp_path)


def test_a_busy_server_is_asked_again(tmp_path: Path):
    """429 and 503 and a broken connection, then the file."""
    answers = (httpx.Response(429, headers={"Retry-After": "1"}), httpx.Response(503), httpx.ConnectError("refused"))
    assert client(answering(*answers, then=FileServer())).download(FILE, tmp_path).read_bytes() == DATA


def test_what_is_sent_is_the_file_whatever_its_encoding_is_called(tmp_path: Path):
    """A server that calls a `.gz` gzip-encoded sends the same bytes."""
    import gzip

    data = gzip.compress(b"{}")
    answer = httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(data))
    assert client(answering(answer)).download(FILE, tmp_path).read_bytes() == data


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path):
    """With what the system says."""
    with pytest.raises(Unusable, match="cannot be written: No such file or directory"):
        client(httpx.MockTransport(FileServer())).download(FILE, tmp_path / "none")
