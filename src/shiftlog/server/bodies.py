"""The body of a request: bounded while it arrives, and while it is unpacked."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.datastructures import Headers
from starlette.requests import Request

from shiftlog.errors import Invalid, Later, TooLarge, Unsupported
from shiftlog.events import FORMS

_TOGETHER = 32  # bodies of the full size that are held at once, in all requests
_MEMBERS = 100  # gzip members in one body: each costs a copy of what follows it
_GZIP = 31  # zlib's wbits for gzip


class Bodies:
    """Receives bodies of at most `limit` bytes, and holds a bounded number of bytes in all."""

    def __init__(self, limit: int) -> None:
        self._limit, self._held = limit, 0

    @asynccontextmanager
    async def receive(self, request: Request) -> AsyncIterator[bytes]:
        """The body as it was sent, which counts as held until the block ends.

        Raises:
            TooLarge: it has more than `limit` bytes; no more than that were read.
            Later: too much is held by other requests.
        """
        announced = request.headers.get("content-length", "")
        self._check(int(announced) if announced.isdecimal() else 0)
        chunks: list[bytes] = []
        size = 0
        try:
            async for chunk in request.stream():
                chunks.append(chunk)
                size += len(chunk)
                self._held += len(chunk)
                self._check(size)
                if self._held > _TOGETHER * self._limit:
                    raise Later("too many events arrive at once; nothing was taken", retry_after=1)
            yield b"".join(chunks)
        finally:
            self._held -= size

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise TooLarge(f"the body has {size} bytes or more; at most {self._limit} are allowed: send it in pieces")


def form(headers: Headers) -> str:
    """The media type of the body.

    Raises:
        Unsupported: none that events come in.
    """
    given = headers.get("content-type", "")
    media, *parameters = (piece.strip().lower() for piece in given.split(";"))
    charsets = [text.partition("=")[2].strip(' "') for text in parameters if text.startswith("charset=")]
    if media not in FORMS or any(charset not in ("utf-8", "utf8", "us-ascii") for charset in charsets):
        raise Unsupported(f"found Content-Type: {given[:100] or '(none)'}; allowed: {', '.join(FORMS)}, in UTF-8")
    return media


def encoding(headers: Headers) -> str:
    """The content encoding of the body: `gzip` or `identity`.

    Raises:
        Unsupported: another.
    """
    given = ", ".join(headers.getlist("content-encoding")).strip().lower()
    if given not in ("", "identity", "gzip", "x-gzip"):
        raise Unsupported(f"found Content-Encoding: {given[:100]}; allowed: gzip, or none")
    return "gzip" if given.endswith("gzip") else "identity"


def unpack(body: bytes, encoding: str, limit: int) -> bytes:
    """The body as it was before it was encoded; no more than `limit` bytes are ever inflated.

    Raises:
        TooLarge: it has more than `limit` bytes.
        Invalid: the gzip is cut off or damaged.
    """
    if encoding == "identity":
        return body
    pieces: list[bytes] = []
    size, rest = 0, body
    while rest:
        inflater = zlib.decompressobj(_GZIP)
        try:
            pieces.append(inflater.decompress(rest, limit + 1 - size))
        except zlib.error as error:
            raise Invalid(f"the body is not gzip, or is damaged, in its last {len(rest)} of {len(body)} bytes: {error}") from None
        size, rest = size + len(pieces[-1]), inflater.unused_data
        if size > limit:
            raise TooLarge(f"the body unpacks to more than {limit} bytes, which are allowed: send it in pieces")
        if not inflater.eof:
            raise Invalid(f"the body's gzip is cut off after {len(body)} bytes, which hold {size}; send it whole")
        if rest and len(pieces) >= _MEMBERS:
            raise TooLarge(f"the body has more than {_MEMBERS} gzip members, which are allowed: send it in pieces")
    return b"".join(pieces)
