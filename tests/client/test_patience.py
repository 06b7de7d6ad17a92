"""Patience: what is tried again, and how long after."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftlog.client.patience import Patience
from shiftlog.errors import Invalid, Later


class Attempts:
    """Fails as told, then returns; remembers how long was slept."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.slept, self.size = list(errors), [], 0

    def __call__(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    def patience(self, **fields: object) -> Patience:
        return Patience(sleep=self.slept.append, chance=lambda: 0.0, **fields)


def test_waits_double_up_to_the_longest():
    """As long as there are attempts left."""
    attempts = Attempts(*[Later("busy")] * 5)
    assert attempts.patience(longest=3).persist(attempts) == "done"
    assert attempts.slept == [0.5, 1, 2, 3, 3]


def test_patience_ends():
    """With the last error."""
    attempts = Attempts(Later("one"), Later("two"), Later("three"))
    with pytest.raises(Later, match="three"):
        attempts.patience(attempts=3).persist(attempts)
    assert len(attempts.slept) == 2


def test_only_later_is_tried_again():
    """The caller's mistake does not become right by repeating it."""
    attempts = Attempts(Invalid("wrong"))
    with pytest.raises(Invalid):
        attempts.patience().persist(attempts)
    assert attempts.slept == []


def test_the_servers_wait_is_obeyed():
    """Unless it is shorter than ours, or too long to wait at all."""
    attempts = Attempts(Later("busy", 7), Later("busy", 0), Later("busy", 4000))
    with pytest.raises(Later):
        attempts.patience().persist(attempts)
    assert attempts.slept == [7, 1]


def test_progress_begins_to_count_anew():
    """A large file over a bad line comes at last, however often the line breaks."""
    attempts = Attempts(*[Later("cut")] * 20)

    def with_progress() -> str:
        attempts.size += 1
        return attempts()

    assert attempts.patience(attempts=2).persist(with_progress, lambda: attempts.size) == "done"
    assert set(attempts.slept) == {0.5}


@given(st.integers(1, 60), st.floats(0, 1, exclude_max=True))
def test_chance_shortens_a_wait_to_as_little_as_half(failed: int, chance: float):
    """So that clients that were cut off together do not come back together."""
    whole, shortened = Patience(chance=lambda: 0.0).wait(failed), Patience(chance=lambda: chance).wait(failed)
    assert whole / 2 <= shortened <= whole <= 30
