"""The kernel writes what Polars writes, to the byte, in pieces of any size, or leaves it to Polars."""

from __future__ import annotations

import shutil
from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftlog import container, kernels, schema, writing
from wire import flat_frames, login, many

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler is there")


def by_polars(flat: pl.DataFrame, version: str = schema.DEFAULT) -> bytes:
    with patch.object(kernels, "load", lambda: None):
        return container.encode(flat, account='Ä"\\\n', version=version)


def by_the_kernel(flat: pl.DataFrame, version: str = schema.DEFAULT, size: int = 1_000) -> list[bytes]:
    begins = flat.select(container._BEGINS.arg_true()).to_series().to_numpy()
    constants = {"accountId": 'Ä"\\\n', "schemaVersion": version}
    pieces = writing.pieces(flat, begins, constants, tagged=schema.has_tagged_envelope(version), size=size)
    assert pieces is not None
    return list(map(bytes, pieces))


def odd(**values: object) -> pl.DataFrame:
    return login().with_columns(pl.lit(value, login().schema[name]).alias(name) for name, value in values.items())


@given(flat_frames, st.sampled_from(schema.VERSIONS), st.integers(1, 2_000), st.data())
@settings(max_examples=200, deadline=None)
def test_what_is_written_is_what_polars_writes(flat: pl.DataFrame, version: str, size: int, data: st.DataObject):
    """With nulls, withdrawn sessions, escapes and the ends of 64 bits; rows that come again, and frames cut out of others."""
    rows = flat[data.draw(st.lists(st.integers(0, flat.height - 1), max_size=12))] if flat.height else flat
    flat = pl.concat([flat, rows, login()])[data.draw(st.integers(0, 3)) :].rechunk()
    pieces = by_the_kernel(flat, version, size)
    assert b"".join(pieces) == by_polars(flat, version)
    assert all(len(piece) == size for piece in pieces[:-1])


def test_sessions_of_many_events_are_written_alike():
    """Where every value comes again, and where none does."""
    alike = pl.concat([login().with_columns(eventIndex=pl.lit(i, pl.Int32)) for i in range(50)])
    for flat in (many(40, 25), alike):
        assert b"".join(by_the_kernel(flat)) == by_polars(flat)


def test_every_character_is_written_alike():
    """The first of Unicode, each alone; and all of them in one text that is longer than a piece and the room for two."""
    characters = [chr(code) for code in range(0x500)]
    flat = pl.concat([odd(agentNickname=character) for character in [*characters, "".join(characters)]])
    assert b"".join(by_the_kernel(flat, size=100)) == by_polars(flat)


def test_a_list_may_hold_null():
    """Also where the list before it holds another, or a number in its place."""
    flat = pl.concat([odd(userProfileIDs=[None, 1]), odd(userProfileIDs=[None, 1]), odd(userProfileIDs=[0, 1]), odd(userProfileIDs=[None])])
    assert b"".join(by_the_kernel(flat)) == by_polars(flat)


def test_what_the_kernel_does_not_know_is_left_to_polars():
    """A session without an identity, and a column that lies otherwise in memory."""
    for flat in (odd(agentSessionId=None), login().with_columns(pl.col("state").cast(pl.Int8))):
        begins = flat.select(container._BEGINS.arg_true()).to_series().to_numpy()
        assert writing.pieces(flat, begins, {"accountId": "A", "schemaVersion": schema.DEFAULT}, tagged=False, size=100) is None
        assert container.encode(flat, account="A").count(b"\n") == 1


@pytest.mark.parametrize("flat", [login().clear(), login(), many(300, 30)])
def test_equal_frames_are_packed_alike_whoever_writes_them(flat: pl.DataFrame):
    """By the kernel, by Polars, or as lines that are there already."""
    packed = container.pack(flat, account="A")
    assert packed == container.compress(container.encode(flat, account="A"))
    with patch.object(kernels, "load", lambda: None):
        assert packed == container.pack(flat, account="A")
