"""Events from files: NDJSON, a JSON array, a CloudEvents batch, a published container, plain or gzip; `-` is standard input."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import polars as pl

from shiftlog import container, events
from shiftlog.errors import BadEvent, Damaged, Invalid, Missing, TooLarge

_CHUNK = 8 << 20  # bytes of NDJSON parsed at a time: memory is bounded by this, not by the file
_SNIFF = 1 << 16
_LONGEST_LINE = 1 << 20
_LARGEST = 1 << 30  # bytes of a file that has to be read whole


def read(name: str, *, account: str, now: int, on_bytes: Callable[[int], None] = lambda _: None) -> Iterator[pl.DataFrame]:
    """The events of a file in frames (columns `events.SENT`), in the file's order. `on_bytes` is told of bytes read.

    Raises:
        Missing: no such file.
        Invalid: not events; names the file, the line and the field.
        Damaged: a truncated or corrupt gzip, or a container that is not one.
    """
    with _opened(name) as raw:
        file = gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == b"\x1f\x8b" else raw
        before = 0
        try:
            for frame in _frames(file, name, account, now):
                yield frame
                position = raw.tell() if raw.seekable() else before
                on_bytes(position - before)
                before = position
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise Damaged(f"{name}: the gzip is damaged before byte {raw.tell() if raw.seekable() else 'unknown'}: {error}") from None
        except Invalid as error:
            kind = TooLarge if isinstance(error, TooLarge) else Invalid
            raise kind(f"{'standard input' if name == '-' else name}: {error}") from None


def _frames(file: io.BufferedReader | gzip.GzipFile, name: str, account: str, now: int) -> Iterator[pl.DataFrame]:
    head = file.peek(_SNIFF)[:_SNIFF].lstrip()
    if head[:1] == b"[":
        form = events.CLOUDEVENTS if b'"specversion"' in head else events.JSON
        yield events.parse(_whole(file), form, account=account, now=now)
    elif b'"recordCollection"' in head or b'"metaData"' in head:
        yield _container(_whole(file), name, account)
    else:
        yield from _lines(file, account, now)


def _whole(file: io.BufferedReader | gzip.GzipFile) -> bytes:
    """All of a file that cannot be read in pieces, as long as it fits in memory: a gzip may hold a thousand times its size."""
    data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise TooLarge(f"more than {_LARGEST} bytes in one array or container; give it in smaller files, or as NDJSON")
    return data


def _container(data: bytes, name: str, account: str) -> pl.DataFrame:
    flat = container.decode(data, name=name)
    others = set(flat["accountId"].drop_nulls().unique()) - {account}
    if others:
        raise Invalid(f"the file is of account {', '.join(sorted(others))}, not {account}")
    return events.from_sessions(flat, account=account)


def _lines(file: io.BufferedReader | gzip.GzipFile, account: str, now: int) -> Iterator[pl.DataFrame]:
    before, taken = 0, 0
    while body := file.read(_CHUNK):
        rest = file.readline(_LONGEST_LINE)
        if len(rest) == _LONGEST_LINE:
            line = before + body.count(b"\n") + 1
            raise TooLarge(f"line {line}: longer than {_LONGEST_LINE} bytes; an event has some hundred")
        body += rest
        if body.strip():
            try:
                frame = events.parse(body, events.NDJSON, account=account, now=now)
            except BadEvent as error:
                raise _moved(error, before, taken) from None
            taken += frame.height
            yield frame
        before += body.count(b"\n")
    if not taken:
        raise Invalid("the file holds no event; one JSON object a line, an array of them, or a published file is expected")


def _moved(error: BadEvent, lines: int, taken: int) -> BadEvent:
    """The error with the line's number in the file, and what has become of the lines before."""
    number = int(error.where.removeprefix("line ")) + lines
    stored = f"; the {taken} events before are stored, and are dropped as repeats when the file is ingested again" if taken else ""
    return BadEvent(f"line {number}", error.field, error.found, error.allowed + stored)


def _opened(name: str) -> io.BufferedReader:
    if name == "-":
        return cast("io.BufferedReader", sys.stdin.buffer)
    try:
        return Path(name).open("rb")
    except FileNotFoundError:
        raise Missing(f"there is no file {name}") from None
    except OSError as error:
        raise Invalid(f"{name} cannot be read: {error.strerror}") from None
