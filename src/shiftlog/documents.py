"""Documents one at a time, exactly, as a flat frame: all that can be meant is read, and what cannot is named.

Both envelopes, even in one file; values with or without their type's name, whichever name it is; whole numbers as text; the
spelling of the seed's table; members in any order and unknown ones among them; documents over several lines or without
a line end between them. `columns` reads the usual text to the same frame, eight times as fast.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import polars as pl

from shiftlog.errors import Damaged
from shiftlog.events import FLAT, INT64_MAX, INT64_MIN, WIRE
from shiftlog.schema import ACTIVITY, HEADER, META_DATA

#: What documents are read into: sessions as a flat frame, each row with its document's account and schema version.
DECODED: dict[str, pl.DataType] = {**FLAT, "accountId": pl.String(), "schemaVersion": pl.String()}
#: The name of each wire field's type, under which its value stands in the union with null.
BRANCH = {
    name: "array" if isinstance(dtype, pl.List) else "string" if isinstance(dtype, pl.String) else "long" for name, dtype in WIRE.items()
}
# The seed's table spells agentUserName, agentNickName and agentLoginName; its example and every file do not.
TABLE_SPELLING = {name: name.replace("name", "Name") for name in WIRE if name.endswith("name")}


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the text of a file: lines count from 1, bytes from 0."""

    name: str
    line: int = 1
    byte: int = 0

    def after(self, text: bytes | bytearray, end: int | None = None) -> Place:
        """The place behind `text`, or its first `end` bytes, which stands here."""
        end = len(text) if end is None else end
        lines, at = 0, text.find(b"\n", 0, end)
        while at >= 0:  # lines are long, so that this is twenty times as fast as bytes.count
            lines, at = lines + 1, text.find(b"\n", at + 1, end)
        return Place(self.name, self.line + lines, self.byte + end)

    def damaged(self, problem: str) -> Damaged:
        return Damaged(f"{self.name}: line {self.line}, byte {self.byte} of the text: {problem}")


_SPACE = re.compile(r"[ \t\r\n]*")
_WHOLE_AS_TEXT = re.compile(r"[+-]?0*[0-9]{1,19}")
_EXACT_FLOATS = 2**53
_Row = tuple[Any, ...]


class _Wrong(Exception):
    """A value is not what it should be."""

    def __init__(self, field: str, found: Any, allowed: str) -> None:
        self.field, self.found, self.allowed = field, found, allowed
        super().__init__(f"{field}: found {_shown(found)}; allowed: {allowed}")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


_json = json.JSONDecoder(parse_constant=_no_constant)


def read(text: bytes, place: Place) -> pl.DataFrame:
    """The sessions of the documents in `text`, which stands at `place`, as a frame with the columns of `DECODED`.

    A document's records are a session each, and all have its times. A session without events is one row.

    Raises:
        Damaged: not documents of agent activity, in JSON and UTF-8; names file, line and byte.
    """
    try:
        characters = text.decode()
    except UnicodeDecodeError as error:
        raise place.after(text[: error.start]).damaged(f"not UTF-8 ({error.reason}); fetch the file again") from None
    rows: list[_Row] = []
    for start, document in _values(characters, place):
        try:
            rows += _rows(document)
        except _Wrong as wrong:
            raise place.after(characters[:start].encode()).damaged(f"not a document of agent activity: {wrong}") from None
    columns = zip(*rows, strict=True) if rows else [()] * len(DECODED)
    return pl.DataFrame([_series(name, list(values)) for name, values in zip(DECODED, columns, strict=True)])


def _series(name: str, values: list[Any]) -> pl.Series:
    if BRANCH.get(name) == "array":
        import pyarrow as pa  # a Series from a list of lists costs 3 µs a row, pyarrow's array a tenth of one

        return pl.Series(name, pa.array(values, pa.large_list(pa.int64())))
    return pl.Series(name, values, DECODED[name])


def _values(characters: str, place: Place) -> Iterator[tuple[int, Any]]:
    """Each JSON value, with the index at which it begins."""
    at = _skip_space(characters, 0)
    while at < len(characters):
        try:
            value, end = _json.raw_decode(characters, at)
        except RecursionError:
            raise place.after(characters[:at].encode()).damaged("a document is nested too deeply to be one of agent activity") from None
        except ValueError as error:
            raise _not_json(characters, at, error, place) from None
        yield at, value
        at = _skip_space(characters, end)


def _skip_space(characters: str, at: int) -> int:
    space = _SPACE.match(characters, at)
    return space.end() if space else at


def _not_json(characters: str, start: int, error: ValueError, place: Place) -> Damaged:
    at: int = getattr(error, "pos", start)
    message: str = getattr(error, "msg", str(error))
    if at >= len(characters.rstrip()) or message.startswith("Unterminated string"):
        return place.after(characters.encode()).damaged("the text ends within a document; fetch the file again")
    return place.after(characters[:at].encode()).damaged(f"not JSON ({message}); fetch the file again")


def _rows(document: Any) -> Iterator[_Row]:
    """The rows of a document: one for each event of its sessions, and one for a session without events."""
    if not isinstance(document, dict) or "recordCollection" not in document:
        raise _Wrong("recordCollection", None, "an array of records, in an object")
    meta = _record(document.get("metaData"), META_DATA, {"accountId", "schemaVersion", "startTime", "endTime"}, "metaData") or {}
    start, end = _whole(meta.get("startTime"), "startTime"), _whole(meta.get("endTime"), "endTime")
    about = _text(meta.get("accountId"), "accountId"), _text(meta.get("schemaVersion"), "schemaVersion")
    for record in _array(document["recordCollection"], "recordCollection") or ():
        session, events = _session(record)
        for i, event in enumerate(events):
            yield session, start, end, i, *event, *about
        if not events:
            yield session, start, end, None, *[None] * len(WIRE), *about


def _session(record: Any) -> tuple[str, list[_Row]]:
    """The id of a record's session, and its events."""
    body = record.get("body") if isinstance(record, dict) else None
    data = _record(body, ACTIVITY, {"header", "agentSessionsData"}, "body") or {}
    header = _record(data.get("header"), HEADER, {"agentSessionId"}, "header") or {}
    session = _text(header.get("agentSessionId"), "agentSessionId")
    if session is None:
        raise _Wrong("agentSessionId", None, "text")
    if "agentSessionsData" not in data:
        raise _Wrong("agentSessionsData", None, "an array of events")
    events = _array(data["agentSessionsData"], "agentSessionsData") or []
    return session, [_event(event, i) for i, event in enumerate(events)]


def _event(event: Any, index: int) -> _Row:
    """The wire fields of an event, in their order."""
    try:
        if not isinstance(event, dict):
            raise _Wrong("event", event, "an object")
        return tuple(_field(event, name, reader) for name, reader in _READERS.items())
    except _Wrong as wrong:
        raise _Wrong(f"agentSessionsData[{index}].{wrong.field}", wrong.found, wrong.allowed) from None


def _field(event: dict[str, Any], name: str, reader: Callable[[Any, str], Any]) -> Any:
    value = event.get(name)
    if value is None and name in TABLE_SPELLING:
        value = event.get(TABLE_SPELLING[name])
    return None if value is None else reader(value, name)


def _untagged(value: Any, branch: str, field: str) -> Any:
    """A value without the name of its type, if it has one. Whichever name it is: what counts is the value."""
    if not isinstance(value, dict):
        return value
    if branch in value:
        return value[branch]
    if len(value) != 1:
        raise _Wrong(field, value, f'a value, or {{"{branch}": value}}')
    return next(iter(value.values()))


def _record(value: Any, name: str, members: set[str], field: str) -> dict[str, Any] | None:
    """A record without the name of its type: it is bare if it has any of its own members."""
    if isinstance(value, dict) and not members & value.keys():
        value = _untagged(value, name, field)
    if value is not None and not isinstance(value, dict):
        raise _Wrong(field, value, "an object")
    return value


def _array(value: Any, field: str) -> list[Any] | None:
    value = _untagged(value, "array", field)
    if value is not None and not isinstance(value, list):
        raise _Wrong(field, value, "an array")
    return value


def _text(value: Any, field: str) -> str | None:
    value = _untagged(value, "string", field)
    if value is not None and (not isinstance(value, str) or not _is_unicode(value)):
        raise _Wrong(field, value, "text")
    return value


def _employee(value: Any, field: str) -> str | None:
    """Text, or a number as in the seed's table."""
    value = _untagged(value, "string", field)
    return str(_whole(value, field)) if type(value) is int else _text(value, field)


def _is_unicode(text: str) -> bool:
    """Whether it can be written in UTF-8: JSON can escape half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _whole(value: Any, field: str) -> int | None:
    value = _untagged(value, "long", field)
    if _means_whole(value):
        value = int(value)
    if value is not None and (type(value) is not int or not INT64_MIN <= value <= INT64_MAX):
        raise _Wrong(field, value, "a whole number of 64 bits")
    return value


def _wholes(value: Any, field: str) -> list[int | None] | None:
    values = _array(value, field)
    return None if values is None else [_whole(value, field) for value in values]


def _means_whole(value: Any) -> bool:
    """Whether it is not of the type of whole numbers, and yet exactly one."""
    if isinstance(value, float):
        return value.is_integer() and abs(value) <= _EXACT_FLOATS
    return isinstance(value, str) and _WHOLE_AS_TEXT.fullmatch(value) is not None


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "an array"
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


_BY_BRANCH: dict[str, Callable[[Any, str], Any]] = {"long": _whole, "string": _text, "array": _wholes}
_READERS = {name: _BY_BRANCH[branch] for name, branch in BRANCH.items()} | {"agentEmployeeId": _employee}
