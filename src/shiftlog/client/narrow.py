"""A part's `.parquet` with only the columns of a lake's file: the pages are taken as they are, and none is read or compressed again.

Equal columns are equal pages where one build of Polars has written them with the same settings, so the outcome is what writing the
rows would be, to the byte. What this build has not written, or not in one row group, is left to those who read and write rows.

A Parquet file has for each column its pages and what it is about; then the bounds of each column's pages, then the places of all
pages; and last the footer, which repeats what the columns are about. All but the pages is in Thrift's compact protocol.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import polars as pl

from shiftlog.lake import SCHEMA
from shiftlog.sessions import TWIN

_MAGIC = b"PAR1"
_TRUTH, _BYTE, _WHOLE, _BYTES, _LIST, _STRUCT = {1, 2}, 3, {4, 5, 6}, 8, 9, 12  # Thrift's types
# The numbers of fields (parquet.thrift): of the footer, a column, what it is about, and the places of its pages.
_ROWS, _GROUPS = 3, 4
_ABOUT, _PLACES, _PLACES_SIZE, _BOUNDS, _BOUNDS_SIZE = 3, 4, 5, 6, 7
_PLAIN_SIZE, _SIZE, _DATA, _DICTIONARY = 6, 7, 9, 11


def written(frame: pl.DataFrame) -> bytes:
    """The bytes of a file of the lake; equal rows give equal bytes."""
    buffer = io.BytesIO()
    # One chunk: how a frame came to be must not show in the bytes.
    frame.rechunk().write_parquet(buffer, compression="zstd", compression_level=3, row_group_size=100_000)
    return buffer.getvalue()


def narrowed(parquet: bytes, rows: int) -> bytes | None:
    """What `written` gives for the rows of a part's `.parquet`, so many; None where that cannot be had without reading them."""
    footer = _footer(parquet)
    begins, ends = _around(whole=True)
    begins += _number(rows) + _group(len(TWIN))
    if not (footer.startswith(begins) and footer.endswith(ends)):
        return None
    try:
        there, at = [], len(begins)
        for _ in TWIN:
            there.append(_Column.read(footer, at))
            at = there[-1].end
        moved, at = [], len(_MAGIC)
        for place in _KEPT:
            moved.append(_moved(there[place], parquet, footer, at))
            at += len(moved[-1].pages) + len(moved[-1].about)
    except (IndexError, KeyError, ValueError, _Unknown):
        return None
    return _file(moved, at, rows)


_KEPT = [list(TWIN).index(name) for name in SCHEMA]


def _file(columns: list[_Moved], end: int, rows: int) -> bytes:
    """A file of columns whose pages lie up to a byte."""
    places = end + sum(len(column.bounds) for column in columns)
    sizes = (sum(column.plain_size for column in columns), rows, len(_MAGIC), sum(column.size for column in columns))
    begins, ends = _around(whole=False)
    footer = [begins, _number(rows), _group(len(columns))]
    for column in columns:
        index = (places, len(column.places), end, len(column.bounds))
        footer += b"\x26", _number(column.offset), b"\x1c", column.about, _numbers(b"\x16\x15\x16\x15", index), b"\x00"
        places, end = places + len(column.places), end + len(column.bounds)
    footer += _numbers(b"\x16\x16\x26\x16", sizes), b"\x14\x00\x00", ends
    text = b"".join(footer)
    pages = (piece for column in columns for piece in (column.pages, column.about))
    sections = (*(column.bounds for column in columns), *(column.places for column in columns))
    return b"".join((_MAGIC, *pages, *sections, text, len(text).to_bytes(4, "little"), _MAGIC))


class _Column(NamedTuple):
    """A column as a footer has it: where the fields begin of what it is about, and of where its index lies."""

    offset: int
    start: int
    about: dict[int, int]
    stop: int
    sections: dict[int, int]
    end: int

    @classmethod
    def read(cls, footer: bytes, at: int) -> _Column:
        offset, start = _whole(footer, at + 1)
        if footer[at] != 0x26 or footer[start] != 0x1C:
            raise _Unknown
        about, stop = _struct(footer, start + 1)
        return cls(offset, start + 1, about, stop, *_struct(footer, stop, _ABOUT))


class _Moved(NamedTuple):
    """A column in its place: its bytes in each section of a file, and what its row group says of it."""

    offset: int
    pages: bytes
    about: bytes
    bounds: bytes
    places: bytes
    plain_size: int
    size: int


def _moved(column: _Column, parquet: bytes, footer: bytes, begin: int) -> _Moved:
    """A column whose pages begin somewhere else."""

    def about(name: int) -> int:
        return _whole(footer, column.about[name])[0]

    def section(place: int, size: int) -> bytes:
        start = _whole(footer, column.sections[place])[0]
        return parquet[start : start + _whole(footer, column.sections[size])[0]]

    places = [name for name in (_DATA, _DICTIONARY) if name in column.about]
    start, size = min(map(about, places)), about(_SIZE)
    said = footer[column.start : column.stop]
    if parquet[start + size : start + size + len(said)] != said:
        raise _Unknown
    shift = begin - start
    return _Moved(
        column.offset + shift,
        parquet[start : start + size],
        _plus(footer, column.start, [column.about[name] for name in places], column.stop, shift),
        section(_BOUNDS, _BOUNDS_SIZE),
        _further(section(_PLACES, _PLACES_SIZE), shift),
        about(_PLAIN_SIZE),
        size,
    )


def _further(places: bytes, shift: int) -> bytes:
    """The places of a column's pages, so many bytes further."""
    if places[0] != 0x19 or places[1] & 15 != _STRUCT:
        raise _Unknown
    count, at = _count(places, 1)
    first = []
    for _ in range(count):
        page, at = _struct(places, at)
        first.append(page[1])
    return _plus(places, 0, first, len(places), shift)


@cache
def _around(*, whole: bool) -> tuple[bytes, bytes]:
    """How the footer of a part's or of a lake's file begins, up to the number of rows, and how it ends, after its row groups."""
    footer = _footer(written(pl.DataFrame(schema=TWIN if whole else SCHEMA)))
    fields, _ = _struct(footer, 0)
    return footer[: fields[_ROWS]], footer[_after(footer, fields[_GROUPS], _LIST) :]


def _footer(parquet: bytes) -> bytes:
    return parquet[-8 - int.from_bytes(parquet[-8:-4], "little") : -8]


def _group(columns: int) -> bytes:
    """How a list of one row group begins, up to the first of its columns."""
    return b"\x19\x1c\x19\xfc" + bytes([columns])


# ── Thrift's compact protocol ──


class _Unknown(Exception):
    """Nothing that our own files have."""


def _struct(text: bytes, at: int, number: int = 0) -> tuple[dict[int, int], int]:
    """Where the values of a struct's fields begin, of those after a number, and where the struct ends."""
    fields = {}
    while head := text[at]:
        number += head >> 4
        fields[number] = at = at + 1
        if head & 15 in _WHOLE:
            while text[at] > 127:
                at += 1
            at += 1
        else:
            at = _after(text, at, head & 15)
    return fields, at + 1


def _after(text: bytes, at: int, kind: int) -> int:
    """Where a value of a type ends."""
    if kind in _WHOLE:
        return _unsigned(text, at)[1]
    if kind == _BYTES:
        size, at = _unsigned(text, at)
        return at + size
    if kind == _STRUCT:
        return _struct(text, at)[1]
    if kind == _LIST:
        of = text[at] & 15
        count, at = _count(text, at)
        for _ in range(count):
            at = _after(text, at, _BYTE if of in _TRUTH else of)
        return at
    if kind in _TRUTH:  # a field's type says which
        return at
    if kind == _BYTE:
        return at + 1
    raise _Unknown


def _count(text: bytes, at: int) -> tuple[int, int]:
    """How many items a list has, and where the first one begins."""
    return _unsigned(text, at + 1) if text[at] >> 4 == 15 else (text[at] >> 4, at + 1)


def _unsigned(text: bytes, at: int) -> tuple[int, int]:
    """A number, seven bits a byte from the lowest on, and where it ends."""
    number, bits = text[at] & 127, 7
    while text[at] > 127:
        at += 1
        number |= (text[at] & 127) << bits
        bits += 7
    return number, at + 1


def _whole(text: bytes, at: int) -> tuple[int, int]:
    """A whole number and where it ends: it is kept doubled, and the last bit is the sign."""
    doubled, at = _unsigned(text, at)
    return doubled >> 1 ^ -(doubled & 1), at


def _number(value: int) -> bytes:
    """A whole number, not negative, as `_whole` reads it."""
    rest, out = value << 1, bytearray()
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def _numbers(heads: bytes, values: Iterable[int]) -> bytes:
    """Fields of whole numbers."""
    return b"".join(bytes([head]) + _number(value) for head, value in zip(heads, values, strict=True))


def _plus(text: bytes, start: int, places: Iterable[int], stop: int, more: int) -> bytes:
    """A piece of a text in which the whole numbers at some places, in their order, are so much more."""
    if not more:
        return text[start:stop]
    out: list[bytes] = []
    at = start
    for place in places:
        number, after = _whole(text, place)
        out += text[at:place], _number(number + more)
        at = after
    return b"".join((*out, text[at:stop]))
