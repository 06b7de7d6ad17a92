"""Where a server may send its clients for a file, and where they do not go."""

from __future__ import annotations

import logging
from pathlib import Path

import httpx
import pytest

from client.servers import answering, hasty
from shiftlog.client import Client, Profile
from shiftlog.client.answers import File
from shiftlog.errors import Forbidden, Invalid, Later, Missing, ShiftlogError
from shiftlog.names import PartName

NAME = PartName(1466078400000, 1466082000000, 0, 0)
PATH = f"/data_access_le/account/A/le/agentActivity/{NAME}.gz"
FILE = File(NAME, f"https://da.example.net{PATH}")
BUCKET = "https://bucket.example.org/parts/x.gz?X-Amz-Signature=abc"


def to(url: str, status: int = 307) -> httpx.Response:
    return httpx.Response(status, headers={"Location": url})


def abc() -> httpx.Response:
    return httpx.Response(200, stream=httpx.ByteStream(b"abc"))


def download(directory: Path, *answers: httpx.Response, profile: Profile | None = None) -> tuple[bytes, list[httpx.Request]]:
    """What comes of these answers, and what was asked."""
    asked: list[httpx.Request] = []
    inner = answering(*answers)

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return inner.handle_request(request)

    given = profile or Profile("https://da.example.net", "A", "ck", "cs", "to", "ts")
    with Client(given, transport=httpx.MockTransport(handle), patience=hasty(2)) as client:
        return client.download(FILE, directory).read_bytes(), asked


@pytest.mark.parametrize(
    "profile", [Profile("https://da.example.net", "A", bearer="b"), Profile("https://da.example.net", "A", "ck", "cs", "to", "ts")]
)
@pytest.mark.parametrize("status", [302, 303, 307])
def test_a_file_is_fetched_where_the_server_says(tmp_path: Path, profile: Profile, status: int):
    """Over as many as two more redirects, and without the key."""
    data, asked = download(tmp_path, to(BUCKET, status), to("https://eu.example.org/y?sig=1"), abc(), profile=profile)
    assert data == b"abc"
    assert ["authorization" in request.headers for request in asked] == [True, False, False]


@pytest.mark.parametrize(
    ("answers", "kind", "message"),
    [
        ([to("http://bucket.example.org/x")], Forbidden, "from https to http://bucket.example.org, where the file could be read"),
        ([to(f"http://da.example.net{PATH}")], Invalid, "answered 307: .* it points to .*: set the profile's url to where the API is"),
        ([to(BUCKET, 301)], Invalid, "answered 301: .* set the profile's url"),
        ([to("ftp://bucket.example.org/x")] * 2, Later, "sends its clients elsewhere for a file, and does not say where to"),
        ([httpx.Response(307)], Invalid, "answered 307: nothing; it points to nowhere"),
        ([to(BUCKET), httpx.Response(404)], Missing, rf"bucket.example.org, to which da.example.net sends for {NAME}.gz, answered 404"),
        ([to(BUCKET), httpx.Response(403)] * 2, Later, "answered 403; da.example.net is asked for another address"),
        ([to(BUCKET), *[to(BUCKET)] * 2, to(BUCKET)] * 2, Later, "answered 307; da.example.net is asked"),
        ([to(BUCKET), httpx.Response(200, headers={"Content-Type": "text/html"})], ShiftlogError, "answered with a page instead"),
    ],
)
def test_where_they_do_not_go(tmp_path: Path, answers: list[httpx.Response], kind: type[ShiftlogError], message: str):
    """The message names the hosts, and not the address."""
    if len(answers) == 8:
        answers = [to(BUCKET) for _ in range(8)]
    with pytest.raises(kind, match=message) as refusal:
        download(tmp_path, *answers)
    assert "abc" not in str(refusal.value) or kind is Invalid


def test_nothing_but_files_is_followed(tmp_path: Path):
    """A list that is elsewhere is a profile that is wrong."""
    profile = Profile("https://da.example.net", "A", bearer="b")
    with Client(profile, transport=answering(to(BUCKET))) as client, pytest.raises(Invalid, match="set the profile's url"):
        client.list(0)


def test_signatures_are_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Other queries are, as httpx does."""
    caplog.set_level(logging.INFO)
    download(tmp_path, to(BUCKET), abc())
    with Client(
        Profile("https://da.example.net", "A", bearer="b"), transport=answering(httpx.Response(404, text="No Available Files"))
    ) as client:
        client.list(17)
    assert "https://bucket.example.org/parts/x.gz " in caplog.text
    assert "startTime=17" in caplog.text
    assert "X-Amz-Signature" not in caplog.text
