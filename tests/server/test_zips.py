"""Archives of many files: whole, of known length, and not compressed again."""

from __future__ import annotations

import gzip
import io
import shutil
import subprocess
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import pytest
from callers import LIST, Caller, calling

from readers import all_parts, land, publish_at
from scenes import HOUR, MINUTE, T0, login, logout, sent
from shiftlog.catalog.keys import NewKey
from shiftlog.catalog.parts import Part
from shiftlog.container import compress
from shiftlog.errors import Damaged
from shiftlog.house import House
from shiftlog.server.app import create_app
from shiftlog.server.zips import Archive
from shiftlog.store import Store

WINDOW = f"{LIST}.zip?startTime=0"


class OneFile:
    """A store that has the same bytes under every key."""

    def __init__(self, gz: bytes) -> None:
        self.gz = gz

    def several(self, keys: Iterable[str]) -> Iterator[bytes]:
        return (self.gz for _ in keys)


def a_part(gz: bytes, number: int = 0) -> Part:
    values: dict[str, Any] = dict.fromkeys((field.name for field in fields(Part)), 0)
    return Part(**{**values, "scope_end": HOUR, "part": number, "generated": T0, "gz_key": "x", "gz_bytes": len(gz)})


def archived(parts: Sequence[Part], gz: bytes) -> bytes:
    archive = Archive(cast(Store, OneFile(gz)), parts)
    data = b"".join(archive.chunks())
    assert len(data) == archive.size
    return data


def test_a_window_is_one_archive(house: House, call: Caller, published: Sequence[Part]):
    """Every file of the list, in its order, with the lines of its `.gz`; its length is told, and how far it reaches."""
    answer = call.get(WINDOW)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert int(answer.headers["shiftlog-covered-until"]) > max(part.generated for part in published)
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.namelist() == [f"{part.name}.json" for part in published]
    for part in published:
        assert archive.read(f"{part.name}.json") == gzip.decompress(house.store.get(part.gz_key))


def test_the_streams_are_the_stored_ones(house: House, call: Caller, published: Sequence[Part]):
    """Nothing is compressed again."""
    data = call.get(WINDOW).content
    for part in published:
        assert house.store.get(part.gz_key)[10:-8] in data


def test_a_window_is_bounded_as_the_list_is(call: Caller, published: Sequence[Part]):
    """By generated time, and by the hour covered."""
    first, second = published
    for query, expected in [
        (f"scopeFrom={second.scope_start}", [second]),
        (f"scopeTo={second.scope_start}", [first]),
        (f"startTime=0&endTime={second.generated + 1}", [first, second]),
    ]:
        archive = zipfile.ZipFile(io.BytesIO(call.get(f"{LIST}.zip?{query}").content))
        assert archive.namelist() == [f"{part.name}.json" for part in expected]


def test_no_files_are_no_archive(call: Caller, published: Sequence[Part]):
    """The same error as the list's; and what is wrong for the list is wrong here."""
    nothing = call.get(f"{LIST}.zip?startTime=0&endTime=5")
    assert (nothing.status_code, nothing.json()["error"]["internalCode"]) == (404, 21)
    assert nothing.headers["shiftlog-covered-until"] == "5"
    assert call.get(f"{LIST}.zip").status_code == 400
    assert call.without_key().get(WINDOW).status_code == 401


def test_head_has_the_length_and_no_body(call: Caller, published: Sequence[Part]):
    """As for every file."""
    answer = call("HEAD", WINDOW)
    assert (answer.headers["content-length"], answer.content) == (call.get(WINDOW).headers["content-length"], b"")


def test_a_lost_file_is_a_fault_and_no_broken_archive(house: House, call: Caller, published: Sequence[Part]):
    """Where the first is lost it is an error; where a later one is, the answer breaks off before its length."""
    house.store.delete([published[0].gz_key])
    answer = call.get(WINDOW)
    assert (answer.status_code, answer.json()["error"]["internalCode"]) == (500, 99)
    gz = compress(b"{}\n")
    with pytest.raises(Damaged, match="not in the server's store"):
        archived([a_part(gz), replace(a_part(gz, 1), gz_bytes=len(gz) + 1)], gz)


@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")
def test_unzip_accepts_five_hundred_parts(house: House, keys: NewKey, tmp_path: Path):
    """And so does Python."""
    events = [made for agent in range(1000) for made in (login(T0, agentID=agent), logout(T0 + MINUTE, agentID=agent))]
    land(house, sent(*events))
    publish_at(replace(house, settings=house.settings.model_copy(update={"part_events": 2})), T0 + 2 * HOUR)
    assert len(all_parts(house)) > 500
    path = tmp_path / "window.zip"
    with calling(create_app(house, publish=False), keys.bearer) as call:
        path.write_bytes(call.get(WINDOW).content)
    tested = subprocess.run(["unzip", "-tq", str(path)], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout
    assert zipfile.ZipFile(path).testzip() is None


def test_more_entries_than_16_bits_can_count():
    """The directory's end has a 64-bit form."""
    gz = compress(b"{}\n")
    archive = zipfile.ZipFile(io.BytesIO(archived([a_part(gz, number) for number in range(70_000)], gz)))
    assert len(archive.namelist()) == 70_000
    assert archive.read(archive.namelist()[-1]) == b"{}\n"


def test_an_entry_beyond_4_gib(tmp_path: Path):
    """Its offset has a 64-bit form. What lies before it is a hole in the file."""
    gz = compress(b"{}\n")
    archive = Archive(cast(Store, OneFile(gz)), [replace(a_part(gz), gz_bytes=5 << 30), a_part(gz, 1)])
    _, second = archive._entries
    trailer = gz[-8:]
    with (tmp_path / "large.zip").open("wb") as file:
        file.seek(second.offset)
        file.write(second.local(trailer) + gz[10:-8] + second.central(trailer))
        at = file.tell() - second.central_size
        archive._start, archive._directory, archive._entries = at, second.central_size, [second]
        file.write(archive._end())
    assert zipfile.ZipFile(tmp_path / "large.zip").read(f"{second.part.name}.json") == b"{}\n"
