"""Events: one thing an agent did (seed: Response Body), strictly parsed, as a Polars frame.

Three forms are read: NDJSON (one JSON object a line), a JSON array of objects, and a CloudEvents batch (the event in
`data`). Field names are those of the seed's example; the spelling of its table (`agentUserName`, …) is accepted too,
and so are the columns that `shiftlog decode` adds, of which only `agentSessionId` says something new: the `sessionId`.

A field that may be left out may be `null` as well. Nothing is filled in here but `type` (1) and `eventId` (a hash of
the values as sent): what else is missing is carried from the session's previous event when sessions are folded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from enum import IntEnum
from functools import cache
from hashlib import blake2b
from itertools import chain, islice
from typing import Annotated, Any, Literal, NamedTuple, cast

import msgspec
import numpy as np
import polars as pl
from arro3.core import Array, list_array
from msgspec import Meta
from msgspec.structs import astuple

from shiftlog.errors import BadEvent, Invalid, TooLarge, Unsupported
from shiftlog.hours import DAY, iso
from shiftlog.plain import NAME, NUMBER_TOO, REQUIRED, TEXT, WHOLE, WHOLES, Plain, Reader


class EventType(IntEnum):
    """What kind of event it was. The seed has no code of its own for a status change: 1 is all between login and logout."""

    UNKNOWN = -1
    CHAT = 1
    LOGIN = 3
    LOGOUT = 4


class AgentState(IntEnum):
    """The agent's status. A login event carries IRRELEVANT, which lasts until the first status."""

    UNKNOWN = -1
    IRRELEVANT = 0
    OFFLINE = 1
    ONLINE = 2
    BACK_SOON = 3
    AWAY = 4


NO_MAXIMUM = -9  # maxConcurrentEng of logins and logouts (seed: Response Body)
EARLIEST = 946_684_800_000  # 2000-01-01T00:00:00Z: an older timestamp is seconds taken for milliseconds, or a dead clock
LATEST_AHEAD = DAY
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

#: The seed's 14 fields, in the seed's order. A null is a value that was left out (`type` and the first two never are).
WIRE: dict[str, pl.DataType] = {
    "agentID": pl.Int64(),
    "type": pl.Int64(),
    "state": pl.Int64(),
    "timestamp": pl.Int64(),
    "prevState": pl.Int64(),
    "agentEmployeeId": pl.String(),
    "agentUsername": pl.String(),
    "agentNickname": pl.String(),
    "agentLoginname": pl.String(),
    "prevConcurrentEng": pl.Int64(),
    "concurrentEng": pl.Int64(),
    "maxConcurrentEng": pl.Int64(),
    "agentGroupID": pl.Int64(),
    "userProfileIDs": pl.List(pl.Int64()),
}
#: What a producer may send: the wire fields and the three that shiftlog adds. `eventId` is never null.
SENT: dict[str, pl.DataType] = {**WIRE, "eventId": pl.String(), "sessionId": pl.String(), "sequence": pl.Int64()}
#: An accepted event: what was sent, when it arrived (epoch ms), and its landing position, unique in the account.
ACCEPTED: dict[str, pl.DataType] = {**SENT, "receivedAt": pl.Int64(), "position": pl.Int64()}

#: Sessions as a flat frame, one row an event: the document's session fields (epoch ms; an end that was not seen is null),
#: the event's place in its session from 0, and the wire fields. A withdrawn session is one row that is null from
#: `eventIndex` on, but for `agentID` where it is known.
FLAT: dict[str, pl.DataType] = {
    "agentSessionId": pl.String(),
    "sessionStartTime": pl.Int64(),
    "sessionEndTime": pl.Int64(),
    "eventIndex": pl.Int32(),
    **WIRE,
}

# The table of the seed spells three names otherwise than its example and every file.
_TABLE_SPELLING = {"agentUserName": "agentUsername", "agentNickName": "agentNickname", "agentLoginName": "agentLoginname"}
_DECODED_ONLY = ("sessionStartTime", "sessionEndTime", "eventIndex")
_SESSION_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_DERIVED = re.compile(r"9\d{15}")
_TEXT_LIMIT, _ID_LIMIT, _PROFILE_LIMIT = 1_000, 200, 1_000

_Int = Annotated[int, Meta(ge=INT64_MIN, le=INT64_MAX)]
_Count = Annotated[int, Meta(ge=0, le=INT64_MAX)]
_Maximum = Annotated[int, Meta(ge=NO_MAXIMUM, le=INT64_MAX)]
_Text = Annotated[str, Meta(max_length=_TEXT_LIMIT)]
_State = Literal[-1, 0, 1, 2, 3, 4]


class AgentEvent(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """One event as a producer sends it. Its compact JSON, defaults left out, is what `eventId` is a hash of."""

    agentID: _Int
    timestamp: Annotated[int, Meta(ge=EARLIEST, le=INT64_MAX)]
    type: Literal[-1, 1, 3, 4] | None = 1
    state: _State | None = None
    prevState: _State | None = None
    agentEmployeeId: _Int | _Text | None = None
    agentUsername: _Text | None = None
    agentNickname: _Text | None = None
    agentLoginname: _Text | None = None
    prevConcurrentEng: _Count | None = None
    concurrentEng: _Count | None = None
    maxConcurrentEng: _Maximum | None = None
    agentGroupID: _Int | None = None
    userProfileIDs: Annotated[list[_Int], Meta(max_length=_PROFILE_LIMIT)] | None = None
    sessionId: str | None = None  # see `_with_ids`
    sequence: _Int | None = None
    eventId: Annotated[str, Meta(min_length=1, max_length=_ID_LIMIT)] | None = None
    agentUserName: _Text | None = None
    agentNickName: _Text | None = None
    agentLoginName: _Text | None = None
    agentSessionId: _Text | None = None
    sessionStartTime: _Int | None = None
    sessionEndTime: _Int | None = None
    eventIndex: _Int | None = None


class _CloudEvent(msgspec.Struct):
    """What is used of one event of a CloudEvents batch (CloudEvents 1.0, JSON batch format)."""

    specversion: str
    id: str
    source: str
    data: msgspec.Raw


_decode_one = msgspec.json.Decoder(AgentEvent)
_decode_array = msgspec.json.Decoder(list[AgentEvent])
_decode_raw_array = msgspec.json.Decoder(list[msgspec.Raw])
_decode_cloud = msgspec.json.Decoder(list[_CloudEvent])
_encode = msgspec.json.Encoder()

NDJSON, JSON, CLOUDEVENTS = "application/x-ndjson", "application/json", "application/cloudevents-batch+json"
FORMS = (NDJSON, JSON, CLOUDEVENTS)
_CHUNK = 1 << 20  # decoding in pieces of this size keeps the garbage collector from walking 100 000 young objects at once


def parse(body: bytes, form: str, *, account: str, now: int, max_events: int | None = None) -> pl.DataFrame:
    """The events of one body as a frame with the columns of `SENT`, in the body's order.

    `form` is one of `FORMS`; `now` is epoch ms and bounds timestamps from above; `account` is the one whose
    `agentSessionId`s are understood.

    Raises:
        BadEvent: an event is wrong; names its line or index, the field, what was found and what is allowed.
        Invalid: the body is empty, not UTF-8, or not of this form.
        TooLarge: more than `max_events` events.
        Unsupported: `form` is none of `FORMS`.
    """
    if form == NDJSON and (frame := plain(body, now=now)) is not None and (max_events is None or frame.height <= max_events):
        return frame
    return exactly(body, form, account=account, now=now, max_events=max_events)


def exactly(body: bytes, form: str, *, account: str, now: int, max_events: int | None = None) -> pl.DataFrame:
    """As `parse`, for any spelling, and with a reason where something is wrong."""
    events: list[AgentEvent] = []
    for chunk in _chunks(body, form):
        events += chunk
        if max_events is not None and len(events) > max_events:
            raise TooLarge(f"the request has more than {max_events} events; send at most {max_events} at a time")
    if not events:
        raise Invalid("the body holds no event; one JSON object a line, or an array of them, is expected")
    _normalise(events, lambda i: _place(body, form, i), account, now)
    return _frame(events)


def from_sessions(flat: pl.DataFrame, *, account: str) -> pl.DataFrame:
    """The events of sessions that were read from published files (columns `FLAT`) as `SENT`: kept as they are, unknown codes too.

    `sessionId` is the number in `agentSessionId`, unless shiftlog gave it; so folding again makes the same sessions.

    Raises:
        Invalid: an event without agentID or timestamp.
    """
    rows = flat.filter(pl.col("eventIndex").is_not_null())
    for name in _REQUIRED:
        if rows[name].has_nulls():
            session = rows.filter(pl.col(name).is_null())["agentSessionId"][0]
            raise Invalid(f"session {session} has an event without {name}, which every event must have")
    number = pl.col("agentSessionId").str.strip_prefix(f"{account}-")
    given = number.str.contains(r"^[A-Za-z0-9._:-]{1,64}$") & ~number.str.contains(r"^9\d{15}$")
    rows = rows.with_columns(pl.when(given).then(number).alias("sessionId"), pl.col("type").fill_null(EventType.UNKNOWN))
    events = [AgentEvent(**row) for row in rows.select(*WIRE, "sessionId").iter_rows(named=True)]
    for event in events:
        event.eventId = _hash(event)
    return _frame(events) if events else pl.DataFrame(schema=SENT)


def derived(session_id: str) -> bool:
    """Whether a session's number has the form that shiftlog gives itself: 16 digits that begin with 9."""
    return _DERIVED.fullmatch(session_id) is not None


# ── reading the three forms ──


@cache
def _reader() -> Reader:
    """Reads events in which nothing is missing that is filled in here but `type`, and nothing is spelled in an older way."""
    known = {
        "agentID": Plain("agentID", WHOLE, INT64_MIN, INT64_MAX, REQUIRED),
        "timestamp": Plain("timestamp", WHOLE, EARLIEST, INT64_MAX, REQUIRED),
        "type": Plain("type", WHOLE, 1, 1, among=[*EventType], otherwise=1),
        "state": Plain("state", WHOLE, 0, 0, among=[*AgentState]),
        "prevState": Plain("prevState", WHOLE, 0, 0, among=[*AgentState]),
        "agentEmployeeId": Plain("agentEmployeeId", TEXT, 0, _TEXT_LIMIT, NUMBER_TOO),
        "prevConcurrentEng": Plain("prevConcurrentEng", WHOLE, 0, INT64_MAX),
        "concurrentEng": Plain("concurrentEng", WHOLE, 0, INT64_MAX),
        "maxConcurrentEng": Plain("maxConcurrentEng", WHOLE, 0, INT64_MAX, among=[-1, NO_MAXIMUM]),
        "userProfileIDs": Plain("userProfileIDs", WHOLES, INT64_MIN, INT64_MAX, most=_PROFILE_LIMIT),
        "eventId": Plain("eventId", TEXT, 1, _ID_LIMIT, REQUIRED),
        "sessionId": Plain("sessionId", TEXT, 1, 64, NAME),
    }
    usual = {pl.Int64(): Plain("", WHOLE, INT64_MIN, INT64_MAX), pl.String(): Plain("", TEXT, 0, _TEXT_LIMIT)}
    return Reader([known.get(name) or replace(usual[dtype], name=name) for name, dtype in SENT.items()])


def plain(body: bytes, *, now: int) -> pl.DataFrame | None:
    """As `parse` reads lines that are spelled plainly; None where it has to be read exactly."""
    frame = _reader().read(body)
    if frame is None or frame.is_empty() or cast("int", frame["timestamp"].max()) > now + LATEST_AHEAD:
        return None
    return frame


def _chunks(body: bytes, form: str) -> Iterator[list[AgentEvent]]:
    if form == NDJSON:
        yield from _ndjson(body)
    elif form == JSON:
        yield _array(body)
    elif form == CLOUDEVENTS:
        yield _cloudevents(body)
    else:
        raise Unsupported(f"events in {form!r} are not understood; allowed: {', '.join(FORMS)}")


def _ndjson(body: bytes) -> Iterator[list[AgentEvent]]:
    start, line = 0, 1
    while start < len(body):
        end = body.find(b"\n", start + _CHUNK) + 1 or len(body)
        lines = body[start:end].split(b"\n")
        try:
            # Line by line: `decode_lines` would take two objects on one line, or one on two, and no line's number would be right.
            yield _with_ids([_decode_one.decode(text) for text in lines if text.strip()])
        except (msgspec.DecodeError, UnicodeDecodeError):
            yield [_one(text, f"line {line + i}") for i, text in enumerate(lines) if text.strip()]
        start, line = end, line + len(lines) - 1


def _array(body: bytes) -> list[AgentEvent]:
    try:
        return _with_ids(_decode_array.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return [_one(raw, f"event {i}") for i, raw in enumerate(_array_of(body, _decode_raw_array), 1)]


def _cloudevents(body: bytes) -> list[AgentEvent]:
    events = []
    for i, cloud in enumerate(_array_of(body, _decode_cloud), 1):
        event = _one(cloud.data, f"event {i}, data")
        # CloudEvents: source and id together name an event, so a repeat is known by them.
        event.eventId = event.eventId or _cloud_id(cloud)
        events.append(event)
    return events


def _cloud_id(cloud: _CloudEvent) -> str:
    name = f"{cloud.source}#{cloud.id}"
    return name if len(name) <= _ID_LIMIT else blake2b(name.encode(), digest_size=16).hexdigest()


def _array_of(body: bytes, decoder: msgspec.json.Decoder[Any]) -> list[Any]:
    try:
        result: list[Any] = decoder.decode(body)
    except UnicodeDecodeError as error:
        raise Invalid(f"the body is not UTF-8: {error}") from None
    except msgspec.ValidationError as error:
        raise Invalid(f"the body is not a JSON array of events: {error}") from None
    except msgspec.DecodeError as error:
        raise Invalid(f"the body is not JSON: {error}") from None
    return result


def _one(raw: bytes | msgspec.Raw, where: str) -> AgentEvent:
    try:
        [event] = _with_ids([_decode_one.decode(raw)])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _explained(bytes(raw), where, error) from None
    return event


def _with_ids(events: list[AgentEvent]) -> list[AgentEvent]:
    """The events, if what they give as `sessionId` may be one. Sessions have many events: as a type's pattern, this took a third of
    the time of decoding.

    Raises:
        msgspec.ValidationError: it may not.
    """
    if not all(map(_SESSION_ID.fullmatch, {event.sessionId for event in events if event.sessionId is not None})):
        raise msgspec.ValidationError("a sessionId that is none")
    return events


# ── what cannot be said in types ──


def _place(body: bytes, form: str, index: int) -> str:
    """Where the event of this index stands in its body, in words."""
    if form != NDJSON:
        return f"event {index + 1}"
    lines = (number for number, text in enumerate(body.split(b"\n"), 1) if text.strip())
    return f"line {next(islice(lines, index, None))}"


def _normalise(events: list[AgentEvent], place: Callable[[int], str], account: str, now: int) -> None:
    latest, prefix = now + LATEST_AHEAD, f"{account}-"
    for i, event in enumerate(events):
        if event.timestamp > latest:
            raise BadEvent(place(i), "timestamp", f"{event.timestamp} ({_when(event.timestamp)})", f"at most a day ahead of now ({latest})")
        if event.maxConcurrentEng is not None and NO_MAXIMUM < event.maxConcurrentEng < -1:
            raise BadEvent(place(i), "maxConcurrentEng", str(event.maxConcurrentEng), RULES["maxConcurrentEng"].allowed)
        if event.sessionId is not None and derived(event.sessionId):
            raise BadEvent(place(i), "sessionId", repr(event.sessionId), RULES["sessionId"].allowed)
        event.type = 1 if event.type is None else event.type
        _settle_spelling(event, prefix)
        if event.agentEmployeeId is not None:
            event.agentEmployeeId = str(event.agentEmployeeId)
        if event.eventId is None:
            event.eventId = _hash(event)


def _hash(event: AgentEvent) -> str:
    return blake2b(_encode.encode(event), digest_size=16).hexdigest()


def _settle_spelling(event: AgentEvent, prefix: str) -> None:
    if event.agentUserName is not None:
        event.agentUsername, event.agentUserName = event.agentUsername or event.agentUserName, None
    if event.agentNickName is not None:
        event.agentNickname, event.agentNickName = event.agentNickname or event.agentNickName, None
    if event.agentLoginName is not None:
        event.agentLoginname, event.agentLoginName = event.agentLoginname or event.agentLoginName, None
    if event.agentSessionId is not None:
        number = event.agentSessionId.removeprefix(prefix)
        if event.sessionId is None and not derived(number) and _SESSION_ID.fullmatch(number):
            event.sessionId = number
        event.agentSessionId = event.sessionStartTime = event.sessionEndTime = event.eventIndex = None


def _when(instant: int) -> str:
    try:
        return iso(instant)
    except OverflowError:
        return "beyond the calendar"


def _frame(events: Sequence[AgentEvent]) -> pl.DataFrame:
    # All values of an event at once, while it is at hand: going through the events once a column takes half as long again.
    given = dict(zip(AgentEvent.__struct_fields__, map(list, zip(*map(astuple, events), strict=True)), strict=True))
    profiles = "userProfileIDs"
    return pl.DataFrame(
        [_lists(profiles, given[profiles]) if name == profiles else pl.Series(name, given[name], SENT[name]) for name in SENT]
    )


def _lists(name: str, given: Sequence[list[int] | None]) -> pl.Series:
    # A Series from a list of lists costs 3 µs a row; from all values and the offsets between them, a tenth of that.
    offsets = np.zeros(len(given) + 1, np.int64)
    np.cumsum([len(ids) if ids else 0 for ids in given], out=offsets[1:])
    values = np.fromiter(chain.from_iterable(filter(None, given)), np.int64, count=int(offsets[-1]))
    lists = pl.Series(list_array(Array.from_numpy(offsets), Array.from_numpy(values)), dtype=SENT[name])
    if None in given:
        lists = lists.zip_with(pl.Series([ids is not None for ids in given]), pl.Series([None], dtype=SENT[name]))
    return lists.alias(name)


# ── saying what is wrong: slow, exact, and only for events that were refused ──


class Rule(NamedTuple):
    """What a field may hold, in words and as a check of the decoded JSON value."""

    allowed: str
    check: Callable[[Any], bool]


def _whole(low: int, high: int = INT64_MAX) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


def _text(limit: int, least: int = 0) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and least <= len(value) <= limit


_any_whole, _any_text = _whole(INT64_MIN), _text(_TEXT_LIMIT)
_INT = Rule("a whole number of 64 bits", _any_whole)
_COUNT = Rule("a whole number from 0", _whole(0))
_TEXT = Rule(f"text of at most {_TEXT_LIMIT} characters", _any_text)
_STATE = Rule(", ".join(f"{s.value} ({s.name.lower()})" for s in AgentState), lambda v: type(v) is int and v in list(AgentState))

#: Every field that is understood, with what it may hold.
RULES: dict[str, Rule] = {
    "agentID": _INT,
    "timestamp": Rule(f"epoch milliseconds from {EARLIEST} (2000-01-01) to a day ahead of now", _whole(EARLIEST)),
    "type": Rule(", ".join(f"{t.value} ({t.name.lower()})" for t in EventType), lambda v: type(v) is int and v in list(EventType)),
    "state": _STATE,
    "prevState": _STATE,
    "agentEmployeeId": Rule("text or a whole number", lambda v: _any_text(v) or _any_whole(v)),
    "agentUsername": _TEXT,
    "agentNickname": _TEXT,
    "agentLoginname": _TEXT,
    "prevConcurrentEng": _COUNT,
    "concurrentEng": _COUNT,
    "maxConcurrentEng": Rule(
        "a whole number from 0, or -1 or -9 where it is not known", lambda v: _whole(0)(v) or (type(v) is int and v in (-1, -9))
    ),
    "agentGroupID": _INT,
    "userProfileIDs": Rule(
        f"an array of at most {_PROFILE_LIMIT} whole numbers of 64 bits",
        lambda v: isinstance(v, list) and len(v) <= _PROFILE_LIMIT and all(map(_any_whole, v)),
    ),
    "sessionId": Rule(
        "1 to 64 of A-Z a-z 0-9 . _ : -, and not 16 digits that begin with 9",
        lambda v: isinstance(v, str) and _SESSION_ID.fullmatch(v) is not None and not derived(v),
    ),
    "sequence": _INT,
    "eventId": Rule(f"text of 1 to {_ID_LIMIT} characters", _text(_ID_LIMIT, 1)),
}
_ALIASES = {**_TABLE_SPELLING, "agentSessionId": "agentUsername", **dict.fromkeys(_DECODED_ONLY, "sequence")}
_REQUIRED = ("agentID", "timestamp")


def _explained(raw: bytes, where: str, error: Exception) -> Invalid:
    """The error that says all there is to say of an event that did not decode."""
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as broken:
        return BadEvent(where, "", f"text that is not JSON in UTF-8 ({broken})", "one JSON object")
    if not isinstance(value, dict):
        return BadEvent(where, "", _shown(value), "one JSON object")
    fields: dict[str, Any] = value
    for name in _REQUIRED:
        if fields.get(name) is None:
            return BadEvent(where, name, "nothing", RULES[name].allowed)
    for name, found in fields.items():
        rule = RULES.get(_ALIASES.get(name, name))
        if rule is None:
            return BadEvent(where, name[:60], "an unknown field", ", ".join(RULES))
        if found is not None and not rule.check(found):
            return BadEvent(where, name, _shown(found), rule.allowed)
    return BadEvent(where, "", str(error), "an event")


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else f"{text[:77]}…"
