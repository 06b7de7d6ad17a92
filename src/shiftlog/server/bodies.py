"""The body of a request: bounded while it arrives, and while it is unpacked."""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.datastructures import Headers
from starlette.requests import Request

from shiftlog.errors import Invalid, Later, TooLarge, TooSlow, Unsupported
from shiftlog.events import FORMS

_TOGETHER = 32  # bodies of the full size that are held at once, in all requests
_MEMBERS = 100  # gzip members in one body: each costs a copy of what follows it
_GZIP = 31  # zlib's wbits for gzip


class Bodies:
    """Receives bodies of at most `limit` bytes, and holds a bounded number of bytes in all.

    A body may take `seconds`, and beyond that as long as its bytes take at `rate` bytes a second.
    """

    def __init__(self, limit: int, seconds: float = 15, rate: int = 4_096) -> None:
        self._limit, self._held, self._of = limit, 0, Counter[int]()
        self._seconds, self._rate = seconds, rate

    async def whole(self, request: Request, most: int) -> bytes:
        """The body, which is not counted.

        Raises:
            TooLarge: it has more than `most` bytes.
            TooSlow: it did not arrive in time.
        """
        chunks: list[bytes] = []

        def take(chunk: bytes, size: int) -> None:
            if size > most:
                raise TooLarge(f"the body has more than {most} bytes, which are allowed")
            chunks.append(chunk)

        await self._stream(request, take)
        return b"".join(chunks)

    async def _stream(self, request: Request, take: Callable[[bytes, int], None]) -> None:
        """Have each piece of the body taken as it comes, with how many bytes there are by then.

        Raises:
            TooSlow: it did not arrive in time.
        """
        loop, size = asyncio.get_running_loop(), 0
        began = loop.time()
        try:
            # One time-out that moves: a new one for each piece costs more than all else that is done with it.
            async with asyncio.timeout_at(began + self._seconds) as due:
                async for piece in request.stream():
                    size += len(piece)
                    take(piece, size)
                    due.reschedule(began + self._seconds + size / self._rate)
        except TimeoutError:
            raise TooSlow(
                f"{size} bytes of the body have arrived in {loop.time() - began:.0f} s; at least {self._rate} a second are expected:"
                " send it again, over a better line or in pieces"
            ) from None

    @asynccontextmanager
    async def receive(self, request: Request, key_id: int = 0) -> AsyncIterator[bytes]:
        """The body as it was sent, which counts as held until the block ends; no key may hold more than half of what all may.

        Raises:
            TooLarge: it has more than `limit` bytes; no more than that were read.
            TooSlow: it did not arrive in time.
            Later: too much is held by other requests, or by others with this key.
        """
        announced = request.headers.get("content-length", "")
        self._check(int(announced) if announced.isdecimal() else 0)
        chunks: list[bytes] = []
        held = 0

        def take(chunk: bytes, size: int) -> None:
            nonlocal held
            held = size
            chunks.append(chunk)
            self._held += len(chunk)
            self._of[key_id] += len(chunk)
            self._check(size)
            if max(self._held, 2 * self._of[key_id]) > _TOGETHER * self._limit:
                raise Later("too many events arrive at once; nothing was taken", retry_after=1)

        try:
            await self._stream(request, take)
            yield b"".join(chunks)
        finally:
            self._held -= held
            self._of[key_id] -= held
            if not self._of[key_id]:
                del self._of[key_id]

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
