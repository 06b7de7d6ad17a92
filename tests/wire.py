"""Sessions and documents of all kinds, made by hypothesis, and the seed's own document in both envelopes."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
from hypothesis import strategies as st

from shiftlog.events import FLAT, INT64_MAX, INT64_MIN, WIRE

SEED = {
    version: (Path(__file__).parent / "data" / name).read_bytes()
    for version, name in {"1.0.0.4": "seed_document.json", "1.0.0.35": "seed_document_tagged.json"}.items()
}
#: Text that a careless reader would trip over.
ODD = ["", '"', "\\", "}{", "}\n{", '":1.5,', "x 1.5 y", "3e-5", "\x00", "\x1f\x7f", "\u2028", "é", "😀", "agentUserName", "</script>"]

_plain = st.text("abc xyz-_@é😀", max_size=12)
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(ODD)
_longs = st.integers(INT64_MIN, INT64_MAX)


@st.composite
def _sessions(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> list[dict[str, Any]]:
    kinds = {"Int64": _longs, "String": texts, "List(Int64)": st.lists(_longs, max_size=4)}
    events = draw(st.lists(st.fixed_dictionaries({name: st.none() | kinds[str(dtype)] for name, dtype in WIRE.items()}), max_size=4))
    times = {"sessionStartTime": draw(st.none() | _longs), "sessionEndTime": draw(st.none() | _longs)} if events else {}
    session = {"agentSessionId": draw(texts), **times}
    return [session | {"eventIndex": i} | event for i, event in enumerate(events)] or [session]


def _frames(texts: st.SearchStrategy[str]) -> st.SearchStrategy[pl.DataFrame]:
    return st.lists(_sessions(texts), max_size=6).map(lambda found: pl.DataFrame([row for rows in found for row in rows], schema=FLAT))


#: Flat frames of up to six sessions, some of them withdrawn, with any values; and without text that is odd.
flat_frames, plain_frames = _frames(_texts), _frames(_plain)


def login() -> pl.DataFrame:
    """The seed's session, a login of which nothing else was seen, as a flat frame."""
    names = dict.fromkeys(("agentUsername", "agentNickname"), "CRAgent")
    event = {
        **{"agentID": 9, "type": 3, "state": 0, "timestamp": 1465992202047, "prevState": 1, "agentEmployeeId": ""},
        **{**names, "agentLoginname": "CRAgent@liveperson.com", "prevConcurrentEng": 0, "concurrentEng": 0},
        **{"maxConcurrentEng": -9, "agentGroupID": -1, "userProfileIDs": [2438730312, 2438730212, 2438730512, 2438730412]},
    }
    session = {"agentSessionId": "75555851-684867733", "sessionStartTime": 1465992202047, "sessionEndTime": None, "eventIndex": 0}
    return pl.DataFrame([session | event], schema=FLAT)


def many(sessions: int, events: int) -> pl.DataFrame:
    """So many sessions of so many events each, no two of which are alike."""
    number = pl.int_range(sessions * events, dtype=pl.Int64)
    session, index = number // events, number % events
    values = {
        **{name: number + len(name) for name, dtype in WIRE.items() if dtype == pl.Int64},
        **{name: pl.concat_str(pl.lit(name), number) for name, dtype in WIRE.items() if dtype == pl.String},
        **{"userProfileIDs": pl.concat_list(number, session), "agentSessionId": pl.concat_str(pl.lit("A-"), session)},
        **{"sessionStartTime": session, "sessionEndTime": session + 1, "eventIndex": index.cast(pl.Int32)},
    }
    return pl.select(**values).select(FLAT.keys())


def in_order(document: str | bytes) -> Any:
    """A JSON value whose objects are lists of pairs, so that order counts when two are compared."""
    return json.loads(document, object_pairs_hook=list)


def shuffled(value: Any, random: Random) -> Any:
    """The same document with its members in another order, and with members among them that nobody knows."""
    if isinstance(value, list):
        return [shuffled(item, random) for item in value]
    if not isinstance(value, dict):
        return value
    members = [(name, shuffled(inner, random)) for name, inner in value.items()]
    if len(members) > 1 and random.random() < 0.3:
        members.append(("unknown.member", random.choice([None, 1.5, "}\n{", [{"array": [1]}], {"long": 1}])))
    random.shuffle(members)
    return dict(members)
