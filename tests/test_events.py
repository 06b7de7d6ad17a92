"""Events: what is accepted, what is refused and how that is said, and how events become one frame."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scenes import T0
from shiftlog import events
from shiftlog.errors import BadEvent, Invalid, TooLarge, Unsupported
from shiftlog.events import CLOUDEVENTS, EARLIEST, FLAT, FORMS, INT64_MAX, INT64_MIN, JSON, NDJSON, RULES, SENT, WIRE
from shiftlog.hours import DAY

NOW = T0 + DAY // 2
FULL: dict[str, Any] = {
    "agentID": 9,
    "type": 3,
    "state": 0,
    "timestamp": 1465992202047,
    "prevState": 1,
    "agentEmployeeId": "",
    "agentUsername": "CRAgent",
    "agentNickname": "CRAgent",
    "agentLoginname": "CRAgent@liveperson.com",
    "prevConcurrentEng": 0,
    "concurrentEng": 0,
    "maxConcurrentEng": -9,
    "agentGroupID": -1,
    "userProfileIDs": [2438730312, 2438730212, 2438730512, 2438730412],
}
"""The seed's own event."""


def event(**fields: Any) -> dict[str, Any]:
    return {"agentID": 1, "timestamp": T0, **fields}


def lines(*events: dict[str, Any]) -> bytes:
    return b"\n".join(json.dumps(fields).encode() for fields in events)


def cloud(data: Any, **fields: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "type": "agent", "source": "/chat", "id": "1", "data": data, **fields}


def parse(body: bytes, form: str = NDJSON, **options: Any) -> pl.DataFrame:
    return events.parse(body, form, **{"account": "A", "now": NOW} | options)


def one(**fields: Any) -> dict[str, Any]:
    """One event with these fields besides the required ones, as it is taken."""
    return parse(lines(event(**fields))).row(0, named=True)


def refusal(body: bytes, form: str = NDJSON, **options: Any) -> BadEvent:
    with pytest.raises(BadEvent) as refused:
        parse(body, form, **options)
    return refused.value


# ── what is taken ──


def test_the_seeds_event_is_taken_as_it_is():
    """Every value of the seed's example stands in the frame unchanged."""
    frame = parse(lines(FULL))
    assert dict(frame.schema) == SENT
    assert frame.select(*WIRE).row(0, named=True) == FULL


def test_what_is_left_out_stays_out():
    """Only `type` and `eventId` are filled in here; the rest is carried in the fold."""
    taken = one()
    assert taken.pop("type") == 1
    assert len(taken.pop("eventId")) == 32
    assert {name for name, value in taken.items() if value is not None} == {"agentID", "timestamp"}


def test_null_is_left_out():
    """A field that may be left out may be null as well, and means the same, to its eventId."""
    assert one(**dict.fromkeys(set(FULL) - {"agentID", "timestamp"})) == one()


@pytest.mark.parametrize(("sent", "stored"), [(12, "12"), (-1, "-1"), ("0012", "0012"), ("", "")])
def test_an_employee_id_is_text_from_then_on(sent: int | str, stored: str):
    """The seed's table says long, its example says text: both are taken."""
    assert one(agentEmployeeId=sent)["agentEmployeeId"] == stored


def test_both_spellings_of_the_names():
    """The spelling of the seed's table is that of its example, to the eventId too."""
    example = {"agentUsername": "u", "agentNickname": "n", "agentLoginname": "l"}
    table = {"agentUserName": "u", "agentNickName": "n", "agentLoginName": "l"}
    assert one(**example) == one(**table)
    assert example.items() <= one(**table).items()


def test_the_examples_spelling_wins_over_the_tables():
    """Where an event has both."""
    assert one(agentUsername="example", agentUserName="table")["agentUsername"] == "example"


@pytest.mark.parametrize(
    ("given", "understood"),
    [("A-684867733", "684867733"), ("684867733", "684867733"), ("A-9123456789012345", None), ("A-no id", None), ("", None)],
)
def test_a_session_of_a_decoded_file_is_understood(given: str, understood: str | None):
    """What `decode` prints can be sent again: the number is the sessionId, unless shiftlog gave it."""
    taken = one(agentSessionId=given, sessionStartTime=T0, sessionEndTime=None, eventIndex=0)
    assert taken["sessionId"] == understood
    assert set(taken) == set(SENT)


def test_a_given_session_id_wins_over_a_decoded_one():
    """The producer's own word comes first."""
    assert one(sessionId="mine", agentSessionId="A-7")["sessionId"] == "mine"


def test_the_order_of_the_body_is_kept():
    """Whatever the timestamps."""
    assert parse(lines(event(agentID=3), event(agentID=1, timestamp=T0 - 1), event(agentID=2)))["agentID"].to_list() == [3, 1, 2]


def test_text_is_unicode():
    """Names are written as people write them."""
    assert one(agentNickname="Zoë 💬 \u0000")["agentNickname"] == "Zoë 💬 \u0000"


# ── eventId ──


def test_the_event_id_is_pinned():
    """A repeat is known by its hash across versions: this value may never change."""
    assert parse(lines(FULL))["eventId"][0] == "2e3b34d257481fbf2fa3c5ec529d1311"
    assert one()["eventId"] == "de38cce26f8e116efa89d29df571a2a7"


def test_the_event_id_does_not_depend_on_the_writing():
    """Order of keys, white space, escapes, and type 1 written out are not values."""
    spaced = b'{ "timestamp" : %d,\t"agentNickname": "\\u00e9", "type":1, "agentID":1 }\r' % T0
    assert parse(spaced)["eventId"][0] == one(agentNickname="é")["eventId"]


def test_other_values_have_other_event_ids():
    """Each field that is sent takes part in the hash."""
    values = {name: value for name, value in FULL.items() if name not in ("agentID", "timestamp")} | {"sessionId": "s", "sequence": 1}
    ids = [one()["eventId"], *(one(**{name: value})["eventId"] for name, value in values.items())]
    assert len(set(ids)) == len(ids)


def test_a_given_event_id_is_kept():
    """It is the producer's, and hashes nothing."""
    assert one(eventId="x", state=2)["eventId"] == one(eventId="x", state=3)["eventId"] == "x"


# ── each field's rule ──

_LONG = "x" * 1_000
_INT = ([0, INT64_MIN, INT64_MAX], [INT64_MAX + 1, INT64_MIN - 1, 10**30, 1.0, 1.5, "1", True, [1], {}])
_COUNT = ([0, 3, INT64_MAX], [-1, -9, INT64_MAX + 1, 2.0, "0", False])
_TEXT = (["", "x", _LONG], [_LONG + "x", 1, True, ["x"], {"string": "x"}])
_STATE = ([-1, 0, 1, 2, 3, 4], [-2, 5, 99, 2.0, "2", True])
#: Values that each field may and may not hold.
VALUES: dict[str, tuple[list[Any], list[Any]]] = {
    "agentID": (_INT[0], [*_INT[1], None]),
    "timestamp": ([EARLIEST, NOW, NOW + DAY], [EARLIEST - 1, NOW + DAY + 1, INT64_MAX, 0, -1, str(T0), T0 / 1, True, None]),
    "type": ([-1, 1, 3, 4], [0, 2, 5, -9, 1.0, "3", True]),
    "state": _STATE,
    "prevState": _STATE,
    "agentEmployeeId": (["", "E-7", _LONG, 0, INT64_MAX], [_LONG + "x", INT64_MAX + 1, 7.0, True, ["7"]]),
    "agentUsername": _TEXT,
    "agentNickname": _TEXT,
    "agentLoginname": _TEXT,
    "prevConcurrentEng": _COUNT,
    "concurrentEng": _COUNT,
    "maxConcurrentEng": ([-9, -1, 0, 3, INT64_MAX], [-10, -8, -2, INT64_MAX + 1, 3.0, "3", True]),
    "agentGroupID": _INT,
    "userProfileIDs": (
        [[], [1], [INT64_MIN, INT64_MAX], [1] * 1_000],
        [[1] * 1_001, [INT64_MAX + 1], [None], ["1"], [1.0], [True], 1, "1", {}],
    ),
    "sessionId": (
        ["s", "A-z.0:9_", "x" * 64, "1234567890123456", "91234567890123456"],
        ["", "x" * 65, "a b", "a\n", "ä", "٣", "a/b", "9123456789012345", 7, ["s"]],
    ),
    "sequence": _INT,
    "eventId": (["e", "é", "x" * 200], ["", "x" * 201, 7, True]),
}
#: Fields that are understood and have the rule of another.
ALIASES = {
    "agentUserName": "agentUsername",
    "agentNickName": "agentNickname",
    "agentLoginName": "agentLoginname",
    "agentSessionId": "agentUsername",
    "sessionStartTime": "sequence",
    "sessionEndTime": "sequence",
    "eventIndex": "sequence",
}


def test_every_rule_has_its_examples():
    """A field without them would not be tested below."""
    assert VALUES.keys() == RULES.keys()


def test_the_rules_are_the_fields():
    """Each field of the struct has a rule, and the other way round."""
    assert set(events.AgentEvent.__struct_fields__) == RULES.keys() | ALIASES.keys()


@pytest.mark.parametrize("field", VALUES)
def test_a_good_value_is_taken(field: str):
    """At the limits of what is allowed, and the frame holds it."""
    for value in VALUES[field][0]:
        stored = str(value) if field == "agentEmployeeId" else value
        assert one(**{field: value})[field] == stored


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, (_, bad) in VALUES.items() for value in bad])
def test_a_bad_value_is_refused(field: str, value: Any):
    """The message names the line, the field, what was found, and what is allowed."""
    error = refusal(lines(event(), event(**{field: value})))
    assert (error.where, error.field) == ("line 2", field)
    shown = "nothing" if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))[:70]
    assert error.found.replace("'", '"').startswith(shown)
    assert error.allowed.startswith(RULES[field].allowed) or (
        field == "timestamp" and error.allowed.startswith("at most a day ahead of now")
    )
    assert len(str(error)) < 300


@pytest.mark.parametrize(("alias", "field"), ALIASES.items())
def test_an_alias_has_the_rule_of_its_field(alias: str, field: str):
    """And its refusal names it as it was sent."""
    for value in VALUES[field][1]:
        error = refusal(lines(event(**{alias: value})))
        assert (error.field, error.allowed) == (alias, RULES[field].allowed)


@pytest.mark.parametrize("field", ["agentID", "timestamp"])
def test_a_required_field_may_not_be_left_out(field: str):
    """The rule says what it should have been."""
    error = refusal(lines({name: value for name, value in event().items() if name != field}))
    assert str(error) == f"line 1: {field}: found nothing; allowed: {RULES[field].allowed}"


def test_an_unknown_field_is_refused():
    """A misspelt field would be lost silently; the message lists those that are understood."""
    error = refusal(lines(event(agentGroupId=7)))
    assert (error.field, error.found) == ("agentGroupId", "an unknown field")
    assert "agentGroupID" in error.allowed


def test_a_timestamp_in_seconds_is_refused():
    """The most likely mistake: the message shows the bound."""
    assert "from 946684800000 (2000-01-01)" in str(refusal(lines(event(timestamp=T0 // 1000))))


def test_a_timestamp_too_far_ahead_is_shown_as_a_time():
    """In words that a person can compare with a clock, also beyond the calendar."""
    assert refusal(lines(event(timestamp=NOW + DAY + 1))).found == f"{NOW + DAY + 1} ({events.iso(NOW + DAY + 1)})"
    assert "beyond the calendar" in refusal(lines(event(timestamp=INT64_MAX))).found


# ── the parser and the rules agree ──

_junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-12, 12),
    st.integers(-(2**65), 2**65),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=70),
    st.lists(st.integers(-3, 2**63 + 3) | st.none(), max_size=3),
    st.dictionaries(st.sampled_from(["long", "string"]), st.integers(0, 3), max_size=1),
)


def _values(field: str, which: int) -> st.SearchStrategy[Any]:
    return st.sampled_from(VALUES[ALIASES.get(field, field)][which])


_optional = [field for field in [*RULES, *ALIASES] if field not in ("agentID", "timestamp")]
_good = st.fixed_dictionaries(
    {"agentID": _values("agentID", 0), "timestamp": _values("timestamp", 0)},
    optional={field: st.none() | _values(field, 0) for field in _optional},
)
_wrong = st.fixed_dictionaries(
    {}, optional={field: _junk | _values(field, 1) for field in ["agentID", "timestamp", *_optional]} | {"other": _junk}
)
_one_wrong = st.sampled_from([*RULES, *ALIASES]).flatmap(lambda field: st.fixed_dictionaries({field: _junk | _values(field, 1)}))
_fields = st.builds(lambda good, wrong: good | wrong, _good, st.one_of(st.just({}), _one_wrong, _one_wrong, _wrong))


def _allowed(fields: dict[str, Any]) -> bool:
    """By the rules alone: every field is known and meets its rule or is left out, and the required ones are there."""
    there = {field: value for field, value in fields.items() if value is not None}
    known = fields.keys() <= RULES.keys() | ALIASES.keys()
    required = {"agentID", "timestamp"} <= there.keys()
    return known and required and all(RULES[ALIASES.get(f, f)].check(v) for f, v in there.items()) and fields["timestamp"] <= NOW + DAY


@given(_fields, st.sampled_from([NDJSON, JSON]))
@settings(max_examples=300)
@example({"agentID": 1, "timestamp": T0, "sessionId": "a\n"}, NDJSON)
@example({"agentID": 1, "timestamp": T0, "maxConcurrentEng": -5}, JSON)
def test_the_parser_takes_what_the_rules_allow(fields: dict[str, Any], form: str):
    """And nothing else: the types that decode and the rules in words are two tellings of one thing."""
    body = json.dumps(fields if form == NDJSON else [fields]).encode()
    if _allowed(fields):
        assert parse(body, form).height == 1
    else:
        assert refusal(body, form).field in fields


@given(st.lists(_good, min_size=1, max_size=4))
@settings(max_examples=50)
def test_the_forms_say_the_same(some: list[dict[str, Any]]):
    """An array and lines of the same objects give the same frame."""
    frame = parse(lines(*some))
    assert frame.equals(parse(json.dumps(some).encode(), JSON))
    assert dict(frame.schema) == SENT


@given(st.binary(max_size=60), st.sampled_from(FORMS))
@settings(max_examples=200)
def test_no_bytes_are_more_than_refused(body: bytes, form: str):
    """Whatever is sent, the answer is an error of the one tree."""
    with pytest.raises(Invalid):
        parse(body, form)


# ── lines ──


def test_blank_lines_and_line_ends_do_not_matter():
    """CR LF, empty lines, and a missing last line end."""
    one_line = lines(event())
    assert parse(b"\r\n" + one_line + b"\r\n\r\n  \n" + one_line + b"\n\n" + one_line).height == 3


@pytest.mark.parametrize("wrong", [event(state=9), event(timestamp=NOW + DAY + 1), event(maxConcurrentEng=-2)])
def test_blank_lines_count_as_lines(wrong: dict[str, Any]):
    """The number is the one an editor shows, whether a type or a limit was broken."""
    assert refusal(b"\n\r\n" + lines(event()) + b"\n\n" + lines(wrong) + b"\n").where == "line 5"


@pytest.mark.parametrize("wrong", [event(state=9), event(timestamp=NOW + DAY + 1)])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\n\n"])
def test_lines_are_counted_past_the_first_mebibyte(wrong: dict[str, Any], ending: bytes):
    """Bodies are decoded in pieces; numbers go on over their edges."""
    good = lines(event(agentNickname="x" * 900)) + ending
    before = (5 << 19) // len(good)
    assert refusal(good * before + lines(wrong) + ending + good * 1_500).where == f"line {before * ending.count(10) + 1}"


@pytest.mark.parametrize("shift", range(-2, 3))
def test_a_line_end_at_the_edge_of_a_piece(shift: int):
    """No event is cut or lost where a line ends at, before or after the first mebibyte."""
    first = lines(event(agentNickname="x"))
    padded = first + b" " * ((1 << 20) + shift - len(first) - 1) + b"\n"
    assert parse(padded + lines(event(agentID=2), event(agentID=3)))["agentID"].to_list() == [1, 2, 3]
    assert refusal(padded + lines(event(), event(state=7))).where == "line 3"


def test_a_line_is_one_object():
    """Two objects on one line, or one on two, would make every line's number wrong."""
    two = lines(event()) + b" " + lines(event())
    assert refusal(two + b"\n").where == "line 1"
    assert refusal(json.dumps(event(), indent=1).encode()).where == "line 1"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"{", "text that is not JSON in UTF-8"),
        (b"\xff\xfe", "text that is not JSON in UTF-8"),
        (b'{"agentID":1,"timestamp":1,"agentNickname":"\xff"}', "text that is not JSON in UTF-8"),
        (b"\xef\xbb\xbf{}", "text that is not JSON in UTF-8"),
        (b"agentID;timestamp", "text that is not JSON in UTF-8"),
        (b"[1,2]", "[1,2]"),
        (b'"text"', '"text"'),
        (b"null", "null"),
    ],
)
def test_a_line_that_is_no_object(line: bytes, found: str):
    """Not UTF-8, not JSON, or another kind of value: said with its line."""
    error = refusal(lines(event()) + b"\n" + line)
    assert (error.where, error.field, error.allowed) == ("line 2", "", "one JSON object")
    assert error.found.startswith(found)


def test_what_was_found_is_cut_short():
    """A message never repeats a body."""
    assert len(refusal(lines(event(agentNickname="x" * 100_000))).found) <= 80


# ── bodies ──


@pytest.mark.parametrize(("form", "body"), [(NDJSON, b""), (NDJSON, b" \r\n\n"), (JSON, b"[]"), (CLOUDEVENTS, b"[]")])
def test_a_body_without_events_is_refused(form: str, body: bytes):
    """It is a mistake, not a request to take nothing."""
    with pytest.raises(Invalid, match="the body holds no event"):
        parse(body, form)


@pytest.mark.parametrize("form", [JSON, CLOUDEVENTS])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is not JSON"),
        (b"[{", "the body is not JSON"),
        (b"not json", "the body is not JSON"),
        (b"{}", "the body is not a JSON array of events"),
        (b"null", "the body is not a JSON array of events"),
    ],
)
def test_a_body_that_is_no_array(form: str, body: bytes, message: str):
    """What is wrong with the whole of it is said of the whole."""
    with pytest.raises(Invalid, match=message):
        parse(body, form)


def test_a_body_that_is_not_utf8():
    """In an array, the event in which it happens is named where it can be."""
    assert "JSON in UTF-8" in str(refusal(b'[{"agentID":1,"timestamp":1,"agentNickname":"\xff"}]', JSON))


@pytest.mark.parametrize("form", ["text/csv", "application/json; charset=utf-8", ""])
def test_another_form_is_unsupported(form: str):
    """With those that are."""
    with pytest.raises(Unsupported, match="allowed: application/x-ndjson, application/json, application/cloudevents-batch"):
        parse(b"", form)


def test_an_array_counts_its_events():
    """The place in the message is the event's number, from 1."""
    assert refusal(json.dumps([event(), event(state=9)]).encode(), JSON).where == "event 2"
    assert refusal(json.dumps([event(), event(), event(timestamp=NOW + 2 * DAY)]).encode(), JSON).where == "event 3"


@pytest.mark.parametrize("form", FORMS)
def test_more_events_than_allowed_are_too_large(form: str):
    """The limit itself is allowed."""
    three = [event(agentID=i) for i in range(3)]
    body = lines(*three) if form == NDJSON else json.dumps([cloud(e) for e in three] if form == CLOUDEVENTS else three).encode()
    assert parse(body, form, max_events=3).height == 3
    with pytest.raises(TooLarge, match="more than 2 events; send at most 2 at a time"):
        parse(body, form, max_events=2)


# ── CloudEvents ──


def test_a_cloud_events_batch():
    """The event is in `data`; other attributes are not ours to judge."""
    body = json.dumps([cloud(event(state=2), time="2026-01-01T00:00:00Z", datacontenttype="application/json")]).encode()
    assert parse(body, CLOUDEVENTS).select("agentID", "state").row(0) == (1, 2)


def test_a_cloud_event_is_named_by_its_source_and_id():
    """So a repeat is known, whatever its data; an eventId of its own comes first."""
    body = [
        cloud(event()),
        cloud(event(), id="2"),
        cloud(event(), source="/other"),
        cloud(event(eventId="mine")),
        cloud(event(), id="x" * 300),
    ]
    ids = parse(json.dumps(body).encode(), CLOUDEVENTS)["eventId"].to_list()
    assert ids[:4] == ["/chat#1", "/chat#2", "/other#1", "mine"]
    assert len(ids[4]) == 32


def test_a_wrong_event_in_a_cloud_event():
    """The message says in which one."""
    error = refusal(json.dumps([cloud(event()), cloud(event(state=9))]).encode(), CLOUDEVENTS)
    assert (error.where, error.field) == ("event 2, data", "state")


@pytest.mark.parametrize("missing", ["specversion", "id", "source", "data"])
def test_a_cloud_event_without_what_makes_it_one(missing: str):
    """CloudEvents 1.0 requires specversion, id and source; shiftlog needs the data."""
    body = json.dumps([{name: value for name, value in cloud(event()).items() if name != missing}]).encode()
    with pytest.raises(Invalid, match=f"missing required field `{missing}`"):
        parse(body, CLOUDEVENTS)


# ── published sessions ──


def sessions(*rows: dict[str, Any]) -> pl.DataFrame:
    made = [dict.fromkeys(FLAT) | {"agentSessionId": "A-5", "sessionStartTime": T0, "eventIndex": i, **row} for i, row in enumerate(rows)]
    return pl.DataFrame(made, schema=FLAT)


def test_published_sessions_keep_what_they_say():
    """The seed's session comes out as its event, with its number as sessionId."""
    taken = events.from_sessions(sessions(FULL), account="A")
    assert dict(taken.schema) == SENT
    assert taken.row(0, named=True) == parse(lines(FULL | {"sessionId": "5"})).row(0, named=True)


def test_published_sessions_are_read_leniently():
    """Codes and numbers that a producer may not send are kept as they were published."""
    odd = {"agentID": 1, "timestamp": 5, "type": 77, "state": 42, "concurrentEng": -3, "maxConcurrentEng": -5, "agentUsername": "x" * 5_000}
    [taken] = events.from_sessions(sessions(odd), account="A").rows(named=True)
    assert odd.items() <= taken.items()


def test_a_published_event_without_a_type_is_unknown():
    """Not a status change: nothing is known of it."""
    assert events.from_sessions(sessions({"agentID": 1, "timestamp": 5}), account="A")["type"].to_list() == [-1]


@pytest.mark.parametrize(
    ("number", "session_id"), [("A-7", "7"), ("A-9123456789012345", None), ("B-7", "B-7"), ("A-not one", None), (None, None)]
)
def test_the_session_id_is_the_number_of_the_session(number: str | None, session_id: str | None):
    """Unless shiftlog gave it: then folding gives it again."""
    flat = sessions({"agentID": 1, "timestamp": 5, "agentSessionId": number})
    assert events.from_sessions(flat, account="A")["sessionId"].to_list() == [session_id]


def test_withdrawn_sessions_have_no_events():
    """Their one row says that there are none."""
    withdrawn = sessions({"agentID": 1, "eventIndex": None})
    assert events.from_sessions(withdrawn, account="A").equals(pl.DataFrame(schema=SENT))


@pytest.mark.parametrize("field", ["agentID", "timestamp"])
def test_a_published_event_without_what_it_must_have(field: str):
    """Leniency ends where no event is left; the message names the session."""
    with pytest.raises(Invalid, match=f"session A-5 has an event without {field}"):
        events.from_sessions(sessions(FULL | {field: None}), account="A")


def test_published_sessions_ingested_twice_are_repeats():
    """Their events have the same eventId each time."""
    flat = sessions(FULL, FULL | {"timestamp": T0})
    first, second = (events.from_sessions(flat, account="A")["eventId"].to_list() for _ in range(2))
    assert first == second
    assert len(set(first)) == 2


def test_the_encoder_of_the_hash_leaves_defaults_out():
    """A field that a later version adds does not change the hashes of events without it."""
    assert msgspec.json.decode(msgspec.json.encode(events.AgentEvent(agentID=1, timestamp=T0))) == {"agentID": 1, "timestamp": T0}
