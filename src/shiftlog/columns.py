"""Documents many at a time, as columns of a flat frame: the quick way, for text that is as the schema wants it.

All of a text is in one envelope, and every value stands under the name of its type; members may come in any order, with
unknown ones among them, and there may be any white space. Of what arrow-rs would not read exactly this way gives up, and
leaves it to `documents`.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import msgspec
import numpy as np
import polars as pl
from arro3.core import DataType, Field, Schema, Table
from arro3.io import read_json

from shiftlog.documents import BRANCH, DECODED, TABLE_SPELLING
from shiftlog.schema import ACTIVITY, HEADER, META_DATA

_ENVELOPE = re.compile(rb'"recordCollection"\s*:\s*([\[{])')
# An escaped NUL, and the first half of a surrogate pair whose seventh bit arrow-rs loses: it reads U+20000 as U+10000.
_MISREAD = re.compile(rb"\\u(?:0000|[dD][89abAB][4-7c-fC-F])")
_BATCH = 1 << 20  # bytes of text that arrow-rs takes at a time: with 16 times more it is half as fast
_SLICE = 1 << 18  # bytes that numpy looks at together: they stay in the processor's cache


class _AnyObject(msgspec.Struct):
    """A JSON object whose members are skipped; skipping validates them."""


_object = msgspec.json.Decoder(_AnyObject)


def read(text: bytes) -> pl.DataFrame | None:
    """The sessions of the documents in `text` as a frame with the columns of `DECODED`; None where only `documents` knows."""
    envelope = _ENVELOPE.search(text)
    count = _count(text) if envelope else 0
    if not envelope or not count or _may_have_fractions(text):
        return None
    tagged = envelope[1] == b"{"
    try:
        table = read_json(text, _schema(tagged), batch_size=max(1, count * _BATCH // len(text))).read_all().combine_chunks()
    except Exception:  # arro3 raises nothing narrower
        return None
    return _flat(table, tagged, text)


def _count(text: bytes) -> int:
    """How many documents there are, if `text` is nothing but JSON objects, and arrow-rs can be given it; else 0.

    arrow-rs takes more for JSON than JSON is, and its binding aborts the process where an error message would hold a
    NUL or a million brackets. msgspec refuses all of these, but for a NUL that is escaped.
    """
    if b"\\" in text and _MISREAD.search(text):
        return 0
    try:
        return len(_object.decode_lines(text))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0


def _may_have_fractions(text: bytes) -> bool:
    """Whether a number may have a fraction or an exponent; arrow-rs cuts 1.5 to 1 without a word.

    Text in quotes that looks like such a number says yes, too.
    """
    whole = np.frombuffer(text, np.uint8)
    for start in range(0, len(text), _SLICE):
        byte = whole[start : start + _SLICE + 2]
        mark = (byte[1:-1] == ord(".")) | (byte[1:-1] | 0x20 == ord("e"))
        digit = byte[:-2] - ord("0") < 10  # bytes wrap around, so that nothing lies below 0
        at = np.flatnonzero(mark & digit)
        at = at[byte[at + 2] - ord("+") < 15]  # digits and signs lie between + and 9
        if any(_ends_number(text, start + int(i) + 1) for i in at):
            return True
    return False


def _ends_number(text: bytes, end: int) -> bool:
    """Whether the digits before `end` began where a value may begin, and not within a word."""
    before = text[max(0, end - 32) : end].rstrip(b"0123456789").removesuffix(b"-")
    return before[-1:] in (b"", b":", b",", b"[", b" ", b"\t", b"\r", b"\n")


@cache
def _schema(tagged: bool) -> Schema:
    """The shape of a document, as far as it is read; what it does not name is skipped."""
    text, long, longs = DataType.large_string(), DataType.int64(), DataType.large_list(DataType.int64())
    types = {"string": text, "long": long, "array": longs}
    event = {name: {branch: types[branch]} for name, branch in BRANCH.items()}
    event["agentEmployeeId"]["long"] = long  # as in the seed's table
    data = {"header": {HEADER: {"agentSessionId": {"string": text}}}, "agentSessionsData": {"array": [event]}}
    meta = {"accountId": {"string": text}, "schemaVersion": text, "startTime": {"long": long}, "endTime": {"long": long}}
    records = [{"body": {ACTIVITY: data}}]
    document = {
        "metaData": {META_DATA: meta} if tagged else meta,
        "recordCollection": {"array": records} if tagged else records,
    }
    return Schema([Field(name, _type(shape), nullable=True) for name, shape in document.items()])


def _type(shape: Any) -> DataType:
    """The type of a shape: a dict is a struct, a list of one shape is a list, and the rest are types."""
    if isinstance(shape, dict):
        return DataType.struct([Field(name, _type(inner), nullable=True) for name, inner in shape.items()])
    if isinstance(shape, list):
        return DataType.large_list(_type(shape[0]))
    leaf: DataType = shape
    return leaf


def _at(root: pl.Expr, *path: str) -> pl.Expr:
    for name in path:
        root = root.struct.field(name)
    return root


_META, _EVENT, _ID = pl.col("meta"), pl.col("event"), pl.col("id")
#: The columns that stand in a union: the union itself, and the value in it.
_UNIONS: dict[str, tuple[pl.Expr, pl.Expr]] = {
    "agentSessionId": (_ID, _at(_ID, "string")),
    "sessionStartTime": (_at(_META, "startTime"), _at(_META, "startTime", "long")),
    "sessionEndTime": (_at(_META, "endTime"), _at(_META, "endTime", "long")),
    "accountId": (_at(_META, "accountId"), _at(_META, "accountId", "string")),
    **{name: (_at(_EVENT, name), _at(_EVENT, name, branch)) for name, branch in BRANCH.items()},
}
_EMPLOYEE = _at(_EVENT, "agentEmployeeId")
_UNIONS["agentEmployeeId"] = (_EMPLOYEE, pl.coalesce(_at(_EMPLOYEE, "string"), _at(_EMPLOYEE, "long").cast(pl.String)))


def _flat(table: Table, tagged: bool, text: bytes) -> pl.DataFrame | None:
    """The rows of what arrow-rs decoded, or None if it left something out."""
    meta, records = (pl.col("metaData"), pl.col("recordCollection"))
    if tagged:
        meta, records = _at(meta, META_DATA), _at(records, "array")
    data = _at(pl.col("record"), "body", ACTIVITY)
    sessions = (
        pl.DataFrame(table)
        .select(meta=meta, record=records)
        .explode("record")
        .select("meta", id=_at(data, "header", HEADER, "agentSessionId"), event=_at(data, "agentSessionsData", "array"))
    )
    if sessions["event"].null_count():
        return None
    rows = sessions.with_columns(eventIndex=pl.int_ranges(0, _EVENT.list.len(), dtype=pl.Int32)).explode(
        "event", "eventIndex", empty_as_null=True
    )
    flat = rows.select(
        *(value.alias(name) for name, (_, value) in _UNIONS.items()), "eventIndex", schemaVersion=_at(_META, "schemaVersion")
    )
    return flat.select(DECODED.keys()) if _is_whole(flat, rows, text) else None


def _is_whole(flat: pl.DataFrame, rows: pl.DataFrame, text: bytes) -> bool:
    """Whether all that was in `text` is in `flat`. arrow-rs reads a value under a wrong name as null, which null counts tell."""
    given = rows.select(union.alias(name) for name, (union, _) in _UNIONS.items())
    withdrawn = rows["eventIndex"].null_count()
    return (
        not flat["agentSessionId"].null_count()
        and not flat["schemaVersion"].null_count()
        and rows["event"].null_count() == withdrawn
        and all(flat[name].null_count() == given[name].null_count() for name in _UNIONS)
        and not any(flat[name].null_count() > withdrawn and f'"{other}"'.encode() in text for name, other in TABLE_SPELLING.items())
    )
