"""The container: the seed's document to the letter, there and back, and whatever can befall a file."""

from __future__ import annotations

import contextlib
import gzip
import json
import subprocess
import sys
import zlib
from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path
from random import Random

import fastavro
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from shiftlog import container, schema
from shiftlog.documents import DECODED
from shiftlog.errors import Damaged, Missing, TooLarge
from shiftlog.events import FLAT, WIRE
from wire import ODD, SEED, flat_frames, in_order, login, many, shuffled

VERSIONS = st.sampled_from(schema.VERSIONS)


def decoded(data: bytes, **options: int) -> pl.DataFrame:
    """Flat sessions, as `encode` takes them."""
    return container.decode(data, name="a.gz", **options).select(FLAT.keys())


def encoded(flat: pl.DataFrame, version: str = schema.DEFAULT) -> bytes:
    return container.encode(flat, account="75555851", version=version)


# ── writing ──


@pytest.mark.parametrize("version", schema.VERSIONS)
def test_the_seeds_login_is_written_as_the_seed_has_it(version: str):
    """Member for member, in the seed's order."""
    document, _ = json.JSONDecoder(object_pairs_hook=list).raw_decode(SEED[version].decode())
    assert in_order(encoded(login(), version)) == document


def test_a_line_has_no_white_space():
    """The seed's document, without what only people need."""
    document, _ = json.JSONDecoder().raw_decode(SEED["1.0.0.4"].decode())
    assert encoded(login()) == json.dumps(document, separators=(",", ":")).encode() + b"\n"


def test_text_is_written_as_it_is():
    """Only quotes, backslashes and control characters are escaped; all else is UTF-8."""
    flat = login().with_columns(agentUsername=pl.lit('é😀\u2028/"\\\n\x00\x1f\x7f'))
    assert '"agentUsername":{"string":"é😀\u2028/\\"\\\\\\n\\u0000\\u001f\x7f"}'.encode() in encoded(flat)


def test_numbers_of_64_bits_are_written_in_full():
    """The smallest and the largest, inside of lists as well."""
    flat = login().with_columns(agentID=pl.lit(-(2**63)), userProfileIDs=pl.lit([2**63 - 1]))
    assert b'{"agentID":{"long":-9223372036854775808},' in encoded(flat)
    assert b'"userProfileIDs":{"array":[9223372036854775807]}' in encoded(flat)


def test_what_is_null_is_bare():
    """Null has no type's name around it; an empty list has."""
    flat = login().with_columns(userProfileIDs=pl.lit([], pl.List(pl.Int64)), **dict.fromkeys(["state", "agentNickname"], pl.lit(None)))
    line = encoded(flat.cast(FLAT))
    assert b'"state":null,' in line
    assert b'"agentNickname":null,' in line
    assert b'"userProfileIDs":{"array":[]}' in line


def test_a_withdrawn_session_is_an_empty_array_without_times():
    """Even where the frame still knows its agent and when it was."""
    withdrawn = login().with_columns(eventIndex=pl.lit(None, pl.Int32))
    line = encoded(pl.concat([withdrawn, login(), withdrawn])).splitlines()
    assert line[0] == line[2]
    assert b'"startTime":null,"endTime":null},' in line[0]
    assert line[0].endswith(b'"agentSessionsData":{"array":[]}}}}]}')
    assert line[1] == encoded(login()).rstrip()


def test_neighbouring_documents_of_one_session_stay_two():
    """As in the seed, whose example holds the same session twice."""
    assert encoded(pl.concat([login(), login()])) == encoded(login()) * 2


def test_events_of_a_session_may_have_been_filtered():
    """What is left of a session is one document, wherever its indexes begin."""
    flat = many(3, 4).filter(pl.col("eventIndex") > 1)
    assert [len(json.loads(line)["recordCollection"]) for line in encoded(flat).splitlines()] == [1, 1, 1]


def test_no_sessions_are_no_bytes():
    """Which decode to no sessions."""
    assert encoded(login().clear()) == b""
    assert container.decode(b"", name="a").schema == DECODED
    assert container.decode(container.compress(b" \n"), name="a").schema == DECODED


@given(flat_frames, VERSIONS)
@settings(max_examples=60, deadline=None)
def test_every_line_is_accepted_by_its_schema(flat: pl.DataFrame, version: str):
    """An independent implementation of Avro reads the same values from it, in the same order."""
    read = list(fastavro.json_reader(StringIO(encoded(flat, version).decode(), newline="\n"), schema.schema(version)))
    sessions = [record["body"] for document in read for record in document["recordCollection"]]
    events = [event for session in sessions for event in session["agentSessionsData"]]
    assert events == flat.filter(pl.col("eventIndex").is_not_null()).select(WIRE.keys()).to_dicts()
    starts = flat.filter(pl.col("eventIndex").is_null() | (pl.col("eventIndex") == 0))
    assert [session["header"]["agentSessionId"] for session in sessions] == starts["agentSessionId"].to_list()
    assert [document["metaData"]["endTime"] for document in read] == starts["sessionEndTime"].to_list()


@given(flat_frames)
@settings(max_examples=30, deadline=None)
def test_equal_frames_give_equal_bytes(flat: pl.DataFrame):
    """However they lie in memory, and whatever other columns they have."""
    pieces = pl.concat([flat[i : i + 1] for i in range(flat.height)], rechunk=False) if flat.height else flat
    other = pieces.with_columns(eventId=pl.lit("x")).select("eventId", *reversed(flat.columns))
    assert container.compress(encoded(other)) == container.compress(encoded(flat))


def test_a_container_is_one_gzip_member_without_name_and_time():
    """So that equal sessions make equal files (RFC 1952 §2.3)."""
    lines = encoded(login())
    file = container.compress(lines)
    assert file[:4] + file[4:8] == b"\x1f\x8b\x08\x00" + bytes(4)
    member = zlib.decompressobj(31)
    assert member.decompress(file) == lines
    assert (member.eof, member.unused_data) == (True, b"")


def test_where_isal_is_missing_zlib_does_its_work():
    """Other bytes, the same text, and the same words for what is damaged."""
    code = """if True:
        import sys
        sys.modules["isal"] = None
        from shiftlog import container
        from shiftlog.errors import Damaged
        file = container.compress(b" " * 5000)
        assert container.decode(file, name="a").is_empty()
        try:
            container.decode(file[:-5] + b"xxxxx", name="a")
        except Damaged as damaged:
            print(damaged)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("a: line 1 of the text, byte 2 of the file: the gzip is wrong here")


# ── there and back ──


@given(flat_frames, VERSIONS)
@settings(max_examples=80, deadline=None)
def test_what_was_encoded_decodes_to_the_same(flat: pl.DataFrame, version: str):
    """In both versions, as gzip and as plain lines, with the document's account and version beside each row."""
    lines = encoded(flat, version)
    for data in (lines, container.compress(lines)):
        back = container.decode(data, name="a")
        assert back.schema == DECODED
        assert_frame_equal(back.select(FLAT.keys()), flat)
        assert set(back.select("accountId", "schemaVersion").rows()) <= {("75555851", version)}


def by_line(documents: list[str]) -> str:
    return "".join(f"{document}\n" for document in documents)


def spread(indent: int | None, newline: str) -> Callable[[list[str]], str]:
    """Every document over several lines."""

    def write(documents: list[str]) -> str:
        return newline.join(json.dumps(json.loads(document), indent=indent) for document in documents).replace("\n", newline)

    return write


FORMS: dict[str, Callable[[list[str]], str]] = {
    "lines": by_line,
    "windows": lambda documents: "\r\n".join(documents),
    "without line ends": "".join,
    "spaced": lambda documents: "\n \t" + " ".join(documents) + "\n\n",
    "pretty": spread(2, "\n"),
    "as the seed": spread(0, "\n"),
    "pretty windows": spread(1, "\r\n"),
}


@pytest.mark.parametrize("form", FORMS)
@given(flat_frames, st.randoms(use_true_random=True), st.integers(1, 3000), st.booleans())
@settings(max_examples=25, deadline=None)
def test_the_form_of_the_text_does_not_matter(form: str, flat: pl.DataFrame, random: Random, block: int, mixed: bool):
    """Any order of members, unknown ones, any white space, either envelope or both, in one block or in many."""
    begins = [i for i, index in enumerate(flat["eventIndex"]) if not index]
    sessions = [flat[begin:end] for begin, end in zip(begins, [*begins[1:], flat.height], strict=False)]
    versions = [random.choice(schema.VERSIONS) if mixed else schema.DEFAULT for _ in sessions]
    values = [json.loads(encoded(*session)) for session in zip(sessions, versions, strict=True)]
    text = FORMS[form]([json.dumps(shuffled(value, random), ensure_ascii=random.random() < 0.5) for value in values])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(container, "_BLOCK", block)
        assert_frame_equal(decoded(text.encode()), flat)


@pytest.mark.parametrize("version", schema.VERSIONS)
def test_a_large_file_is_read_in_blocks(version: str):
    """Three blocks and a rest, which begin and end where documents do."""
    flat = many(1_300, 40)
    lines = encoded(flat, version)
    assert len(lines) > 3 * container._BLOCK
    assert_frame_equal(decoded(container.compress(lines)), flat)


def test_a_document_larger_than_a_block_is_read_whole(monkeypatch: pytest.MonkeyPatch):
    """Blocks grow until a document's end lies in them."""
    monkeypatch.setattr(container, "_BLOCK", 1_000)
    flat = pl.concat([many(3, 1), many(1, 100), many(5, 1)])
    assert_frame_equal(decoded(encoded(flat).replace(b"\n", b"")), flat)


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("between", [b"", b" ", b"\n"])
def test_blocks_do_not_end_within_text(odd: str, between: bytes, monkeypatch: pytest.MonkeyPatch):
    """Braces, quotes and backslashes in a text are no ends of documents."""
    monkeypatch.setattr(container, "_BLOCK", 1)
    flat = pl.concat([many(1, 1).with_columns(agentUsername=pl.lit(odd * i)) for i in range(4)])
    assert_frame_equal(decoded(between.join(encoded(flat).splitlines())), flat)


def test_members_of_gzip_may_follow_each_other():
    """Several of them, and empty ones, are one text; a document may lie across them."""
    lines = encoded(many(3, 2))
    file = b"".join(gzip.compress(part) for part in (b"", lines[:700], lines[700:], b"", lines))
    assert_frame_equal(decoded(file), pl.concat([many(3, 2)] * 2))


def test_a_source_may_be_bytes_a_file_or_a_path(tmp_path: Path):
    """All give the same frame."""
    path = tmp_path / "Agent.0.3600000.part-00000-0.gz"
    path.write_bytes(container.compress(encoded(login())))
    data = path.read_bytes()
    with path.open("rb", buffering=0) as raw:
        for source in (data, bytearray(data), memoryview(data), BytesIO(data), raw, path):
            assert_frame_equal(container.decode(source, name="a").select(FLAT.keys()), login())
    assert_frame_equal(container.read(path).select(FLAT.keys()), login())


# ── damage ──


def complaint(data: bytes, **options: int) -> str:
    with pytest.raises((Damaged, TooLarge)) as raised:
        decoded(data, **options)
    return str(raised.value)


def test_a_missing_file_is_missing(tmp_path: Path):
    """By its name."""
    with pytest.raises(Missing, match=r"none\.gz: there is no such file"):
        container.read(tmp_path / "none.gz")


def test_a_gzip_that_was_cut_off_is_damaged_wherever_that_was():
    """Never less sessions than there were, without a word."""
    file = container.compress(encoded(many(3, 1)))
    for length in range(1, len(file)):
        assert complaint(file[:length]).startswith("a.gz: line ")


def test_the_complaint_about_a_cut_off_gzip_says_where():
    """File, line and byte, and what to do."""
    file = container.compress(encoded(many(400, 1)))
    told = complaint(file[:-4])
    assert told == f"a.gz: line 401 of the text, byte {len(file) - 4} of the file: the file ends within the gzip; fetch the file again"


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_flipped_bit_is_noticed_or_harmless(data: st.DataObject):
    """Harmless are the few bits of the header that say nothing about the text."""
    file = bytearray(container.compress(encoded(many(5, 3))))
    file[data.draw(st.integers(0, len(file) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(Damaged):
        assert_frame_equal(decoded(bytes(file)), many(5, 3))


@pytest.mark.parametrize("at", [-8, -1])
def test_a_wrong_checksum_or_length_is_damage(at: int):
    """The last eight bytes of a member (RFC 1952 §2.3.1), even if all the text before them is fine."""
    file = bytearray(container.compress(encoded(login())))
    file[at] ^= 1
    assert "the gzip is wrong here" in complaint(bytes(file))


@pytest.mark.parametrize("garbage", [b"x", b"\0", b"\x1fx", b"{}", b"\x1f\x8bxxxxxxxxxxxxxxxxxxxxxxx", b"\x1f"])
def test_garbage_after_the_gzip_is_damage(garbage: bytes):
    """Whether it looks like another member or not."""
    file = container.compress(encoded(login()))
    told = complaint(file + garbage)
    assert told.startswith("a.gz: line 2 of the text, byte ")
    if garbage[:2] != b"\x1f\x8b" != garbage + b"\x8b":
        assert f"byte {len(file)} of the file: what follows the end of the gzip is not gzip" in told


def test_text_that_was_cut_off_is_damaged_unless_a_document_ends_there():
    """What is read then are the documents before."""
    lines = encoded(many(2, 1))
    half = lines.index(b"\n") + 1
    for length in range(1, len(lines)):
        if length in (half - 1, half, len(lines) - 1):
            assert decoded(lines[:length]).height == 1 + (length > half)
        else:
            assert "ends within a document" in complaint(lines[:length]) or "not JSON" in complaint(lines[:length])


def test_the_complaint_about_a_text_says_where_it_is_wrong(monkeypatch: pytest.MonkeyPatch):
    """Line and byte count from the file's beginning, also in a later block."""
    monkeypatch.setattr(container, "_BLOCK", 2_000)
    lines = encoded(many(20, 1))
    byte = lines.index(b'"A-15"')
    told = complaint(lines[:byte] + b"}" + lines[byte:])
    assert told == f"a.gz: line 16, byte {byte} of the text: not JSON (Expecting value); fetch the file again"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"\xff", "byte 0 of the text: not UTF-8"),
        (b'{"recordCollection":"\xe9"}', "byte 21 of the text: not UTF-8"),
        (b"\xef\xbb\xbf{}", "byte 0 of the text: not JSON"),
        (b"<error/>", "byte 0 of the text: not JSON"),
        (b"PK\x03\x04", "byte 0 of the text: not JSON"),
        (b"\x00\x00\x00", "byte 0 of the text: not JSON"),
        (b'{"recordCollection":[]}\x00\x00', "byte 23 of the text: not JSON"),
        (b'{"recordCollection":[],}', "not JSON"),
        (b'{"recordCollection":[] "metaData":null}', "not JSON"),
        (b'{"recordCollection":[],"x":NaN}', "not JSON (NaN is not a number of JSON)"),
        (b"{}", "not a document of agent activity: recordCollection: found nothing"),
        (b'{"dataAccessFiles":{"@id":"1"}}', "recordCollection: found nothing; allowed: an array of records, in an object"),
        (b'[{"recordCollection":[]}]', "not a document of agent activity"),
        (b"null", "not a document of agent activity"),
        (b'{"recordCollection":[]}\n\n5', "line 3, byte 25 of the text: not a document of agent activity"),
        (b'{"recordCollection":' + b"[" * 3_000_000, "nested too deeply"),
        (b'{"recordCollection":' + b"[" * 3_000_000 + b"]" * 3_000_000 + b"}", "nested too deeply"),
        (b'{"recordCollection":[],"x":' + b'{"x":' * 500_000 + b"1" + b"}" * 500_001, "nested too deeply"),
    ],
)
def test_text_of_another_kind_is_damaged(text: bytes, told: str):
    """It is not JSON, or JSON of another kind; the same from a gzip."""
    assert told in complaint(text)
    assert told in complaint(container.compress(text))


def test_a_gzip_bomb_is_not_inflated():
    """Of 64 MB of text in a small file, no more is taken than the limit allows."""
    stream = BytesIO(zlib.compress(b" " * (1 << 26), 9, wbits=31))
    with pytest.raises(TooLarge, match=r"a\.gz: more than 4194304 bytes of text; .*smaller files.*limit"):
        container.decode(stream, name="a.gz", limit=1 << 22)
    assert stream.tell() < 10_000


def test_the_limit_is_for_plain_text_as_well():
    """And is the most that is taken, not the least that is refused."""
    lines = encoded(login())
    assert decoded(lines, limit=len(lines)).height == 1
    assert "more than" in complaint(lines, limit=len(lines) - 1)
