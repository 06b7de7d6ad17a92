"""The container of sessions on the wire: a flat frame ⇄ lines of JSON ⇄ one gzip member (seed: Data Structure).

A line is one document, and a document one session, in Avro's JSON encoding: a value of a union stands under the name of
its type, `{"long":9}`, and null is bare. What is written is as the seed has it, member for member in its order, without
white space. What is read may be looser; see `spelling`, `columns` and `documents`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl
from arro3.core import Array, ChunkedArray, list_array

from shiftlog import columns, documents, schema, spelling, writing
from shiftlog.documents import BRANCH, DECODED, Place
from shiftlog.errors import Damaged, Missing, TooLarge
from shiftlog.schema import ACTIVITY, DATA_TYPE, HEADER, META_DATA

try:
    from isal import isal_zlib as zlib
except ImportError:  # a processor for which isal has no wheel
    import zlib  # type: ignore[no-redef]

#: Bytes of text that a file may hold, if the reader does not say otherwise. A part of 500 000 events has 250 MB.
LIMIT = 4 << 30

_GZIP, _MAGIC = 31, b"\x1f\x8b"
_LEVEL = 1  # the fastest that still looks for repeats; a higher one is hardly smaller
_TOGETHER = 1 << 20  # bytes of text compressed at a time: they stay in the processor's cache, and where they are cut costs next to nothing
_PIECE = 1 << 10  # bytes of gzip inflated at a time: at most 1 MiB of text, and as exact as the place of damage is known
_BLOCK = 1 << 23  # bytes of text decoded at a time


# ── writing ──


def encode(flat: pl.DataFrame, *, account: str, version: str = schema.DEFAULT) -> bytes:
    """Sessions as lines of JSON in UTF-8, one document a session, in the order of the rows.

    `flat` has the columns of `events.FLAT` (others are left out), the rows of a session adjacent and by `eventIndex`. A
    row without `eventIndex` is a withdrawn session: an empty array, and null times. Equal frames give equal bytes.

    Raises:
        Invalid, Missing: not a schema version, or not one that is known.
    """
    return b"".join(map(bytes, _lines(flat, account, schema.resolve(version))))


def pack(flat: pl.DataFrame, *, account: str, version: str = schema.DEFAULT) -> bytes:
    """What `compress` makes of the lines of `encode`, which are not in memory all at once, where a kernel writes them.

    Raises:
        Invalid, Missing: not a schema version, or not one that is known.
    """
    return _compressed(_lines(flat, account, schema.resolve(version)))


def compress(lines: bytes) -> bytes:
    """One gzip member without name and time, so that equal lines give equal bytes."""
    return _compressed(_pieces(lines))


def _compressed(pieces: Iterable[bytes | memoryview]) -> bytes:
    """The gzip of pieces of `_TOGETHER` bytes: where they are cut shows in it."""
    member = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return b"".join([*map(member.compress, pieces), member.flush()])


def _pieces(lines: bytes) -> Iterator[memoryview]:
    return (memoryview(lines)[at : at + _TOGETHER] for at in range(0, len(lines), _TOGETHER))


def _lines(flat: pl.DataFrame, account: str, version: str) -> Iterator[memoryview]:
    """The lines in pieces of `_TOGETHER` bytes, the last one shorter; each is there until the next one is asked for."""
    if flat.is_empty():
        return iter(())
    begins = flat.select(_BEGINS.arg_true()).to_series()
    constants, tagged = {"accountId": account, "schemaVersion": version}, schema.has_tagged_envelope(version)
    quick = writing.pieces(flat, begins.to_numpy(), constants, tagged=tagged, size=_TOGETHER)
    if quick is not None:
        return quick
    lines = BytesIO()
    _documents(flat, begins, account, version).write_ndjson(lines)
    return _pieces(lines.getvalue())


_INDEX, _SESSION = pl.col("eventIndex"), pl.col("agentSessionId")
# By id and index: two documents of the same session, as in the seed's example, stay two.
_BEGINS = _INDEX.is_null() | _SESSION.ne_missing(_SESSION.shift()) | _INDEX.le(_INDEX.shift()).fill_null(True)


def _tagged(value: pl.Expr, branch: str) -> pl.Expr:
    """A value under the name of its type; null stays null."""
    return pl.when(value.is_not_null()).then(pl.struct(value.alias(branch)))


def _documents(flat: pl.DataFrame, begins: pl.Series, account: str, version: str) -> pl.DataFrame:
    """The documents as nested columns, one row a session: what `writing` does, by Polars."""
    times = [_tagged(pl.when(_INDEX.is_not_null()).then(pl.col(name)), "long") for name in ("sessionStartTime", "sessionEndTime")]
    meta = pl.struct(accountId=pl.struct(string=pl.lit(account)), schemaVersion=pl.lit(version), startTime=times[0], endTime=times[1])
    header = pl.struct(pl.struct(agentSessionId=_tagged(_SESSION, "string")).alias(HEADER))
    data = pl.struct(header=header, agentSessionsData=pl.struct(array=_events(flat, begins)))
    records = pl.concat_list(pl.struct(body=pl.struct(data.alias(ACTIVITY))))
    if schema.has_tagged_envelope(version):
        meta, records = pl.struct(meta.alias(META_DATA)), pl.struct(array=records)
    kind = pl.struct(pl.lit("AgentActivity").alias(DATA_TYPE))
    return flat[begins].select(dataType=kind, metaData=meta, recordCollection=records)


def _events(flat: pl.DataFrame, begins: pl.Series) -> pl.Series:
    """Each session's events as one list, without copying them: a session's events lie between two offsets."""
    has_event = flat["eventIndex"].is_not_null()
    before = np.concatenate(([0], np.cumsum(has_event.to_numpy(), dtype=np.int64)))
    offsets = before[np.append(begins.to_numpy(), flat.height)]
    fields = (_tagged(pl.col(name), branch).alias(name) for name, branch in BRANCH.items())
    events = flat.filter(has_event).select(fields).to_struct()
    return pl.Series(list_array(Array.from_numpy(offsets), ChunkedArray.from_arrow(events).combine_chunks()))


# ── reading ──

Source = bytes | bytearray | memoryview | BinaryIO | Path
_LINE_END = b"}\n{"
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_BETWEEN = re.compile(rb"}[ \t\r\n]*(?={)")


def read(path: Path, *, limit: int = LIMIT) -> pl.DataFrame:
    """The sessions of a file, as `decode` gives them."""
    return decode(path, name=path.name, limit=limit)


def decode(source: Source, *, name: str, limit: int = LIMIT) -> pl.DataFrame:
    """The sessions of a container as a frame with the columns of `documents.DECODED`, in the file's order.

    `source` is gzip, of one member or several, or plain text. `name` stands in messages. `limit` is the most bytes of
    text that are taken. A withdrawn session is one row; a file without text has none.

    Raises:
        Damaged: the gzip is cut off or wrong, or the text is not documents of agent activity; names file, line and byte.
        Missing: there is no such file.
        TooLarge: more text than `limit`; no more than that was inflated.
    """
    ours = spelling.Reader()
    with _opened(source, name) as stream:
        frames = [_decoded(text, place, ours) for place, text in _blocks(_text(stream, name, limit), Place(name))]
    return pl.concat([pl.DataFrame(schema=DECODED), *frames])


def _opened(source: Source, name: str) -> AbstractContextManager[BinaryIO]:
    if isinstance(source, Path):
        try:
            return source.open("rb")
        except FileNotFoundError:
            raise Missing(f"{name}: there is no such file") from None
    return nullcontext(BytesIO(source) if isinstance(source, bytes | bytearray | memoryview) else source)


def _decoded(block: memoryview, place: Place, ours: spelling.Reader) -> pl.DataFrame:
    frame = ours.read(block)
    if frame is None:
        text = bytes(block)
        frame = columns.read(text)
        frame = documents.read(text, place) if frame is None else frame
    return frame


class _BadGzip(Exception):
    """The gzip is damaged at a byte of the file."""

    def __init__(self, byte: int, problem: str) -> None:
        self.byte, self.problem = byte, problem


def _text(stream: BinaryIO, name: str, limit: int) -> Iterator[bytes]:
    """The text in chunks, as long as there are not more than `limit` bytes of it."""
    head = stream.read(2)
    head += stream.read(1) if len(head) == 1 else b""
    gzipped = head == _MAGIC
    pieces = chain((head,), iter(partial(stream.read, _PIECE if gzipped else _BLOCK), b""))
    taken = 0
    for chunk in _inflated(pieces) if gzipped else pieces:
        taken += len(chunk)
        if taken > limit:
            raise TooLarge(f"{name}: more than {limit} bytes of text; give it in smaller files, or allow a higher limit")
        yield chunk


def _inflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The text of gzip members that follow each other."""
    member = zlib.decompressobj(_GZIP)
    byte = 0
    for piece in pieces:
        rest = piece
        while rest:
            here = byte + len(piece) - len(rest)
            if member.eof:
                if not _MAGIC.startswith(rest[:2]):
                    raise _BadGzip(here, "what follows the end of the gzip is not gzip")
                member = zlib.decompressobj(_GZIP)
            try:
                yield member.decompress(rest)
            except zlib.error as error:  # type: ignore[misc]  # isal's stub calls the class an instance
                raise _BadGzip(here, f"the gzip is wrong here or within the next {_PIECE} bytes ({error})") from None
            rest = member.unused_data
        byte += len(piece)
    if not member.eof:
        raise _BadGzip(byte, "the file ends within the gzip")


def _blocks(chunks: Iterable[bytes], place: Place) -> Iterator[tuple[Place, memoryview]]:
    """Whole documents, about `_BLOCK` bytes at a time, and where they stand.

    A block is good until the next is asked for: all are put together in the same memory, since new memory costs as much as inflating.
    """
    buffer, filled = bytearray(_BLOCK), 0
    try:
        for chunk in chunks:
            if filled + len(chunk) > len(buffer):
                end = _documents_end(buffer, filled)
                if end:
                    yield place, memoryview(buffer)[:end]
                    place = place.after(buffer, end)
                rest = buffer[end:filled]
                if 2 * len(rest) + len(chunk) > len(buffer):
                    buffer = bytearray(2 * len(rest) + len(chunk))
                filled = len(rest)
                buffer[:filled] = rest
            buffer[filled : filled + len(chunk)] = chunk
            filled += len(chunk)
    except _BadGzip as bad:
        line = place.after(buffer, filled).line
        raise Damaged(f"{place.name}: line {line} of the text, byte {bad.byte} of the file: {bad.problem}; fetch the file again") from None
    yield place, memoryview(buffer)[:filled]


def _documents_end(buffer: bytearray, filled: int) -> int:
    """Where the last document ends, in what is filled, that another one follows; 0 if there is none.

    In JSON only documents follow each other without a comma, so they end between a `}` and a `{` that stand outside of
    quotes. A quoted text cannot hold a line end: where one lies between, nothing more has to be looked at.
    """
    end = buffer.rfind(_LINE_END, 0, filled) + 2
    if end > 1:
        return end
    text = _ESCAPED.sub(b"  ", buffer[:filled])
    ends = [found.end() for found in _BETWEEN.finditer(text)]
    return next((end for end in reversed(ends) if text.count(b'"', 0, end) % 2 == 0), 0)
