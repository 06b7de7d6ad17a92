"""Ranges, validators, and the forms of a part."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import random
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import fastavro
import pytest
from callers import LIST, Caller, error
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from shiftlog.catalog.parts import Part
from shiftlog.errors import TooSlow
from shiftlog.house import House
from shiftlog.server.files import Content, FileResponse, decide
from shiftlog.server.threads import Threads
from shiftlog.store.directory import Directory

ETAG, MODIFIED, SIZE = '"abc"', 1_790_000_000, 100
DATE = format_datetime(datetime.fromtimestamp(MODIFIED, UTC), usegmt=True)
BEFORE = format_datetime(datetime.fromtimestamp(MODIFIED - 1, UTC), usegmt=True)
WHOLE, KNOWN, OUTSIDE = (200, 0, SIZE), (304, 0, 0), (416, 0, 0)


@pytest.mark.parametrize(
    ("headers", "decision"),
    [
        ({}, WHOLE),
        ({"range": "bytes=0-9"}, (206, 0, 10)),
        ({"range": "bytes=90-"}, (206, 90, 100)),
        ({"range": "bytes=-10"}, (206, 90, 100)),
        ({"range": "bytes=0-0"}, (206, 0, 1)),
        ({"range": "bytes=0-"}, (206, 0, 100)),
        ({"range": "bytes=-1000"}, (206, 0, 100)),
        ({"range": "bytes=50-1000"}, (206, 50, 100)),
        ({"range": "BYTES=1-2"}, (206, 1, 3)),
        ({"range": "bytes=100-"}, OUTSIDE),
        ({"range": "bytes=100-200"}, OUTSIDE),
        ({"range": "bytes=-0"}, OUTSIDE),
        ({"range": "bytes=0-1,4-5"}, WHOLE),
        ({"range": "bytes=5-2"}, WHOLE),
        ({"range": "bytes=-"}, WHOLE),
        ({"range": "bytes=a-b"}, WHOLE),
        ({"range": "lines=0-1"}, WHOLE),
        ({"range": "bytes=0-9", "if-range": ETAG}, (206, 0, 10)),
        ({"range": "bytes=0-9", "if-range": DATE}, (206, 0, 10)),
        ({"range": "bytes=0-9", "if-range": '"other"'}, WHOLE),
        ({"range": "bytes=0-9", "if-range": f"W/{ETAG}"}, WHOLE),
        ({"range": "bytes=0-9", "if-range": BEFORE}, WHOLE),
        ({"range": "bytes=0-9", "if-range": "nonsense"}, WHOLE),
        ({"if-none-match": ETAG}, KNOWN),
        ({"if-none-match": f"W/{ETAG}"}, KNOWN),
        ({"if-none-match": f'"x", {ETAG}'}, KNOWN),
        ({"if-none-match": "*"}, KNOWN),
        ({"if-none-match": '"x"'}, WHOLE),
        ({"if-none-match": "abc"}, WHOLE),
        ({"if-none-match": '"x"', "if-modified-since": DATE}, WHOLE),
        ({"if-modified-since": DATE}, KNOWN),
        ({"if-modified-since": BEFORE}, WHOLE),
        ({"if-modified-since": "yesterday"}, WHOLE),
        ({"if-none-match": ETAG, "range": "bytes=100-"}, KNOWN),
    ],
)
def test_preconditions_and_ranges_mean_what_http_says(headers: dict[str, str], decision: tuple[int, int, int]):
    """RFC 9110: validators come before ranges, and a range that is not understood is none."""
    assert decide(Headers(headers), "GET", etag=ETAG, modified=MODIFIED, size=SIZE) == decision


def test_head_has_no_ranges():
    """A range is for GET alone."""
    assert decide(Headers({"range": "bytes=0-9"}), "HEAD", etag=ETAG, modified=MODIFIED, size=SIZE) == WHOLE


@given(st.text(st.characters(max_codepoint=255)))
def test_any_header_gets_a_decision(text: str):
    """Nonsense is never fatal, and never a part of the file that is not there."""
    for name in ("range", "if-range", "if-none-match", "if-modified-since"):
        raw = [(name.encode(), text.encode("latin-1")), (b"range", b"bytes=1-5")]
        _, start, end = decide(Headers(raw=raw), "GET", etag=ETAG, modified=MODIFIED, size=SIZE)
        assert 0 <= start <= end <= SIZE


def test_ranges_put_together_are_the_file(call: Caller, published: Sequence[Part]):
    """A download that was broken off goes on where it stopped."""
    url = f"{LIST}/{published[0].name}.gz"
    whole = call.get(url)
    size = len(whole.content)
    pieces = [call.get(url, Range=f"bytes={start}-{start + 99}", If_Range=whole.headers["etag"]) for start in range(0, size, 100)]
    assert {piece.status_code for piece in pieces} == {206}
    assert pieces[1].headers["content-range"] == f"bytes 100-199/{size}"
    assert b"".join(piece.content for piece in pieces) == whole.content


def test_a_range_outside_of_the_file_says_how_long_it_is(call: Caller, published: Sequence[Part]):
    """416, code 23."""
    answer = call.get(f"{LIST}/{published[0].name}.gz", Range="bytes=100000-")
    assert error(answer)[:2] == (416, 23)
    assert answer.headers["content-range"] == f"bytes */{published[0].gz_bytes}"


def test_what_the_client_has_is_not_sent_again(call: Caller, published: Sequence[Part]):
    """304 with the validators, and without a body."""
    url = f"{LIST}/{published[0].name}.gz"
    etag, modified = (call.get(url).headers[name] for name in ("etag", "last-modified"))
    for answer in (call.get(url, If_None_Match=etag), call.get(url, If_Modified_Since=modified)):
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)


def test_zip_is_the_same_lines_not_recompressed(house: House, call: Caller, published: Sequence[Part]):
    """One entry, whose deflate stream is that of the gzip."""
    gz = house.store.get(published[0].gz_key)
    answer = call.get(f"{LIST}/{published[0].name}.zip")
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    [entry] = archive.infolist()
    assert archive.testzip() is None
    assert entry.filename == f"{published[0].name}.json"
    assert archive.read(entry) == gzip.decompress(gz)
    assert gz[10:-8] in answer.content
    assert datetime(*entry.date_time, tzinfo=UTC).timestamp() // 2 == published[0].generated // 2000


def test_avro_holds_the_same_documents(house: House, call: Caller, published: Sequence[Part]):
    """An independent reader finds what the lines say, and equal parts give equal bytes."""
    url = f"{LIST}/{published[0].name}.avro"
    answer = call.get(url)
    [document] = fastavro.reader(io.BytesIO(answer.content))
    line = json.loads(gzip.decompress(house.store.get(published[0].gz_key)))
    assert document["metaData"]["startTime"] == line["metaData"]["startTime"]["long"]
    assert [event["agentID"] for event in document["recordCollection"][0]["body"]["agentSessionsData"]] == [1, 1, 1]
    assert call.get(url).content == answer.content


# ── how it is sent ──


def sent(store: Directory, size: int, start: int, end: int, *, takes: int = 1_000) -> tuple[bytes, list[str]]:
    """The bytes [start, end) of an object as a server with pathsend is told to send them, and the kinds of messages; a client that
    goes away after so many."""
    threads, path = Threads(), store.path("k")
    content = Content("application/gzip", size, "", 0, lambda first, last: store.chunks("k", first, last), path)
    response = FileResponse(threads, content, start, end, 206, {})
    scope = {"type": "http", "extensions": {"http.response.pathsend": {}}}
    body, kinds = bytearray(), list[str]()

    async def send(message: Any) -> None:
        if len(kinds) == takes:
            raise TooSlow("the client is away")
        kinds.append(message["type"].rpartition(".")[2])
        body.extend(message.get("body", b""))

    async def receive() -> Any:
        raise AssertionError("a request for a file has no body")

    async def scene() -> None:
        await threads.read(response.prepare, scope)
        await response(scope, receive, send)

    try:
        asyncio.run(scene())
    except TooSlow:
        kinds.append("away")
    threads.stop()
    return bytes(body), kinds


@pytest.mark.parametrize(("start", "end"), [(1, 3_500_000), (0, 3_000_000), (1_000_000, 1_000_001), (7, 1_048_583), (2_000_000, 3_500_000)])
def test_a_range_is_sent_whole_in_however_many_pieces(tmp_path: Path, start: int, end: int):
    """Every byte once and in order, while the next ones are read."""
    data, store = random.Random(1).randbytes(3_500_000), Directory(tmp_path)
    store.put("k", data)
    body, kinds = sent(store, len(data), start, end)
    assert body == data[start:end]
    assert kinds[0] == "start"
    assert set(kinds[1:]) == {"body"}


def test_a_range_that_is_everything_is_left_to_the_server(tmp_path: Path):
    """It sends whole files by itself."""
    store = Directory(tmp_path)
    store.put("k", b"abc")
    assert sent(store, 3, 0, 3) == (b"", ["start", "pathsend"])


def test_a_client_that_goes_away_ends_the_reading(tmp_path: Path):
    """What was read ahead for it is nobody's."""
    store = Directory(tmp_path)
    store.put("k", bytes(4_000_000))
    body, kinds = sent(store, 4_000_000, 1, 4_000_000, takes=2)
    assert (len(body), kinds) == (1 << 20, ["start", "body", "away"])
