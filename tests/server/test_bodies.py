"""Bodies are bounded while they arrive, and while they are unpacked."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from shiftlog.errors import Invalid, TooLarge, Unsupported
from shiftlog.server import bodies
from shiftlog.server.bodies import unpack


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_what_was_packed_comes_out(pieces: list[bytes]):
    """Also where it was packed in several members."""
    assert unpack(b"".join(map(gzip.compress, pieces)), "gzip", 2_000) == b"".join(pieces)


@given(st.binary(min_size=1, max_size=300), st.data())
def test_a_gzip_that_is_cut_off_is_refused(content: bytes, data: st.DataObject):
    """Wherever it is cut."""
    packed = gzip.compress(content)
    end = data.draw(st.integers(1, len(packed) - 1))
    with pytest.raises(Invalid, match=r"cut off|not gzip"):
        unpack(packed[:end], "gzip", 1_000)


@given(st.binary(min_size=1, max_size=300))
def test_what_is_not_gzip_is_refused(content: bytes):
    """It is never an error of the server, whatever was sent."""
    try:
        unpack(content, "gzip", 1_000)
    except Invalid:
        return
    assert gzip.decompress(content) is not None


def test_trailing_bytes_are_refused():
    """What follows a member is another member, or damage."""
    with pytest.raises(Invalid, match="not gzip"):
        unpack(gzip.compress(b"x") + b"rest", "gzip", 1_000)


@pytest.mark.parametrize(("size", "fits"), [(1_000, True), (1_001, False)])
def test_the_limit_is_exact(size: int, fits: bool):
    """So many bytes are taken, and not one more."""
    packed = gzip.compress(b"x" * size)
    if fits:
        assert len(unpack(packed, "gzip", 1_000)) == size
    else:
        with pytest.raises(TooLarge, match="1000"):
            unpack(packed, "gzip", 1_000)


def test_a_bomb_does_not_go_off():
    """200 MB in 200 KB: no more than the limit is ever inflated."""
    bomb = gzip.compress(b"\0" * 200_000_000, 9)
    tracemalloc.start()
    with pytest.raises(TooLarge):
        unpack(bomb, "gzip", 1_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_a_bomb_of_many_members_does_not_go_off():
    """Each member costs a copy of what follows it, so there are not many."""
    with pytest.raises(TooLarge, match="members"):
        unpack(gzip.compress(b"") * 100_000, "gzip", 1_000_000)


@pytest.mark.parametrize(
    "given", ["application/x-ndjson", "Application/JSON", "application/json; charset=UTF-8", 'application/json;charset="utf-8"']
)
def test_forms_are_known_by_their_media_type(given: str):
    """In any case, with UTF-8 as the charset or none."""
    assert bodies.form(Headers({"content-type": given})) == given.split(";")[0].lower()


@pytest.mark.parametrize("given", ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", "json"])
def test_other_forms_are_refused(given: str):
    """What is allowed is said."""
    with pytest.raises(Unsupported, match="allowed: application/x-ndjson"):
        bodies.form(Headers({"content-type": given}))


@pytest.mark.parametrize(
    ("given", "found"), [("", "identity"), ("identity", "identity"), ("gzip", "gzip"), ("GZIP", "gzip"), ("x-gzip", "gzip")]
)
def test_encodings_are_gzip_or_none(given: str, found: str):
    """In any case."""
    assert bodies.encoding(Headers({"content-encoding": given})) == found


@pytest.mark.parametrize("given", ["br", "deflate", "gzip, gzip", "gzip;q=1"])
def test_other_encodings_are_refused(given: str):
    """Also gzip twice, which is a bomb's disguise."""
    with pytest.raises(Unsupported, match="allowed: gzip"):
        bodies.encoding(Headers({"content-encoding": given}))
