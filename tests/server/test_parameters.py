"""Query parameters, and the cursors of pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftlog.errors import Invalid
from shiftlog.events import INT64_MAX
from shiftlog.server.parameters import after, cursor, whole

COUNTS = st.integers(0, INT64_MAX)


@given(COUNTS, COUNTS)
def test_a_cursor_leads_back(generated: int, seq: int):
    """What a page gives is what the next one begins with."""
    assert after(cursor(generated, seq)) == (generated, seq)


@given(st.text())
def test_any_other_text_is_refused_or_a_cursor(text: str):
    """It is never an error of the server."""
    try:
        place = after(text)
    except Invalid:
        return
    assert all(0 <= number <= INT64_MAX for number in place)


def test_without_a_cursor_a_list_begins_at_its_beginning():
    """Before the first part that can be."""
    assert after(None) < (0, 0)


@given(st.integers(-(2**70), 2**70))
def test_whole_numbers_are_taken_in_their_bounds(value: int):
    """From the least to the largest that 64 bits hold."""
    if 5 <= value <= INT64_MAX:
        assert whole("a number", 5)(str(value)) == value
    else:
        with pytest.raises(ValueError, match=f"found '{value}'; allowed: a number from 5 to {INT64_MAX}"):
            whole("a number", 5)(str(value))


@pytest.mark.parametrize("value", ["1_000", " 1", "1 ", "+1", "1.0", "1e3", "0x1", "١", "", "-0x"])
def test_other_ways_to_write_a_number_are_refused(value: str):
    """One spelling, for all clients the same."""
    with pytest.raises(ValueError, match="allowed: a number from 0 to"):
        whole("a number", 0)(value)
