"""The scene of the faults: a day that is sent, with late and repeated events, and whose truth is known."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from faults.test_faults import finished
from shiftlog.house import House
from shiftlog.simulate import Simulation, simulate
from test_exactly_once import START


@pytest.fixture
def day() -> Simulation:
    return simulate("A", agents=12, days=1, start=START, seed=7, late=0.02, repeat=0.02)


@pytest.fixture
def published(house: House, account: str, day: Simulation) -> House:
    """A deployment in which the day is published."""
    finished(house, day, set())
    return house
