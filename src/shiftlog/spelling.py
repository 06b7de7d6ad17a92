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


class Reader:
    """Reads one text after another, and keeps the room that the kernel writes to: new memory costs more than what is done with it."""

    def __init__(self) -> None:
        self._room: _Room | None = None

    def read(self, text: bytes | memoryview) -> pl.DataFrame | None:
        """The sessions of the documents in `text` as a frame with the columns of `DECODED`; None if one is spelled otherwise."""
        library = kernels.load()
        if library is None:
            return None
        spelled = spelling(_is_tagged(text))
        if self._room is None or self._room.length < len(text) or self._room.spelled is not spelled:
            self._room = _Room(spelled, len(text))
        return self._room.read(text, library)


class _Room:
    """Room for all that can be found in a text of so many bytes. Of memory that is never touched the system gives none."""

    def __init__(self, spelled: Spelling, length: int) -> None:
        self.spelled, self.length, self._values = spelled, length, [*spelled.head, *spelled.event]
        self._rows = length // min(sum(value.shortest for value in part) for part in (spelled.head, spelled.event)) + 1
        ends = np.cumsum([{LONG: 0, LONGS: length // 2 + 1}.get(value.kind, 2 * self._rows + 2) for value in self._values])
        self._found = np.split(np.empty(ends[-1], np.int64), ends[:-1])
        self._numbers = np.empty((len(self._values), self._rows), np.int64)
        self._given = np.empty((len(self._values), self._rows), bool)
        self._index = np.empty(self._rows, np.int64)
        self._natives = (_Value * len(self._values))()
        for native, value, *rooms in zip(self._natives, self._values, self._numbers, self._given, self._found, strict=True):
            native.literal, native.length, native.kind = value.literal, len(value.literal), value.kind
            native.tag = 0 if value.kind == BARE_TEXT else len(_TAGS[value.kind])
            native.numbers, native.given, native.found = (room.ctypes.data for room in rooms)

    def read(self, text: bytes | memoryview, library: ctypes.CDLL) -> pl.DataFrame | None:
        """The text as a frame, which has no memory in common with this room."""
        for native in self._natives:
            native.count = native.start = native.size = native.first = 0
        around = (self.spelled.opened, self.spelled.ended, self.spelled.closed)
        heads, all_values = len(self.spelled.head), len(self._values)
        document = _Document(self._natives, heads, all_values, *around, *map(len, around), self._index.ctypes.data)
        rows = library.scan(c_void_p(np.frombuffer(text, np.uint8).ctypes.data), c_int64(len(text)), byref(document))
        if rows < 0:
            return None
        try:
            columns = {value.name: self._column(i, value.kind, text, rows) for i, value in enumerate(self._values)}
        except ValueError:
            return None
        index = pl.lit(pl.Series(self._index[:rows], dtype=pl.Int32))
        columns["eventIndex"] = pl.when(index >= 0).then(index)
        return pl.select(columns[name].alias(name) for name in DECODED)

    def _column(self, i: int, kind: int, text: bytes | memoryview, rows: int) -> pl.Expr:
        """One value in all rows.

        Raises:
            ValueError: a text is not Unicode in UTF-8, or has an escape that is none.
        """
        numbers, given, count = self._numbers[i][:rows], self._given[i][:rows], self._natives[i].count
        if kind in (BARE_TEXT, TEXT):
            texts = pl.Series([None, *_texts(text, self._found[i][2 : 2 * count + 2])], dtype=pl.String)
            return pl.lit(texts).gather(pl.lit(pl.Series(numbers)))
        if kind == LONGS:
            values = pl.Series(list_array(Array.from_numpy(np.append(0, numbers)), Array.from_numpy(self._found[i][:count].copy())))
        else:
            values = pl.Series(numbers.copy())
        return pl.lit(values) if given.all() else pl.when(pl.Series(given)).then(values)


def _is_tagged(text: bytes | memoryview) -> bool:
    literal = spelling(tagged=True).head[0].literal
    return text[: len(literal)] == literal


def _texts(text: bytes | memoryview, found: np.ndarray) -> Iterator[str]:
    """The different texts of a column, which stand at these starts with these sizes."""
    places = iter(found.tolist())
    for start, size in zip(places, places, strict=True):
        piece = bytes(text[start : start + size])
        if b"\\" in piece:
            piece = msgspec.json.decode(b'"%b"' % piece, type=str).encode()  # a half of a surrogate pair is a ValueError, too
        yield piece.decode()


def read(text: bytes | memoryview) -> pl.DataFrame | None:
    """The sessions of the documents in one text, as `Reader.read` gives them."""
    return Reader().read(text)
