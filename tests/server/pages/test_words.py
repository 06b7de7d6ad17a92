"""Words: numbers with their units, times with their zones."""

from __future__ import annotations

import pytest

from scenes import DAY, HOUR, MINUTE, T0
from shiftlog.metrics import DEFINITIONS
from shiftlog.server.pages import words


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "–"),
        (0, "0 s"),
        (400, "0.4 s"),
        (12_000, "12 s"),
        (4 * MINUTE + 5_999, "4 min 05 s"),
        (7 * HOUR + 32 * MINUTE, "7 h 32 min"),
        (99 * HOUR, "99 h 00 min"),
        (5 * DAY + 3 * HOUR, "5 d 3 h"),
        (-HOUR, "−1 h 00 min"),
    ],
)
def test_a_duration_has_the_two_units_that_matter(ms: int | None, text: str) -> None:
    """What is long is not told by the second, and what is short is."""
    assert words.duration(ms) == text


@pytest.mark.parametrize(
    ("name", "found", "text"),
    [
        ("availability", 0.8333, "83.3\u202f%"),
        ("availability", None, "–"),
        ("concurrency", 1.7812, "1.78"),
        ("chats_started", 41_766, "41\u202f766"),
        ("agents", 3, "3"),
        ("staffed", 1.5, "1.50"),
        ("login_ms", 3_157 * HOUR, "3\u202f157\u202fh"),
        ("chat_handle_ms", 607_400.0, "10 min 07 s"),
    ],
)
def test_a_number_has_the_unit_of_its_definition(name: str, found: float | None, text: str) -> None:
    """A share is per cent, a time is a time, and many people's hours stay hours."""
    assert words.value(DEFINITIONS[name], found) == text


def test_every_definition_can_be_shown() -> None:
    """No unit is without words."""
    assert all(words.value(definition, 1.0) != words.NOTHING for definition in DEFINITIONS.values())


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        (T0, T0 + DAY, "Mon 21 Sep 2026"),
        (T0, T0 + 2 * DAY, "Mon 21 Sep 2026 – Tue 22 Sep 2026"),
        (T0 + 8 * HOUR, T0 + 9 * HOUR, "Mon 21 Sep 2026 08:00 – 09:00"),
        (T0 + 8 * HOUR, T0 + DAY + HOUR, "Mon 21 Sep 2026 08:00 – Tue 22 Sep 2026 01:00"),
    ],
)
def test_a_window_says_no_more_than_it_must(start: int, end: int, text: str) -> None:
    """A whole day is its date."""
    assert words.span(start, end, "UTC") == text


def test_a_zone_says_its_offset() -> None:
    """Summer and winter differ."""
    assert words.zoned(T0, "America/New_York") == "America/New_York (UTC−04:00)"
    assert words.zoned(T0 + 90 * DAY, "America/New_York") == "America/New_York (UTC−05:00)"
    assert words.zoned(T0, "UTC") == "UTC"


def test_sizes_have_the_unit_that_fits() -> None:
    """From a byte to gigabytes."""
    sizes = {None: "–", 5: "5\u202fB", 1_500: "1.5\u202fkB", 2_500_000: "2.5\u202fMB", 3_000_000_000: "3.0\u202fGB"}
    assert {size: words.size(size) for size in sizes} == sizes
