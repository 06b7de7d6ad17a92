"""Sessions as lines of JSON by a compiled kernel (`kernels/spell.c`), as `spelling` says how documents are spelled.

What the kernel does not take is left to `container`, which gives the same lines; so is all where it was not compiled.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Iterable, Iterator, Mapping
from ctypes import POINTER, byref, c_char_p, c_int64, c_void_p
from typing import Any

import numpy as np
import polars as pl
from arro3.core import ChunkedArray, DataType

from shiftlog import kernels
from shiftlog.spelling import BARE_TEXT, LONG, LONGS, TEXT, Spelled, spelling

_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = c_void_p, (ctypes.py_object, c_char_p)

# How columns lie in memory, as the kernel takes them.
_LAID_OUT = {
    LONG: DataType.int64(),
    BARE_TEXT: DataType.string_view(),
    TEXT: DataType.string_view(),
    LONGS: DataType.large_list(DataType.int64()),
}


class _Field(ctypes.Structure):
    """`field` of kernels/spell.c."""

    _fields_ = (
        *(("literal", c_char_p), ("length", c_int64), ("tag", c_int64), ("kind", c_int64)),
        *(("column", c_void_p), ("last", c_void_p), ("last_size", c_int64)),
    )


class _Documents(ctypes.Structure):
    """`documents` of kernels/spell.c."""

    _fields_ = (
        *(("fields", POINTER(_Field)), ("heads", c_int64), ("all", c_int64)),
        *((name, c_char_p) for name in ("opened", "ended", "closed")),
        *((f"{name}_size", c_int64) for name in ("opened", "ended", "closed")),
        *(("index", c_void_p), ("first", c_void_p), ("documents", c_int64), ("at", c_int64), ("row", c_int64)),
    )


def pieces(flat: pl.DataFrame, begins: np.ndarray, constants: Mapping[str, str], *, tagged: bool, size: int) -> Iterator[memoryview] | None:
    """The lines of the sessions that begin in the rows `begins`, in pieces of `size` bytes, the last one shorter; None if the kernel
    cannot. `flat` is as `container.encode` takes it; `constants` are accountId and schemaVersion. A piece is there until the next one
    is asked for.
    """
    library, known = kernels.load(), spelling(tagged)
    values = list(_values([*known.head, *known.event], constants))
    columns = [_laid_out(flat[value.name], value.kind) for _, value in values]
    if library is None or None in columns or flat["agentSessionId"].null_count():
        return None
    index, first = _capsule(flat["eventIndex"]), np.append(begins, flat.height).astype(np.int64)
    fields = (_Field * len(values))()
    for field, (literal, value), column in zip(fields, values, columns, strict=True):
        field.literal, field.length, field.tag = literal, len(literal), len(value.literal) - len(value.before.encode())
        field.kind, field.column = value.kind, _pointer(column, b"arrow_array")
    around = (known.opened, known.ended, known.closed + b"\n")
    shape = (len(known.head) - len(constants), len(values), *around, *map(len, around))
    documents = _Documents(fields, *shape, _pointer(index, b"arrow_array"), first.ctypes.data, len(begins), 0, 0)
    return _written(library, documents, size, (columns, index, first))


def _values(spelled: Iterable[Spelled], constants: Mapping[str, str]) -> Iterator[tuple[bytes, Spelled]]:
    """What changes from row to row, and the literals before it, in which the constants stand."""
    literal = b""
    for value in spelled:
        literal += value.literal
        if value.name in constants:
            literal += json.dumps(constants[value.name], ensure_ascii=False)[1:].encode()
        else:
            yield literal, value
            literal = b""


def _laid_out(column: pl.Series, kind: int) -> Any:
    """A column as a capsule of Arrow's, which keeps it; None where it is laid out otherwise."""
    return _capsule(column) if ChunkedArray.from_arrow(column).type == _LAID_OUT[kind] else None


def _capsule(column: pl.Series) -> Any:
    return ChunkedArray.from_arrow(column).combine_chunks().__arrow_c_array__()[1]


def _written(library: ctypes.CDLL, documents: _Documents, size: int, kept: object) -> Iterator[memoryview]:
    """The pieces; `kept` is what `documents` points to."""
    room, held = bytearray(2 * size), 0
    while held or documents.at < documents.documents:
        there = (ctypes.c_char * (len(room) - held)).from_buffer(room, held)
        wrote = library.spell(byref(documents), there, c_int64(len(there)))
        del there
        held += wrote
        if held >= size or documents.at == documents.documents:
            piece = min(held, size)
            with memoryview(room)[:piece] as view:
                yield view
            room[: held - piece] = room[piece:held]
            held -= piece
        elif not wrote:
            room += bytes(len(room))  # for an event that is longer
