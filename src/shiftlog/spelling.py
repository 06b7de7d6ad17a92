"""Documents that are spelled as `container.encode` spells them, as columns of a flat frame: the quickest way, by a compiled kernel.

A document is then one sequence of literals and values, which the kernel follows byte by byte (`kernels/scan.c`). Whatever is
spelled otherwise, in one byte even, it leaves to `columns`, which gives the same frame.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from ctypes import POINTER, byref, c_char_p, c_int64, c_void_p
from dataclasses import dataclass
from functools import cache

import msgspec
import numpy as np
import polars as pl
from arro3.core import Array, list_array

from shiftlog import kernels
from shiftlog.documents import BRANCH, DECODED
from shiftlog.schema import ACTIVITY, DATA_TYPE, HEADER, META_DATA

LONG, BARE_TEXT, TEXT, LONGS = range(4)
_TAGS = {LONG: '{"long":', BARE_TEXT: "", TEXT: '{"string":"', LONGS: '{"array":['}
_KINDS = {"long": LONG, "string": TEXT, "array": LONGS}


# ── how documents are spelled ──


@dataclass(frozen=True)
class Spelled:
    """A value: its name, its kind, and the literal before it, without the name of its type."""

    name: str
    kind: int
    before: str

    @property
    def literal(self) -> bytes:
        return (self.before + _TAGS[self.kind]).encode()

    @property
    def shortest(self) -> int:
        """Bytes that it takes at least, with its literal."""
        return len(self.before) + (1 if self.kind == BARE_TEXT else len("null"))


@dataclass(frozen=True)
class Spelling:
    """A document: the values that it has once, those that an event has, and the literals around the events."""

    head: list[Spelled]
    opened: bytes
    event: list[Spelled]
    ended: bytes
    closed: bytes


@cache
def spelling(tagged: bool) -> Spelling:
    """As `container.encode` writes it, with `tagged` for the newer envelope."""
    meta, records, closed = (f'{{"{META_DATA}":', '{"array":', "}}") if tagged else ("", "", "}")
    start = f'{{"dataType":{{"{DATA_TYPE}":"AgentActivity"}},"metaData":{meta}{{"accountId":{{"string":"'
    activity = f'[{{"body":{{"{ACTIVITY}":{{"header":{{"{HEADER}":{{"agentSessionId":{{"string":"'
    head = [
        Spelled("accountId", BARE_TEXT, start),
        Spelled("schemaVersion", BARE_TEXT, '},"schemaVersion":"'),
        Spelled("sessionStartTime", LONG, ',"startTime":'),
        Spelled("sessionEndTime", LONG, ',"endTime":'),
        Spelled("agentSessionId", BARE_TEXT, f'{"}" if tagged else ""}}},"recordCollection":{records}{activity}'),
    ]
    event = [Spelled(name, _KINDS[branch], f'{"," if i else "{"}"{name}":') for i, (name, branch) in enumerate(BRANCH.items())]
    return Spelling(head, b'}}},"agentSessionsData":{"array":[', event, b"}", f"]}}}}}}}}]{closed}".encode())


# ── what the kernel is given ──


class _Value(ctypes.Structure):
    """`value` of kernels/scan.c."""

    _fields_ = (
        *(("literal", c_char_p), ("length", c_int64), ("tag", c_int64), ("kind", c_int64)),
        *(("numbers", c_void_p), ("given", c_void_p), ("found", c_void_p)),
        *((name, c_int64) for name in ("count", "start", "size", "first")),
    )


class _Document(ctypes.Structure):
    """`document` of kernels/scan.c."""

    _fields_ = (
        *(("values", POINTER(_Value)), ("heads", c_int64), ("all", c_int64)),
        *((name, c_char_p) for name in ("opened", "ended", "closed")),
        *((f"{name}_size", c_int64) for name in ("opened", "ended", "closed")),
        ("index", c_void_p),
    )


class _Column:
    """Room for what the kernel finds of one value. Of memory that is never touched the system gives none."""

    def __init__(self, spelled: Spelled, native: _Value, rows: int, length: int) -> None:
        self.spelled, self.native, self.is_text = spelled, native, spelled.kind in (BARE_TEXT, TEXT)
        self.numbers, self.given = np.empty(rows, np.int64), np.empty(rows, bool)
        self.found = np.empty({LONG: 0, LONGS: length // 2 + 1}.get(spelled.kind, 2 * rows + 2), np.int64)
        native.literal, native.length, native.kind = spelled.literal, len(spelled.literal), spelled.kind
        native.tag = 0 if spelled.kind == BARE_TEXT else len(_TAGS[spelled.kind])
        native.numbers, native.given, native.found = (room.ctypes.data for room in (self.numbers, self.given, self.found))

    def series(self, text: bytes, rows: int) -> pl.Series:
        """The values of all rows."""
        numbers = self.numbers[:rows]
        if self.is_text:
            return pl.Series([None, *self._texts(text)], dtype=pl.String).gather(numbers)
        if self.spelled.kind == LONGS:
            offsets, items = np.concatenate(([0], numbers)), self.found[: self.native.count]
            values = pl.Series(list_array(Array.from_numpy(offsets), Array.from_numpy(items)))
        else:
            values = pl.Series(numbers)
        given = pl.Series(self.given[:rows])
        return values if given.all() else pl.select(pl.when(given).then(values)).to_series()

    def _texts(self, text: bytes) -> Iterator[str]:
        """The different texts.

        Raises:
            ValueError: one is not Unicode in UTF-8, or has an escape that is none.
        """
        found = self.found[2 : 2 * self.native.count + 2].tolist()
        for start, size in zip(found[::2], found[1::2], strict=True):
            piece = text[start : start + size]
            if b"\\" in piece:
                piece = msgspec.json.decode(b'"%b"' % piece, type=str).encode()  # a half of a surrogate pair is a ValueError, too
            yield piece.decode()


def read(text: bytes) -> pl.DataFrame | None:
    """The sessions of the documents in `text` as a frame with the columns of `DECODED`; None if one is spelled otherwise."""
    library = kernels.load()
    if library is None:
        return None
    spelled = spelling(text.startswith(spelling(tagged=True).head[0].literal))
    values = [*spelled.head, *spelled.event]
    rows = len(text) // min(sum(value.shortest for value in part) for part in (spelled.head, spelled.event)) + 1
    natives = (_Value * len(values))()
    columns = [_Column(value, native, rows, len(text)) for value, native in zip(values, natives, strict=True)]
    index = np.empty(rows, np.int64)
    around = (spelled.opened, spelled.ended, spelled.closed)
    document = _Document(natives, len(spelled.head), len(values), *around, *map(len, around), index.ctypes.data)
    count = library.scan(text, c_int64(len(text)), byref(document))
    if count < 0:
        return None
    try:
        frame = pl.DataFrame({column.spelled.name: column.series(text, count) for column in columns})
    except ValueError:
        return None
    place = pl.Series(index[:count], dtype=pl.Int32)
    return frame.with_columns(eventIndex=pl.when(place >= 0).then(place)).select(DECODED.keys())
