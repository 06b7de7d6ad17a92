"""Server-sent events: connections that stay open, a bounded number of them (HTML Living Standard, §9.2)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from starlette.responses import StreamingResponse

from shiftlog.errors import Later

_EACH = 8  # streams of one key at most: those are someone's open tabs
_RETRY = 5  # seconds


class Streams:
    """The open streams of one server; at most `most`, and none once it is stopping."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open = Counter[int]()
        self._stopping = asyncio.Event()

    def check(self, key_id: int) -> None:
        """Return if there is a place for one more stream of a key.

        Raises:
            Later: all are taken.
        """
        if self._stopping.is_set() or self._open[key_id] >= _EACH or self._open.total() >= self._most:
            raise Later(f"too many pages watch what happens now ({self._open.total()}); close some, or try again", retry_after=_RETRY)

    @contextmanager
    def place(self, key_id: int) -> Iterator[None]:
        """A place for one stream of a key, until the block ends.

        Raises:
            Later: all are taken.
        """
        self.check(key_id)
        self._open[key_id] += 1
        try:
            yield
        finally:
            self._open[key_id] -= 1

    async def pause(self, seconds: float) -> bool:
        """Wait; False where the server is stopping, which is said at once."""
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return True
        return False

    def stop(self) -> None:
        """Let the streams end: no server can stop while they are open."""
        self._stopping.set()


def event(name: str, data: str) -> bytes:
    """One event; `data` may have several lines."""
    lines = "".join(f"data: {line}\n" for line in data.splitlines())
    return f"event: {name}\n{lines}\n".encode()


def respond(events: AsyncIterator[bytes]) -> StreamingResponse:
    """The answer that consists of events."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)
