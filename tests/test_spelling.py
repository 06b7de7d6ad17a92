"""The quickest way reads what the exact way reads, or gives up; and the kernel below it stays within its bounds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from shiftlog import columns, container, documents, kernels, schema, spelling
from shiftlog.documents import Place
from shiftlog.errors import Damaged
from shiftlog.kernels import compile as compiling
from wire import SEED, flat_frames, login, many

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler is there")


def exact(text: bytes) -> pl.DataFrame:
    return documents.read(text, Place("a"))


def odd(**values: object) -> pl.DataFrame:
    return login().with_columns(pl.lit(value, login().schema[name]).alias(name) for name, value in values.items())


@needs_compiler
def test_the_kernels_are_there():
    """Where there is a compiler, setting up has compiled them."""
    assert kernels.load() is not None, "make setup"


@needs_compiler
@given(flat_frames, st.sampled_from(schema.VERSIONS))
@settings(max_examples=200, deadline=None)
def test_whatever_is_written_is_read_the_quickest_way(flat: pl.DataFrame, version: str):
    """With nulls, withdrawn sessions, escapes and the ends of 64 bits, in both envelopes."""
    text = container.encode(flat, account="Ä", version=version)
    frame = spelling.read(text)
    assert frame is not None
    assert_frame_equal(frame, exact(text))


@needs_compiler
def test_sessions_of_many_events_are_read_the_quickest_way():
    """Where texts and lists come again, and where none does."""
    alike = pl.concat([login().with_columns(eventIndex=pl.lit(i, pl.Int32)) for i in range(50)])
    for flat in (many(40, 25), alike):
        text = container.encode(flat, account="A")
        frame = spelling.read(text)
        assert frame is not None
        assert_frame_equal(frame, exact(text))


@given(st.data(), st.sampled_from(schema.VERSIONS))
@settings(max_examples=300, deadline=None)
def test_a_changed_byte_does_not_part_the_ways(data: st.DataObject, version: str):
    """Bytes changed, left out or put in: the quickest way refuses, or reads what the exact way reads."""
    text = bytearray(container.encode(pl.concat([login(), odd(userProfileIDs=[], agentNickname=None)]), account="A", version=version))
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 1))] = data.draw(
            st.sampled_from([bytes([byte]) for byte in b'\x00{}[]",:.eE-0159\\ntfu \n\xe9'])
        )
    frame = spelling.read(bytes(text))
    if frame is not None:
        assert_frame_equal(frame, exact(bytes(text)))


@pytest.mark.parametrize(
    "number", ["-0", "00", "01", "-", "", "1.5", "1e3", "9223372036854775808", "-9223372036854775809", "12345678901234567890", "+1"]
)
def test_a_number_has_one_spelling(number: str):
    """All others are left to those who know them."""
    text = container.encode(login(), account="A")
    for known, other in ((b'"agentID":{"long":9}', f'"agentID":{{"long":{number}}}'), (b"[2438730312,", f"[2438730312,{number},")):
        assert known in text
        assert spelling.read(text.replace(known, other.encode())) is None


@pytest.mark.parametrize("piece", [rb"\x", rb"\u12", rb"\ud800", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\x1f", b"\n"])
def test_text_that_is_no_text_is_left_to_the_exact_way(piece: bytes):
    """Which complains about it."""
    text = container.encode(login(), account="A").replace(b"CRAgent", b"CR" + piece)
    assert spelling.read(text) is None
    with pytest.raises(Damaged):
        container.decode(text, name="a")


@pytest.mark.parametrize("name", ['"', "\\", "\\\\", 'a\\"', "\\u0041", "\x00", "\n", "é😀", "/", "", "}]}"])
def test_text_that_is_escaped_is_read_as_it_was_meant(name: str):
    """Also where the quote that ends a text looks escaped."""
    text = container.encode(pl.concat([odd(agentUsername=name), odd(agentUsername=name, eventIndex=1), login()]), account="A")
    frame = spelling.read(text)
    assert (frame is None) == (kernels.load() is None)
    assert container.decode(text, name="a")["agentUsername"].to_list() == [name, name, "CRAgent"]


@pytest.mark.parametrize("version", schema.VERSIONS)
def test_another_spelling_is_left_to_the_next_way(version: str):
    """The seed's example has white space in it, and is read nevertheless."""
    assert spelling.read(SEED[version]) is None
    assert_frame_equal(container.decode(SEED[version], name="a"), exact(SEED[version]))


def test_without_the_library_all_is_read_the_next_way(monkeypatch: pytest.MonkeyPatch):
    """A machine for which nothing was compiled gets the same frame."""
    text = container.encode(many(5, 4), account="A")
    before = container.decode(text, name="a")
    monkeypatch.setattr(kernels, "load", lambda: None)
    assert spelling.read(text) is None
    assert_frame_equal(container.decode(text, name="a"), before)
    assert columns.read(text) is not None


_WITHIN_BOUNDS = """
import random, sys
from pathlib import Path
import shiftlog.kernels
shiftlog.kernels.library = lambda: Path(sys.argv[1])
from shiftlog import container, metrics, schema, spelling
from wire import login, many
chance = random.Random(1)
BYTES = [b'"', b"{", b"]", b",", b"1", b"0" * 30, b"\\\\", b"null", b"\\xff", b""]
assert shiftlog.kernels.load() is not None
for version in schema.VERSIONS:
    for flat in (login(), many(3, 4)):
        text = container.encode(flat, account="A", version=version)
        assert spelling.read(text) is not None
        for container._TOGETHER in range(1, 3 * len(text), 7):
            assert container.encode(flat, account="A", version=version) == text
        for end in range(len(text) - 1):
            spelling.read(text[:end])
        for _ in range(2_000):
            other = bytearray(text)
            for _ in range(chance.randint(1, 3)):
                at = chance.randrange(len(other))
                other[at : at + chance.randint(0, 2)] = chance.choice(BYTES)
            spelling.read(bytes(other))
from shiftlog import events
from scenes import T0
text = b"".join(
    b'{"agentID":%d,"timestamp":%d,"type":3,"state":null,"userProfileIDs":[1,2, 3],'
    b'"agentNickname":"\\xc3\\xa9","sessionId":"a.b","eventId":"%d"}\\n' % (n, T0, n)
    for n in range(9)
)
assert events.plain(text, now=T0).height == 9
for end in range(len(text)):
    events.plain(text[:end], now=T0)
for _ in range(10_000):
    other = bytearray(text)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(other))
        other[at : at + chance.randint(0, 2)] = chance.choice([*BYTES, b"[" + b"7," * 3_000])
    events.plain(bytes(other), now=T0)
for start, end in ((None, None), (-5, 10_000), (100, 101), (500, 700)):
    for every in ("5m", "all"):
        for by in ("agent", "group", "profile"):
            metrics.measures(many(30, 20), every=every, by=by, start=start, end=end, now=650, timeout=100)
print("within bounds")
"""


@needs_compiler
def test_the_kernel_stays_within_its_bounds(tmp_path: Path):
    """Compiled with what watches every access (AddressSanitizer, UndefinedBehaviorSanitizer), on texts cut off anywhere, and
    changed; on frames that are written to room that ends anywhere; and on intervals in windows that cut them."""
    library, source = tmp_path / "watched.so", sorted(Path(compiling.HERE).glob("*.c"))
    watch = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-Wall", "-Wextra", "-Werror")
    subprocess.run(["cc", "-std=c11", "-O1", "-g", "-shared", "-fPIC", *watch, "-o", library, *source], check=True)
    preload = subprocess.run(["cc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout.strip()
    done = subprocess.run(
        [sys.executable, "-c", _WITHIN_BOUNDS, library],
        env=os.environ
        | {"LD_PRELOAD": preload, "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc", "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "within bounds\n", done.stderr[-3_000:]


def test_a_library_of_other_sources_is_not_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Its name says what it was made from; what was made from other C is not found."""
    for path in (*Path(compiling.HERE).glob("*.c"), *Path(compiling.HERE).glob("*.so")):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(compiling, "HERE", tmp_path)
    before = compiling.library()
    (tmp_path / "scan.c").write_text((tmp_path / "scan.c").read_text() + "\n")
    assert compiling.library() != before
    assert not compiling.library().exists()
    assert kernels.load.__wrapped__() is None


@needs_compiler
def test_compiling_leaves_one_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """That of earlier sources goes."""
    (tmp_path / "scan.c").write_text("int scan(void) { return 1; }")
    monkeypatch.setattr(compiling, "HERE", tmp_path)
    first = compiling.compile_kernels()
    (tmp_path / "scan.c").write_text("int scan(void) { return 2; }")
    second = compiling.compile_kernels()
    assert first != second
    assert list(tmp_path.glob("kernels-*")) == [second]


def test_a_compiler_that_fails_is_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """It is said, and shiftlog is installed without."""
    (tmp_path / "scan.c").write_text("this is not C")
    monkeypatch.setattr(compiling, "HERE", tmp_path)
    assert compiling.compile_kernels() is None
    monkeypatch.setenv("CC", "no-such-compiler")
    assert compiling.compile_kernels() is None
    assert [path.name for path in tmp_path.iterdir()] == ["scan.c"]
    assert shutil.which("cc") is None or "slower" in capsys.readouterr().err
