"""Events that are spelled plainly, one JSON object a line, as a frame: the quickest way, by a compiled kernel (`kernels/take.c`).

What is spelled otherwise, or may be wrong, it leaves to `events`, which gives the same frame, or says what is wrong.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import byref, c_char_p, c_int64, c_uint8, c_void_p
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from arro3.core import DataType, Field, Schema

from shiftlog import kernels

WHOLE, TEXT, WHOLES = range(3)
REQUIRED, NAME, NUMBER_TOO = 1, 2, 4
_NOTHING = -(2**63)


@dataclass(frozen=True)
class Plain:
    """A field: `field` of kernels/take.c says what its bounds mean."""

    name: str
    kind: int
    low: int
    high: int
    flags: int = 0
    among: Sequence[int] = ()
    most: int = 0
    otherwise: int = _NOTHING


class _Field(ctypes.Structure):
    """`field` of kernels/take.c."""

    _fields_ = (
        ("name", c_char_p),
        *((name, c_int64) for name in ("size", "kind", "flags", "low", "high", "among", "most", "otherwise")),
    )


class _Array(ctypes.Structure):
    """`ArrowArray` of Arrow's C data interface."""

    _fields_ = (
        *((name, c_int64) for name in ("length", "null_count", "offset", "n_buffers", "n_children")),
        *((name, c_void_p) for name in ("buffers", "children", "dictionary", "release", "private_data")),
    )


_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype, _new_capsule.argtypes = ctypes.py_object, (c_void_p, c_char_p, c_void_p)
_ARROW = {WHOLE: DataType.int64(), TEXT: DataType.large_utf8(), WHOLES: DataType.large_list(Field("item", DataType.int64()))}


class Reader:
    """Reads events with these fields."""

    def __init__(self, fields: Sequence[Plain]) -> None:
        self._fields = (_Field * len(fields))()
        for native, f in zip(self._fields, fields, strict=True):
            name, among = f'"{f.name}"'.encode(), sum(1 << n + 16 for n in f.among)
            native.name, native.size, native.kind, native.flags = name, len(name), f.kind, f.flags
            native.low, native.high, native.among, native.most, native.otherwise = f.low, f.high, among, f.most, f.otherwise
        self._schema = Schema([Field(f.name, _ARROW[f.kind]) for f in fields])

    def read(self, body: bytes) -> pl.DataFrame | None:
        """The events as a frame with a column for each field; None where there is no kernel, or a line is not plain."""
        library = kernels.load()
        if library is None:
            return None
        array, seen, text = _Array(), c_uint8(), np.frombuffer(body, np.uint8)
        rows = library.take(
            c_void_p(text.ctypes.data), c_int64(len(body)), self._fields, c_int64(len(self._fields)), byref(array), byref(seen)
        )
        if rows < 0:
            return None
        frame: pl.DataFrame = pl.DataFrame(_Exported(self._schema, array))
        return frame if seen.value < 0x80 or _is_unicode(body) else None


@dataclass(frozen=True)
class _Exported:
    """An array whose memory goes over to who imports it."""

    schema: Schema
    array: _Array

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[Any, Any]:
        return self.schema.__arrow_c_schema__(), _new_capsule(ctypes.addressof(self.array), b"arrow_array", None)


def _is_unicode(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
