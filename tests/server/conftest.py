"""The application of the empty deployment, and one with two hours published."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from callers import Caller, calling

from readers import land, publish_at
from scenes import HOUR, MINUTE, T0, event, login, logout, sent
from shiftlog.catalog.keys import NewKey
from shiftlog.catalog.parts import Part
from shiftlog.house import House
from shiftlog.server.app import create_app


@pytest.fixture
def call(house: House, keys: NewKey) -> Iterator[Caller]:
    """A caller with a key that may do everything in account A."""
    with calling(create_app(house, publish=False), keys.bearer) as caller:
        yield caller


@pytest.fixture
def published(house: House, account: str) -> Sequence[Part]:
    """Two parts: a session that ends in the second hour of T0's day, and one that ends in the fourth; the third is empty."""
    land(house, sent(login(T0), event(T0 + 10 * MINUTE, state=2), logout(T0 + 70 * MINUTE)))
    land(house, sent(login(T0 + 2 * HOUR, agentID=2), logout(T0 + 3 * HOUR + MINUTE, agentID=2)))
    return publish_at(house, T0 + 5 * HOUR)
