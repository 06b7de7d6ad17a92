"""Bodies are bounded while they arrive, and while they are unpacked."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.requests import Request

from shiftlog.errors import Invalid, Later, TooLarge, TooSlow, Unsupported
from shiftlog.server import bodies
from shiftlog.server.bodies import Bodies, unpack


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


def request(*pieces: bytes, every: float) -> Request:
    """A request whose body comes in pieces, with a rest before each."""
    waiting = list(pieces)

    async def receive() -> dict[str, object]:
        await asyncio.sleep(every)
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    return Request({"type": "http", "headers": []}, receive)


async def received(bodies: Bodies, slow: Request) -> bytes:
    async with bodies.receive(slow) as body:
        return body


def test_a_body_may_be_slow_at_first():
    """And for as long as its bytes take at the least rate."""
    patient = Bodies(1_000, seconds=0.5, rate=200)
    pieces = [b"x" * 100] * 5
    assert asyncio.run(received(patient, request(*pieces, every=0.15))) == b"".join(pieces)


@pytest.mark.parametrize("pieces", [[b""], [b"x"] * 50])
def test_a_body_that_does_not_arrive_is_not_waited_for(pieces: list[bytes]):
    """Neither one that comes no further, nor one that trickles."""
    impatient = Bodies(1_000, seconds=0.05, rate=1_000)
    with pytest.raises(TooSlow, match="at least 1000 a second"):
        asyncio.run(received(impatient, request(*pieces, every=60 if len(pieces) == 1 else 0.01)))
    assert (impatient._held, dict(impatient._of)) == (0, {})


def test_one_key_holds_no_more_than_half():
    """So that the others can send something, too."""
    held = Bodies(100, seconds=60)

    async def scene() -> bytes:
        async with AsyncExitStack() as stack:
            for _ in range(16):
                await stack.enter_async_context(held.receive(request(b"x" * 100, every=0), key_id=1))
            with pytest.raises(Later):
                await stack.enter_async_context(held.receive(request(b"x" * 100, every=0), key_id=1))
            async with held.receive(request(b"y" * 100, every=0), key_id=2) as body:
                return body

    assert asyncio.run(scene()) == b"y" * 100
