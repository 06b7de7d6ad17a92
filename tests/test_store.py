"""Bytes by key: one contract, kept by each back-end, and what is true of a directory alone."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest

from disks import file_size_limit, fill, make_read_only, small_disk
from s3 import Server
from shiftlog.errors import Damaged, Invalid, Later, Missing, Unusable
from shiftlog.store import Directory, Store, open_store

KEY = "parts/A/2026-01-01/Agent.0.3600000.part-00000-0.0123456789ab.gz"
BIG = bytes(range(256)) * 12_000  # three pieces of 1 MiB
HUGE = bytes(range(251)) * 68_000  # over 16 MiB, which is put in parts


def put_all(store: Store, objects: dict[str, bytes]) -> None:
    with store.batch() as put:
        for key, data in objects.items():
            put(key, data)


class StoreContract:
    """What every store promises; a back-end inherits it and says how one is opened."""

    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError

    @pytest.mark.parametrize("data", [b"", b"\0", BIG, HUGE], ids=len)
    def test_what_is_put_comes_back(self, store: Store, data: bytes):
        """All of it, whatever the bytes and however many."""
        store.put(KEY, data)
        assert store.get(KEY) == data

    def test_what_is_put_again_is_no_mistake(self, store: Store):
        """The answer to the first time may have been lost."""
        store.put(KEY, b"abc")
        store.put(KEY, b"abc")
        assert store.get(KEY) == b"abc"

    @pytest.mark.parametrize("data", [b"xyz", HUGE], ids=len)
    def test_an_object_is_never_overwritten(self, store: Store, data: bytes):
        """Keys are unique, so who writes one again is mistaken."""
        store.put(KEY, b"abc")
        with pytest.raises(Damaged, match=f"the store has an object {KEY} already, of other bytes; it was not overwritten"):
            store.put(KEY, data)
        assert store.get(KEY) == b"abc"

    def test_a_batch_is_there_when_it_ends(self, store: Store):
        """All of it, from whatever thread; more than fits in memory at once waits."""
        keys = [f"parts/{n}.gz" for n in range(60)]
        with store.batch() as put, ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda key: put(key, key.encode()), keys))
        assert list(store.several(keys)) == [key.encode() for key in keys]

    def test_a_batch_with_a_mistake_is_an_error(self, store: Store):
        """At the latest when it ends."""
        store.put("taken", b"abc")
        with pytest.raises(Damaged, match="the store has an object taken already"):
            put_all(store, {"taken": b"xyz"} | {f"a/{n}": b"x" for n in range(60)})

    def test_several_objects_come_in_order(self, store: Store):
        """Until one is not there."""
        for n in range(10):
            store.put(f"a/{n}", bytes([n]))
        found = store.several(["a/3", "a/1", "a/2", *(f"a/{n}" for n in range(10)), "nothing"])
        assert [next(found)[0] for _ in range(13)] == [3, 1, 2, *range(10)]
        with pytest.raises(Missing, match="the store has no object nothing"):
            next(found)

    def test_it_answers(self, store: Store):
        """Also when it is empty."""
        store.reach()

    def test_polars_reads_a_source(self, store: Store):
        """A path or the bytes: a frame comes back from either."""
        frame, buffer = pl.DataFrame({"a": [1, 2]}), io.BytesIO()
        frame.write_parquet(buffer)
        store.put("landing/a.parquet", buffer.getvalue())
        assert pl.scan_parquet(store.source("landing/a.parquet")).collect().equals(frame)
        assert [pl.read_parquet(source).height for source in store.sources(["landing/a.parquet"] * 3)] == [2, 2, 2]

    @pytest.mark.parametrize(
        ("start", "end"), [(0, len(BIG)), (0, 1), (1 << 20, (1 << 20) + 1), (5, 2_500_000), (len(BIG) - 1, len(BIG)), (7, 7)]
    )
    def test_chunks_are_the_asked_bytes(self, store: Store, start: int, end: int):
        """The range is half-open, and an empty one holds nothing."""
        store.put(KEY, BIG)
        assert b"".join(store.chunks(KEY, start, end)) == BIG[start:end]

    def test_chunks_end_with_the_object(self, store: Store):
        """A range may reach past its end."""
        store.put(KEY, b"abc")
        assert b"".join(store.chunks(KEY, 1, 100)) == b"bc"

    @pytest.mark.parametrize("key", ["nothing", "parts/A", "parts/A/nothing"])
    def test_what_is_not_there_is_missing(self, store: Store, key: str):
        """Said when it is asked for, before the first byte; a directory of keys is no object."""
        store.put("parts/B/something", b"x")
        for ask in (store.get, store.source, lambda key: store.chunks(key, 0, 1)):
            with pytest.raises(Missing, match=f"the store has no object {key}"):
                ask(key)

    def test_deleted_objects_are_gone(self, store: Store):
        """Those that are not there are not missed, and the others stay."""
        for key in ("a/1", "a/2", "a/3"):
            store.put(key, b"x")
        store.delete(["a/1", "nothing", "a/3"])
        store.delete(["a/1"])
        assert [found.key for found in store.list()] == ["a/2"]

    def test_a_listing_shows_size_and_time(self, store: Store):
        """In bytes and epoch ms."""
        store.put(KEY, b"abc")
        [found] = store.list()
        assert (found.key, found.size) == (KEY, 3)
        assert abs(found.modified - time.time() * 1000) < 60_000

    def test_a_listing_is_of_a_directory(self, store: Store):
        """Its prefix is whole names, not letters."""
        for key in ("a/1", "a/b/2", "ab/3"):
            store.put(key, b"x")
        assert {found.key for found in store.list("a")} == {"a/1", "a/b/2"}
        assert {found.key for found in store.list()} == {"a/1", "a/b/2", "ab/3"}
        assert list(store.list("nothing")) == []

    def test_many_put_at_once(self, store: Store):
        """Threads may write beside each other, in directories that are not there yet."""
        keys = [f"landing/{n % 7}/{n % 3}/{n}" for n in range(60)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: store.put(key, key.encode()), keys))
        assert {found.key for found in store.list()} == set(keys)
        assert all(store.get(key) == key.encode() for key in keys)


class TestMemory(StoreContract):
    """Tests and trials."""

    @pytest.fixture
    def store(self) -> Store:
        return open_store("memory://")

    def test_an_object_has_no_file(self, store: Store):
        """So it is never sent as one."""
        store.put(KEY, b"x")
        assert store.path(KEY) is None


class TestDirectory(StoreContract):
    """The default."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return open_store(str(tmp_path / "made" / "here"))

    def test_an_object_is_a_file(self, store: Store, tmp_path: Path):
        """Which can be sent as it is."""
        store.put(KEY, b"abc")
        assert store.path(KEY) == tmp_path / "made" / "here" / KEY
        assert store.source(KEY) == str(store.path(KEY))
        assert (tmp_path / "made" / "here" / KEY).read_bytes() == b"abc"

    def test_a_file_url_is_a_directory(self, store: Store, tmp_path: Path):
        """The same place by its URL."""
        store.put(KEY, b"abc")
        assert open_store(f"file://{tmp_path}/made/here").get(KEY) == b"abc"

    def test_opening_leaves_nothing(self, store: Store, tmp_path: Path):
        """What was written to try the directory is gone."""
        assert list((tmp_path / "made" / "here").iterdir()) == []


class TestS3(StoreContract):
    """Ceph's gateway, which is one."""

    @pytest.fixture
    def store(self, s3: str) -> Store:
        return open_store(s3)

    def test_an_object_has_no_file(self, store: Store):
        """So it is never sent as one."""
        store.put(KEY, b"x")
        assert store.path(KEY) is None

    def test_opening_leaves_nothing(self, store: Store):
        """What was written to try the bucket is gone."""
        assert list(store.list()) == []

    def test_stores_in_one_bucket_do_not_meet(self, store: Store, s3_server: Server):
        """Each has its prefix."""
        other = open_store(s3_server.place())
        store.put(KEY, b"x")
        with pytest.raises(Missing):
            other.get(KEY)
        assert list(other.list()) == []


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as place:
        yield place


def test_a_put_that_fails_leaves_nothing(tmp_path: Path):
    """Neither an object nor half of one; what was there stays."""
    store = Directory(tmp_path)
    store.put("a/before", b"x")
    with file_size_limit(1 << 16), pytest.raises(Unusable, match="after cannot be written: File too large"):
        store.put("a/after", BIG)
    assert [found.name for found in (tmp_path / "a").iterdir()] == ["before"]


def test_a_full_disk_says_try_later(disk: Path):
    """Nothing is half-written, what was there stays, and what is small enough still fits."""
    store = Directory(disk)
    store.put("a/before", bytes(10_000))
    with pytest.raises(Later, match="no space is left to write after; nothing was taken") as refusal:
        store.put("a/after", bytes(100_000))
    assert refusal.value.retry_after == 60
    store.put("a/small", bytes(10_000))
    assert sorted(found.key for found in store.list()) == ["a/before", "a/small"]


def test_a_directory_for_which_there_is_no_space(disk: Path):
    """The same where it is the directory that cannot be made."""
    store = Directory(disk)
    fill(disk)
    with pytest.raises(Later, match="no space is left"):
        store.put("a/b/c", b"x")


CRASH = """
import resource, signal, sys
from pathlib import Path
from shiftlog.store import Directory

store = Directory(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
store.put(sys.argv[2], bytes(3 << 20))
"""
"""A process that the system kills in the middle of a put, past the first MiB."""


def test_what_a_crash_leaves_is_no_object(tmp_path: Path):
    """A file that was never finished is not found under its key, and can be swept like any other."""
    store = Directory(tmp_path)
    assert subprocess.run([sys.executable, "-c", CRASH, tmp_path, KEY]).returncode == -signal.SIGXFSZ
    with pytest.raises(Missing):
        store.get(KEY)
    [left] = store.list()
    assert left.size == 1 << 20
    store.delete([left.key])
    assert list(store.list()) == []


def test_a_directory_below_a_file(tmp_path: Path):
    """It cannot be made, and the message says why."""
    (tmp_path / "file").touch()
    with pytest.raises(Unusable, match="file/objects cannot be written: Not a directory"):
        open_store(str(tmp_path / "file" / "objects"))


def test_an_unwritable_directory(disk: Path):
    """Found when it is opened, not at the first event."""
    make_read_only(disk)
    with pytest.raises(Unusable, match="cannot be written: Read-only file system"):
        open_store(str(disk))


def test_a_directory_that_becomes_unwritable(disk: Path):
    """Writers are to come again: it may be mended meanwhile. What is there can be read."""
    store = Directory(disk)
    store.put("a/before", b"x")
    make_read_only(disk)
    with pytest.raises(Later, match="after cannot be written: Read-only file system; nothing was taken"):
        store.put("a/after", b"x")
    assert store.get("a/before") == b"x"


def test_a_file_in_the_way_of_a_directory(tmp_path: Path):
    """It stays, and the message says where it is."""
    store = Directory(tmp_path)
    (tmp_path / "a").touch()
    with pytest.raises(Unusable, match="a/b cannot be written: Not a directory"):
        store.put("a/b", b"x")


@pytest.mark.parametrize("url", ["ftp://host/x", "http://host", "S3X://bucket"])
def test_an_unknown_scheme_is_refused(url: str):
    """With those that are known."""
    with pytest.raises(Invalid, match=r"no store is known for .*; a directory, file://, memory://, s3://"):
        open_store(url)
