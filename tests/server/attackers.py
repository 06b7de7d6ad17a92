"""Clients that mean harm, each until it is told to stop. They come from addresses of their own, so what is let in is not the question
of a limit for one address alone."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

_BOMB_BYTES = 1 << 30
_ADDRESSES = itertools.cycle([f"127.0.1.{n}" for n in range(1, 9)])

#: One connection's part in an attack; it tells what the server answered, or that it cut the connection off ("cut").
Attack = Callable[["Target"], Awaitable[str]]


class Target:
    """Where the attack goes, and whether it is over."""

    def __init__(self, port: int, bearers: Sequence[str], events: str) -> None:
        self.port, self.events = port, events
        self._bearers = itertools.cycle(bearers)
        self.over = asyncio.Event()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, local_addr=(next(_ADDRESSES), 0))

    def headers(self, length: int, *more: str) -> bytes:
        """Of a POST of events with a valid key."""
        lines = [
            f"POST {self.events} HTTP/1.1",
            "Host: shiftlog",
            f"Authorization: Bearer {next(self._bearers)}",
            "Content-Type: application/x-ndjson",
            f"Content-Length: {length}",
            *more,
        ]
        return "\r\n".join([*lines, "", ""]).encode()


async def _status(reader: asyncio.StreamReader) -> str:
    line = await reader.readline()
    return str(line.split(b" ")[1], "ascii") if line else "cut"


def bomb() -> bytes:
    """A gigabyte of nothing, in gzip: about a megabyte."""
    packed = gzip.compress(bytes(_BOMB_BYTES), 9, mtime=0)
    assert len(packed) < 1_100_000
    return packed


def bombing(packed: bytes) -> Attack:
    """Bombs, one after the other."""

    async def attack(target: Target) -> str:
        reader, writer = await target.connect()
        try:
            writer.write(target.headers(len(packed), "Content-Encoding: gzip") + packed)
            await writer.drain()
            return await _status(reader)
        finally:
            writer.close()

    return attack


async def idling(target: Target) -> str:
    """A connection that says nothing."""
    reader, writer = await target.connect()
    try:
        over = asyncio.create_task(target.over.wait())
        said = asyncio.create_task(reader.read(1))
        await asyncio.wait({over, said}, return_when=asyncio.FIRST_COMPLETED)
        held = not said.done()
        for task in (over, said):
            task.cancel()
        return "held" if held else "cut"
    finally:
        writer.close()


async def writing_slowly(target: Target) -> str:
    """A body that comes byte by byte, two a second."""
    reader, writer = await target.connect()
    answer = asyncio.create_task(_status(reader))
    try:
        writer.write(target.headers(1_000_000))
        while not target.over.is_set() and not answer.done():
            writer.write(b" ")
            await writer.drain()
            await asyncio.wait({answer}, timeout=0.5)
        return await answer if answer.done() else "held"
    finally:
        answer.cancel()
        writer.close()


async def shouting(target: Target) -> str:
    """A megabyte of headers."""
    reader, writer = await target.connect()
    try:
        writer.write(target.headers(0, "X-Noise: " + "n" * (1 << 20)))
        await writer.drain()
        return await _status(reader)
    finally:
        writer.close()


@contextmanager
def under(attack: Attack, target: Target, connections: int) -> Iterator[Counter[str]]:
    """So many connections of an attack while the block runs, once all have begun; each that ends is followed by another.

    What came of them is told once the block is over.
    """
    outcomes: Counter[str] = Counter()
    begun = threading.Event()
    stop: list[Callable[[], object]] = []

    async def one() -> None:
        while not target.over.is_set():
            try:
                outcomes[await attack(target)] += 1
            except OSError:
                outcomes["cut"] += 1

    async def all_() -> None:
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(target.over.set))
        attackers = [asyncio.create_task(one()) for _ in range(connections)]
        await asyncio.sleep(1)
        begun.set()
        await asyncio.gather(*attackers)

    thread = threading.Thread(target=lambda: asyncio.run(all_()))
    thread.start()
    begun.wait()
    try:
        yield outcomes
    finally:
        stop[0]()
        thread.join()
