"""A key tells whether an object is what was written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftlog.errors import Damaged, Missing
from shiftlog.store import Memory, sealed


@given(st.binary(min_size=1, max_size=100), st.data())
def test_any_bit_that_flips_is_seen(data: bytes, draw: st.DataObject):
    """The message names the object."""
    store, key = Memory(), sealed.name("a/b", 1, data)
    bit = draw.draw(st.integers(0, len(data) * 8 - 1))
    store.put(key, bytes(byte ^ (1 << bit % 8 if place == bit // 8 else 0) for place, byte in enumerate(data)))
    with pytest.raises(Damaged, match=key):
        sealed.fetch(store, key)


def test_what_was_written_is_fetched():
    """Two objects of the same bytes have keys of their own; one that is not there is missing."""
    store, keys = Memory(), [sealed.name("a/b", 1, b"x") for _ in range(2)]
    store.put(keys[0], b"x")
    assert sealed.fetch(store, keys[0]) == b"x"
    with pytest.raises(Missing):
        sealed.fetch(store, keys[1])


def test_objects_of_before_are_taken_as_they_are():
    """Their keys tell nothing."""
    store = Memory()
    store.put("landing/2026-01-01/1-0123456789ab.parquet", b"x")
    assert sealed.checksum("landing/2026-01-01/1-0123456789ab.parquet") is None
    assert sealed.fetch(store, "landing/2026-01-01/1-0123456789ab.parquet") == b"x"
