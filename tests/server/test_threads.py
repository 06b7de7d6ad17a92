"""Blocking work is done in threads: as many as its kind may have, and its outcome is that of the call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from shiftlog.server.threads import Threads


@pytest.fixture
def threads() -> Iterator[Threads]:
    found = Threads()
    yield found
    found.stop()


def test_the_outcome_is_that_of_the_call(threads: Threads):
    """What is returned, and what is raised: also what a future cannot hold."""

    def fail(error: BaseException) -> None:
        raise error

    async def scene() -> None:
        assert await threads.read(pow, 2, 10) == 1024
        for error, kind in ((KeyError("x"), KeyError), (StopIteration(), RuntimeError), (KeyboardInterrupt(), KeyboardInterrupt)):
            with pytest.raises(kind):
                await threads.read(fail, error)
        assert await threads.read(threading.get_ident) != threading.get_ident()

    asyncio.run(scene())


def test_of_a_kind_only_so_much_is_done_at_once(threads: Threads):
    """The rest waits, and other kinds go on meanwhile."""
    gate, entered = threading.Event(), list[int]()

    def work(number: int) -> int:
        entered.append(number)
        assert gate.wait(30)
        return number

    async def scene() -> list[Any]:
        slow = [asyncio.create_task(threads.fold(work, number)) for number in range(5)]
        while len(entered) < 2:
            await asyncio.sleep(0.001)
        assert await threads.read(len, "abc") == 3
        assert entered == [0, 1]
        gate.set()
        return await asyncio.gather(*slow)

    assert asyncio.run(scene()) == [0, 1, 2, 3, 4]


def test_who_awaits_no_longer_is_in_nobodys_way(threads: Threads):
    """Its work ends by itself."""
    gate = threading.Event()

    async def scene() -> int:
        slow = [asyncio.create_task(threads.fold(gate.wait, 30)) for _ in range(2)]
        await asyncio.sleep(0)
        slow[0].cancel()
        gate.set()
        assert await slow[1]
        with pytest.raises(asyncio.CancelledError):
            await slow[0]
        return await threads.fold(len, "abc")

    assert asyncio.run(scene()) == 3


def test_threads_end_and_begin_again():
    """Those of a server that was stopped do not stay."""
    threads, before = Threads(), threading.active_count()

    async def work() -> list[int]:
        return await asyncio.gather(*(threads.read(len, "abc") for _ in range(8)))

    for _ in range(2):
        assert asyncio.run(work()) == [3] * 8
        ended = [thread for thread in threading.enumerate() if thread.name == "blocking"]
        threads.stop()
        for thread in ended:
            thread.join(10)
        assert threading.active_count() <= before
