"""The quick way must not know better than the exact one: it gives the same frame, or gives up."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from shiftlog import columns, container, documents, schema
from shiftlog.documents import Place
from shiftlog.errors import Damaged
from wire import SEED, flat_frames, login, many, plain_frames, shuffled


def exact(text: bytes) -> pl.DataFrame:
    return documents.read(text, Place("a"))


OTHERS = [None, 1.5, 1e3, 1e300, 5, "5", "x", "+05", 2**63, True, [], {}, [None], {"long": 1}, {"string": "1"}, {"string": "\0"}]


def bent(value: Any, random: Random, chance: float) -> Any:
    """A document with something changed here and there: left out, without its type's name or under another, or another value."""
    if random.random() < chance:
        return random.choice(OTHERS)
    if isinstance(value, list):
        return [bent(item, random, chance) for item in value]
    if not isinstance(value, dict):
        return value
    members = {name: bent(inner, random, chance) for name, inner in value.items() if random.random() > chance}
    if len(members) == 1 and random.random() < chance:
        return next(iter(members.values()))
    if len(members) == 1 and random.random() < chance:
        return {random.choice(["long", "string", "array", "int"]): next(iter(members.values()))}
    return {documents.TABLE_SPELLING.get(name, name) if random.random() < chance else name: inner for name, inner in members.items()}


@given(plain_frames | flat_frames, st.sampled_from(schema.VERSIONS), st.randoms(use_true_random=True))
@settings(max_examples=100, deadline=None)
def test_the_quick_way_is_exact_or_gives_up(flat: pl.DataFrame, version: str, random: Random):
    """Whatever a document has become, the quick way reads what the exact way reads, or leaves it to it."""
    lines = container.encode(flat, account="A", version=version).splitlines()
    chance = 0.3 / (1 + sum(line.count(b":") for line in lines))
    text = b"\n".join(json.dumps(bent(json.loads(line), random, chance)).encode() for line in lines)
    frame = columns.read(text)
    if frame is not None:
        assert_frame_equal(frame, exact(text))


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_changed_byte_does_not_part_the_ways(data: st.DataObject):
    """Where the exact way refuses a text, the quick way does not take it; and nothing makes it abort."""
    text = bytearray(container.encode(login(), account="A") * 2)
    for _ in range(data.draw(st.integers(1, 2))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.sampled_from(b'\x00{}[]",:.eE-0159\\ntfu \n\xe9'))
    frame = columns.read(bytes(text))
    if frame is not None:
        assert_frame_equal(frame, exact(bytes(text)))


@pytest.mark.parametrize("version", schema.VERSIONS)
def test_what_is_published_is_read_the_quick_way(version: str):
    """In both versions, with withdrawn sessions, nulls and escapes among them."""
    odd = login().with_columns(agentNickname=pl.lit(None, pl.String), agentUsername=pl.lit('"\\\n\x1f😀'))
    withdrawn = login().select("agentSessionId").join(login().clear(), on="agentSessionId", how="left").select(login().columns)
    text = container.encode(pl.concat([many(5, 3), odd, withdrawn]), account="A", version=version)
    frame = columns.read(text)
    assert frame is not None
    assert_frame_equal(frame, exact(text))


@pytest.mark.parametrize("version", schema.VERSIONS)
def test_order_and_unknown_members_do_not_slow_it_down(version: str):
    """Nor does white space: the seed's example is read the quick way."""
    lines = container.encode(many(20, 2), account="A", version=version).splitlines()
    text = "".join(json.dumps(shuffled(json.loads(line), Random(i)), indent=i % 3).replace("1.5", "1") for i, line in enumerate(lines))
    for whole in (text.encode(), SEED[version]):
        frame = columns.read(whole)
        assert frame is not None
        assert_frame_equal(frame, exact(whole))


def test_the_employees_number_may_be_a_number():
    """As in the seed's table."""
    text = container.encode(login(), account="A").replace(b'"agentEmployeeId":{"string":""}', b'"agentEmployeeId":{"long":7}')
    frame = columns.read(text)
    assert frame is not None
    assert frame["agentEmployeeId"].to_list() == ["7"]


@pytest.mark.parametrize("number", ["1.5", "-0.5", "1e3", "15E-1", "1.0", "123456789012345678901234567890123456789.5"])
@pytest.mark.parametrize("before", ["", " ", "\n", "\t"])
def test_a_fraction_is_not_cut_off(number: str, before: str):
    """arrow-rs would read 1.5 as 1; so a number with a fraction or an exponent is left to the exact way."""
    line = container.encode(login(), account="A")
    for known, other in ((b'{"long":9}', f'{{"long":{before}{number}}}'), (b"[2438730312,", f"[2438730312,{before}{number},")):
        assert columns.read(line.replace(known, other.encode())) is None


def test_a_fraction_is_seen_wherever_it_lies(monkeypatch: pytest.MonkeyPatch):
    """Also where two of the slices meet that are looked at together."""
    text = container.encode(login(), account="A").replace(b'{"long":9}', b'{"long":1.5}')
    for size in range(1, 40):
        monkeypatch.setattr(columns, "_SLICE", size)
        assert columns.read(text) is None


def test_text_that_holds_points_is_no_fraction():
    """Addresses and versions are read the quick way."""
    for name in ("agent1.2@example.com", "1.5", "3e5", "a1.5", "v.1.2e3"):
        assert columns.read(container.encode(login().with_columns(agentUsername=pl.lit(name)), account="A")) is not None


@pytest.mark.parametrize("character", ["😀", "𐀀", "\U00020000", "\U0002ffff", "\U00030000", "\U0010fffd"])
@pytest.mark.parametrize("upper", [False, True])
def test_escaped_surrogate_pairs_are_read_right(character: str, upper: bool):
    """Where arrow-rs reads another character, such as U+10000 for U+20000, the exact way is left to do it."""
    flat = login().with_columns(agentUsername=pl.lit(character))
    escaped = json.dumps(character)[1:-1]
    escaped = escaped.upper().replace("\\U", "\\u") if upper else escaped
    text = container.encode(flat, account="A").decode().replace(character, escaped).encode()
    assert character.encode() not in text
    assert container.decode(text, name="a")["agentUsername"].to_list() == [character]


@pytest.mark.parametrize("raw", [b"\x00", b"\\u0000"])
def test_a_nul_where_a_number_should_be_does_not_abort(raw: bytes):
    """The binding of arrow-rs ends the process when an error message holds a NUL."""
    text = container.encode(login(), account="A").replace(b'{"long":9}', b'{"long":"' + raw + b'"}')
    assert columns.read(text) is None
    with pytest.raises(Damaged):
        exact(text)
