"""Events from files: every form, plain and gzip, and where a file is wrong."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from scenes import DAY, HOUR, T0, event, login, logout, sent
from shiftlog import container, events, intake, sessions
from shiftlog.errors import Damaged, Invalid, Missing, TooLarge
from shiftlog.events import NDJSON, SENT

NOW = T0 + DAY
SOME = [login(T0, agentNickname="Zoë"), event(T0 + 5, state=2, userProfileIDs=[7, 8]), logout(T0 + HOUR), login(T0 + 1, agentID=2)]


def ndjson(some: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in some)


def array(some: list[dict[str, Any]]) -> bytes:
    return json.dumps(some).encode()


def pretty(some: list[dict[str, Any]]) -> bytes:
    return b"\n \r\n" + json.dumps(some, indent=4).encode() + b"\n"


def cloud(some: list[dict[str, Any]]) -> bytes:
    return json.dumps(
        [{"specversion": "1.0", "type": "t", "source": "s", "id": str(i), "data": one} for i, one in enumerate(some)]
    ).encode()


def published(version: str, account: str = "A") -> bytes:
    """The sessions of `SOME` as a file that was published."""
    accepted = sent(*SOME).with_columns(receivedAt=pl.lit(T0, pl.Int64), position=pl.int_range(pl.len(), dtype=pl.Int64))
    folded = sessions.fold(sessions.foldable(accepted), account=account, timeout=DAY)
    return container.encode(folded, account=account, version=version)


def read(path: Path | str, **options: Any) -> pl.DataFrame:
    return pl.concat(intake.read(str(path), **{"account": "A", "now": NOW} | options))


@pytest.fixture(params=[bytes, gzip.compress], ids=["plain", "gzip"])
def pack(request: pytest.FixtureRequest) -> Callable[[bytes], bytes]:
    """How the file is packed."""
    return request.param


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A path whose name says nothing: forms are told by their bytes."""
    return tmp_path / "file"


# ── every form ──


@pytest.mark.parametrize("form", [ndjson, array, pretty])
def test_events_are_read_in_every_form(file: Path, pack: Callable[[bytes], bytes], form: Callable[..., bytes]):
    """The same frame, in the file's order."""
    file.write_bytes(pack(form(SOME)))
    assert read(file).equals(events.parse(ndjson(SOME), NDJSON, account="A", now=NOW))


def test_cloud_events_are_read(file: Path, pack: Callable[[bytes], bytes]):
    """Each is named by its source and id."""
    file.write_bytes(pack(cloud(SOME)))
    frame = read(file)
    assert frame.drop("eventId").equals(events.parse(ndjson(SOME), NDJSON, account="A", now=NOW).drop("eventId"))
    assert frame["eventId"].to_list() == ["s#0", "s#1", "s#2", "s#3"]


@pytest.mark.parametrize("version", ["1.0.0.4", "1.0.0.35"])
def test_published_files_are_read(file: Path, pack: Callable[[bytes], bytes], version: str):
    """Of both envelopes: the events of their sessions."""
    file.write_bytes(pack(published(version)))
    frame = read(file)
    assert dict(frame.schema) == SENT
    assert sorted(frame.select("agentID", "timestamp").rows()) == [(1, T0), (1, T0 + 5), (1, T0 + HOUR), (2, T0 + 1)]


def test_a_published_file_that_was_laid_out_for_people(file: Path):
    """Documents over several lines, which follow each other, as in the seed."""
    documents = [json.loads(line) for line in published("1.0.0.4").splitlines()]
    file.write_text("\n".join(json.dumps(document, indent=2) for document in documents))
    assert read(file).height == 4


def test_members_of_gzip_follow_each_other(file: Path):
    """As when files are joined by cat."""
    file.write_bytes(gzip.compress(ndjson(SOME[:2])) + gzip.compress(ndjson(SOME[2:])))
    assert read(file).height == 4


def test_what_decode_prints_is_read_again(file: Path):
    """Flat events with their session's columns, as lines."""
    container.decode(published("1.0.0.4"), name="f").drop("accountId", "schemaVersion").write_ndjson(file)
    assert read(file).height == 4


def test_words_in_values_do_not_tell_the_form(file: Path):
    """An agent may be called as a field of a published file, or of a cloud event."""
    odd = [event(T0, agentNickname='"metaData" "recordCollection"'), event(T0 + 1, agentNickname='"specversion"')]
    for form in (ndjson, array):
        file.write_bytes(form(odd))
        assert read(file).height == 2


def test_a_large_file_comes_in_frames(file: Path, pack: Callable[[bytes], bytes]):
    """So memory is bounded; nothing is lost or doubled at their edges."""
    many = 90_000
    file.write_bytes(
        pack(b"".join(b'{"agentID":%d,"timestamp":%d,"type":1,"agentNickname":"%s"}\n' % (n, T0 + n, b"x" * 60) for n in range(many)))
    )
    frames = list(intake.read(str(file), account="A", now=NOW))
    assert len(frames) > 1
    assert pl.concat(frames)["agentID"].to_list() == list(range(many))


# ── standard input ──


def test_standard_input_is_a_file(pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch):
    """Also a pipe, which cannot be wound back."""
    reader, writer = os.pipe()
    os.write(writer, pack(ndjson(SOME)))
    os.close(writer)
    with os.fdopen(reader) as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        assert read("-").height == 4


def test_standard_input_has_a_name_in_messages(monkeypatch: pytest.MonkeyPatch):
    """Not `-`."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(b"{}"))))
    with pytest.raises(Invalid, match=r"^standard input: line 1: agentID: found nothing"):
        read("-")


# ── progress ──


def test_progress_is_told_in_bytes_of_the_file(file: Path, pack: Callable[[bytes], bytes]):
    """As packed; all of it in the end."""
    file.write_bytes(pack(ndjson(SOME * 25_000)))
    told: list[int] = []
    read(file, on_bytes=told.append)
    assert sum(told) == file.stat().st_size
    assert min(told) >= 0
    assert len(told) > 1


# ── what is wrong ──


def refusal(path: Path | str, kind: type[Exception] = Invalid, **options: Any) -> str:
    with pytest.raises(kind) as refused:
        read(path, **options)
    return str(refused.value)


def test_a_file_that_is_not_there(file: Path):
    """Nor one that is a directory."""
    assert refusal(file, Missing) == f"there is no file {file}"
    file.mkdir()
    assert refusal(file) == f"{file} cannot be read: Is a directory"


@pytest.mark.parametrize("content", [b"", b"\n \r\n"])
def test_a_file_without_events(file: Path, pack: Callable[[bytes], bytes], content: bytes):
    """It is a mistake rather than a request to do nothing."""
    file.write_bytes(pack(content))
    assert "the file holds no event; one JSON object a line, an array of them, or a published file is expected" in refusal(file)


def test_a_wrong_event_is_named_by_its_line(file: Path, pack: Callable[[bytes], bytes]):
    """With its file, its field, what was found and what is allowed."""
    file.write_bytes(pack(b"\n" + ndjson([*SOME, event(T0, state=9)])))
    assert refusal(file).startswith(f"{file}: line 6: state: found 9; allowed: -1 (unknown), 0 (irrelevant)")


def test_lines_are_counted_over_the_whole_file(file: Path):
    """Past the first frame too; the message says what has become of the events before."""
    line = b'{"agentID":1,"timestamp":%d,"agentNickname":"%s"}\n' % (T0, b"x" * 900)
    before = (20 << 20) // len(line)
    file.write_bytes(b"\n" + line * before + b'{"agentID":1}\n')
    message = refusal(file)
    assert f"{file}: line {before + 2}: timestamp: found nothing" in message
    assert "events before are stored, and are dropped as repeats when the file is ingested again" in message


def test_a_wrong_event_of_an_array_is_named_by_its_number(file: Path):
    """Nothing of an array is taken if one of its events is wrong."""
    file.write_bytes(array([*SOME, event(T0, state=9)]))
    assert refusal(file).startswith(f"{file}: event 5: state: found 9")


@pytest.mark.parametrize("content", [b"agentID,timestamp\n1,2\n", b"\x00\x01\x02", b"PK\x03\x04", b"{"])
def test_a_file_of_another_kind(file: Path, content: bytes):
    """Its first line is not JSON."""
    file.write_bytes(content)
    assert refusal(file).startswith(f"{file}: line 1: found text that is not JSON")


@pytest.mark.parametrize("keep", [3, 12, 60, -9, -1])
@pytest.mark.parametrize("form", [ndjson, array, lambda _: published("1.0.0.4")], ids=["ndjson", "array", "published"])
def test_a_truncated_gzip_is_damaged(file: Path, keep: int, form: Callable[..., bytes]):
    """Wherever it was cut; the message names the file and the byte."""
    file.write_bytes(gzip.compress(form(SOME))[:keep])
    assert refusal(file, Damaged).startswith(f"{file}: the gzip is damaged before byte ")


@pytest.mark.parametrize("byte", [30, -6, -2])
def test_a_corrupt_gzip_is_damaged(file: Path, byte: int):
    """In its data, its checksum or its length."""
    packed = bytearray(gzip.compress(ndjson(SOME)))
    packed[byte] ^= 0xFF
    file.write_bytes(packed)
    assert refusal(file, Damaged).startswith(f"{file}: the gzip is damaged before byte ")


def test_a_published_file_that_is_cut_off(file: Path):
    """Its text ends within a document: file, line and byte are named."""
    file.write_bytes(published("1.0.0.4")[:-20])
    message = refusal(file, Damaged)
    assert message.startswith(f"{file}: line 2")
    assert "byte" in message


def test_another_accounts_file_is_refused(file: Path, pack: Callable[[bytes], bytes]):
    """Its sessions would be taken for this account's."""
    file.write_bytes(pack(published("1.0.0.4", account="B")))
    assert refusal(file) == f"{file}: the file is of account B, not A"


def test_a_bomb_is_not_unpacked(tmp_path: Path):
    """A gzip of a line without end is refused after the first megabytes of it."""
    bomb = tmp_path / "bomb.gz"
    with gzip.open(bomb, "wb") as out:
        for _ in range(64):
            out.write(b" " * (1 << 20))
    with pytest.raises(TooLarge, match="line 1: longer than"):
        list(intake.read(str(bomb), account="A", now=NOW))
