"""The quickest way to read events reads what the exact way reads, or gives up."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from scenes import T0
from shiftlog import events, kernels, plain
from shiftlog.errors import ShiftlogError
from shiftlog.events import NDJSON, SENT
from shiftlog.hours import DAY
from shiftlog.plain import WHOLE, Plain, Reader
from shiftlog.simulate import simulate, to_ndjson

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler is there")

NOW = T0 + DAY
LEAST: dict[str, Any] = {"agentID": 1, "timestamp": T0, "eventId": "e"}


def line(**fields: Any) -> bytes:
    return json.dumps(LEAST | fields, ensure_ascii=False, separators=(",", ":")).encode()


def agreed(body: bytes) -> bool:
    """Whether the quickest way reads the body; then it reads what the exact way does."""
    found = events.plain(body, now=NOW)
    if found is not None:
        assert_frame_equal(found, events.exactly(body, NDJSON, account="A", now=NOW))
    return found is not None


def test_what_is_usually_sent_is_read_the_quickest_way():
    """Every event of a simulated day."""
    assert agreed(to_ndjson(simulate("A", agents=20, days=1, start=T0, seed=3).events.select(SENT.keys())))


PLAIN = {
    "type": [1, 3, 4, -1, None],
    "state": [-1, 0, 4, None],
    "agentEmployeeId": ["", "x", 7, -(2**63), None, "é" * 500],
    "agentUsername": ["", "Zoë 🙂", "x" * 1_000, "null", None],
    "concurrentEng": [0, 2**63 - 1, None],
    "maxConcurrentEng": [-9, -1, 0, 5, None],
    "agentGroupID": [-(2**63), 2**63 - 1, None],
    "userProfileIDs": [[], [1], [-1, 2**63 - 1], list(range(1_000)), None],
    "sessionId": ["a", "A-z.0_9:", "9" * 15, "9" * 17, "8" * 16, "x" * 64, None],
    "sequence": [0, None],
    "eventId": ["é" * 100, "x" * 200],
    "timestamp": [events.EARLIEST, NOW + DAY],
}
OTHERWISE = {
    "type": [0, 2, True, "1", 1.0],
    "state": [5, -2, 60],
    "agentEmployeeId": [1.5, 2**63, True, ["x"]],
    "agentUsername": ["a\\b", "\n", "x" * 1_001, 7],
    "concurrentEng": [-1, 2**63, 1e3],
    "maxConcurrentEng": [-2, -8, -10],
    "userProfileIDs": [[None], ["1"], list(range(1_001)), 1, [[1]], [1.0]],
    "sessionId": ["", "é", "a b", "9" * 16, "x" * 65, 7],
    "eventId": ["", "x" * 201, None],
    "agentID": [None, "1"],
    "timestamp": [events.EARLIEST - 1, NOW + DAY + 1, None],
    "agentUserName": ["x", None],
    "agentSessionId": ["A-1"],
    "other": [1],
}


@pytest.mark.parametrize("field", PLAIN)
def test_what_may_be_is_read_the_quickest_way(field: str):
    """At its bounds, and where it is null."""
    for value in PLAIN[field]:
        assert agreed(line(**{field: value})), value


@pytest.mark.parametrize("field", OTHERWISE)
def test_what_is_odd_or_wrong_is_not(field: str):
    """The exact way decides, and says why; also where it stands among others."""
    for value in OTHERWISE[field]:
        assert not agreed(line(**{field: value})), value
        assert not agreed(b"\n".join([line(), line(**{field: value}), line()])), value


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (line() + b"\n" + line(), True),
        (b"\n\n" + line() + b"\r\n\n" + line() + b"\n", True),
        (json.dumps(LEAST).encode(), True),
        (b'{ "agentID": 1, "timestamp":1700000000000 , "eventId":"e" }', True),
        (line() + line(), False),
        (line().replace(b",", b",\n"), False),
        (line()[:-1], False),
        (line() + b"x", False),
        (line() + b",", False),
        (line()[:-1] + b",}", False),
        (line()[:-1] + b',"agentID":2}', False),
        (line().replace(b":1,", b":01,"), False),
        (line().replace(b":1,", b":-0,"), False),
        (line(agentUsername="x").replace(b'"x"', b'"\xff"'), False),
        (line(agentUsername="x").replace(b'"x"', b'"\xed\xa0\x80"'), False),
        (b"\xef\xbb\xbf" + line(), False),
        (b"{}", False),
        (b"[]", False),
        (b"", False),
        (b"\n", False),
    ],
)
def test_lines_are_what_they_are(body: bytes, read: bool):
    """One object a line, of fields that come once each, in UTF-8."""
    assert agreed(body) == read


def test_fields_may_come_in_any_order():
    """And others than in the line before."""
    all_fields = LEAST | {name: values[0] for name, values in PLAIN.items()}
    orders = [list(all_fields), list(reversed(all_fields)), sorted(all_fields)]
    objects = [json.dumps({name: all_fields[name] for name in order}, ensure_ascii=False) for order in orders]
    assert agreed("\n".join(objects).encode())


_values = st.none() | st.integers(-10, 5) | st.integers(-(2**64), 2**64) | st.text(max_size=5) | st.lists(st.integers(-3, 3), max_size=3)
_objects = st.fixed_dictionaries({}, optional=dict.fromkeys([*SENT, "agentUserName"], _values))


@given(st.lists(_objects, max_size=4), st.data())
@settings(max_examples=300, deadline=None)
def test_whatever_is_sent_is_read_alike(objects: list[dict[str, Any]], data: st.DataObject):
    """What the quickest way takes is never refused by the exact way, nor read as something else; also where bytes were changed."""
    body = b"\n".join(json.dumps(LEAST | fields, ensure_ascii=False).encode("utf-8", "surrogatepass") for fields in objects)
    agreed(body)
    if body:
        at = data.draw(st.integers(0, len(body) - 1))
        agreed(body[:at] + data.draw(st.binary(max_size=2) | st.sampled_from([b'"', b"}", b"\n", b",", b"0"])) + body[at + 1 :])


def test_more_events_than_allowed_are_too_large_in_either_way():
    """The limit is looked at once they are read."""
    body = b"\n".join([line()] * 3)
    assert events.parse(body, NDJSON, account="A", now=NOW, max_events=3).height == 3
    with pytest.raises(ShiftlogError, match="more than 2 events"):
        events.parse(body, NDJSON, account="A", now=NOW, max_events=2)


def test_without_a_kernel_nothing_is_plain(monkeypatch: pytest.MonkeyPatch):
    """And everything is read all the same."""
    monkeypatch.setattr(kernels, "load", lambda: None)
    assert not agreed(line())
    assert events.parse(line(), NDJSON, account="A", now=NOW).height == 1


def test_a_frame_outlives_what_it_was_read_from():
    """It has memory of its own, also where the columns go one by one."""
    frame = Reader([Plain("a", WHOLE, 0, 9), Plain("b", WHOLE, 0, 9)]).read(bytearray(b'{"a":1,"b":2}\n') * 1_000)
    assert frame is not None
    one = frame["b"]
    del frame
    assert one.sum() == 2_000
    assert plain.Reader([Plain("a", WHOLE, 0, 9)]).read(b'{"b":1}') is None
