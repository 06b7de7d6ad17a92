"""Views: a URL holds all of what a page shows."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenes import DAY, HOUR, T0
from shiftlog.errors import Invalid
from shiftlog.server.pages.view import View, days_after, midnight

ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns")

starts = st.integers(1_500_000_000_000, 1_900_000_000_000)
views = st.builds(
    lambda start, length, tz, group: View("A", start, start + length, tz, group),
    starts,
    st.one_of(st.integers(1, 400 * DAY), st.sampled_from([HOUR, DAY])),
    st.sampled_from(ZONES),
    st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
)


@settings(max_examples=100)
@given(view=views, now=starts)
def test_a_view_comes_back_from_its_query(view: View, now: int) -> None:
    """Who gets a link sees the same, whenever, in whatever zone; also where the clocks show an hour twice."""
    assert View.parse(dict(parse_qsl(view.query())), "A", "Asia/Tokyo", now) == view


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ({}, T0, T0 + DAY),
        ({"from": "2026-09-21"}, T0, T0 + DAY),
        ({"from": "2026-09-21T08:00"}, T0 + 8 * HOUR, T0 + 32 * HOUR),
        ({"to": "2026-09-22"}, T0, T0 + DAY),
        ({"to": "2026-09-21T12:00"}, T0, T0 + 12 * HOUR),
        ({"from": "2026-09-21", "to": "2026-09-21T01:00:00+01:00", "tz": "Europe/Berlin"}, T0 - 2 * HOUR, T0),
    ],
)
def test_what_is_left_out_is_today_or_a_day(asked: dict[str, str], start: int, end: int) -> None:
    """A bare page shows today, and half a window is made whole."""
    view = View.parse(asked, "A", "UTC", T0 + 5 * HOUR)
    assert (view.start, view.end) == (start, end)


@pytest.mark.parametrize(
    "asked",
    [
        {"from": "soon"},
        {"to": "2026-13-01"},
        {"from": "2026-09-22", "to": "2026-09-21"},
        {"from": "9999-12-31"},
        {"to": "0001-01-01"},
        {"tz": "Nowhere"},
        {"tz": "../etc/passwd"},
        {"group": "all"},
        {"group": "9" * 19 + "9"},
    ],
)
def test_a_query_that_is_no_view_is_refused(asked: dict[str, str]) -> None:
    """Every mistake is the caller's, and is said."""
    with pytest.raises(Invalid):
        View.parse(asked, "A", "UTC", T0)


@pytest.mark.parametrize(("date", "hours"), [("2026-11-01", 25), ("2026-03-08", 23), ("2026-09-21", 24)])
def test_a_day_is_as_long_as_it_was(date: str, hours: int) -> None:
    """The day before and the day after a change of clocks are whole days too."""
    view = View.parse({"from": date}, "A", "America/New_York", T0)
    assert view.length == hours * HOUR
    assert view.shifted(1).shifted(-1) == view
    assert midnight(view.shifted(-1).start, view.tz) == view.shifted(-1).start
    assert view.shifted(1).start == view.end


def test_a_part_of_a_day_moves_by_its_length() -> None:
    """Hours lead to the hours before and after."""
    view = View("A", T0 + HOUR, T0 + 3 * HOUR, "UTC")
    assert view.shifted(-1) == View("A", T0 - HOUR, T0 + HOUR, "UTC")


@given(instant=starts, tz=st.sampled_from(ZONES))
def test_days_go_there_and_back(instant: int, tz: str) -> None:
    """A midnight, days later, is a midnight."""
    start = midnight(instant, tz)
    assert start <= instant < start + 26 * HOUR
    assert midnight(days_after(start, 3, tz), tz) == days_after(start, 3, tz)
    assert days_after(days_after(start, 3, tz), -3, tz) == start
