"""Streams: bounded, and over when the server stops."""

from __future__ import annotations

import asyncio

import pytest

from shiftlog.errors import Later
from shiftlog.server.pages import streams
from shiftlog.server.pages.streams import Streams


def test_places_are_bounded_and_given_back() -> None:
    """One too many is told to come again, and one that ends makes room."""
    places = Streams(1)
    with places.place(1):
        with pytest.raises(Later) as refused:
            places.check(2)
        assert refused.value.retry_after
    places.check(2)


def test_one_key_cannot_take_all_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Someone's forgotten tabs leave room for the others."""
    monkeypatch.setattr(streams, "_EACH", 1)
    places = Streams(10)
    with places.place(1):
        places.check(2)
        with pytest.raises(Later):
            places.check(1)


def test_a_stopping_server_ends_its_streams_at_once() -> None:
    """A pause ends when the server stops, and no stream begins after that."""

    async def stopped() -> bool:
        places = Streams(10)
        assert await places.pause(0.001)
        waiting = asyncio.create_task(places.pause(60))
        await asyncio.sleep(0)
        places.stop()
        with pytest.raises(Later):
            places.check(1)
        return await waiting

    assert asyncio.run(stopped()) is False


def test_an_event_has_a_line_for_each_of_its_datas() -> None:
    """Text of several lines arrives as it was."""
    assert streams.event("now", "a\nb") == b"event: now\ndata: a\ndata: b\n\n"
