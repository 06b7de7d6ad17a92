"""Drawing: where ticks stand and what they say, and colours that can be told apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import combinations, pairwise
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenes import DAY, HOUR, MINUTE, T0
from shiftlog.charts import STATES
from shiftlog.drawing import MOST_ROWS, THEMES, Sheet, lines, tick_labels
from shiftlog.errors import TooLarge
from shiftlog.hours import parse

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")


def wall(instant: int, tz: str) -> datetime:
    """An instant in the zone's time."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=instant)).astimezone(ZoneInfo(tz))


# ── ticks ──


@settings(max_examples=100)
@given(
    st.integers(0, 365 * 24 * 60).map(lambda minutes: T0 + minutes * MINUTE + 1),
    st.one_of(st.integers(1, 3 * HOUR), st.integers(HOUR, 40 * DAY), st.integers(DAY, 40 * 365 * DAY)),
    st.sampled_from(ZONES),
    st.integers(4, 12),
)
def test_ticks_are_few_and_true(start: int, length: int, tz: str, most: int) -> None:
    """At least two and at most so many, in order, within the window; a clock time is that of the zone."""
    labels = tick_labels(start, start + length, tz, most)
    instants = [int(at) for at in labels]
    assert 2 <= len(labels) <= most
    assert all(a < b for a, b in pairwise(instants))
    assert start <= instants[0] <= instants[-1] <= start + length
    for instant, (first, *_) in zip(instants, labels.values(), strict=True):
        if ":" in first:
            assert f"{wall(instant, tz):%H:%M:%S}".startswith(first)


def test_a_new_date_is_a_second_line() -> None:
    """And stands at the first tick too."""
    start = parse("2026-03-02T12:00", "Europe/Berlin")
    labels = tick_labels(start, start + DAY, "Europe/Berlin", 6)
    assert [*labels.values()] == [["12:00", "Mon 2 Mar"], ["18:00"], ["00:00", "Tue 3 Mar"], ["06:00"], ["12:00"]]


@pytest.mark.parametrize(
    ("day", "hours", "texts"),
    [
        ("2026-03-29", 23, ["00:00", "01:00", "03:00", "04:00"]),
        ("2026-10-25", 25, ["00:00", "01:00", "02:00", "02:00", "03:00", "04:00"]),
    ],
)
def test_hours_of_a_day_on_which_the_clocks_change(day: str, hours: int, texts: list[str]) -> None:
    """An hour that is left out has no tick, and one that comes twice has two, an hour apart."""
    start = parse(day, "Europe/Berlin")
    labels = tick_labels(start, start + hours * HOUR, "Europe/Berlin", 30)
    assert [lines[0] for lines in labels.values()][: len(texts)] == texts
    assert [int(at) - start for at in labels] == [hour * HOUR for hour in range(hours + 1)]


@pytest.mark.parametrize(
    ("days", "first"),
    [(7, ["2 Mar", "Mon"]), (40, ["2 Mar", "2026"]), (300, ["Apr", "2026"]), (800, ["Apr", "2026"]), (3000, ["Jan", "2027"])],
)
def test_longer_windows_have_dates(days: int, first: list[str]) -> None:
    """Days, Mondays, months, quarters, years."""
    start = parse("2026-03-02", "Europe/Berlin")
    assert next(iter(tick_labels(start, start + days * DAY, "Europe/Berlin", 12).values())) == first


# ── colours ──


def lightness(colour: str) -> float:
    """How light a colour is, from 0 to 100 (CIE L*)."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    y = sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return 116 * y ** (1 / 3) - 16 if y > 0.008856 else 903.3 * y


@pytest.mark.parametrize("theme", THEMES)
def test_states_can_be_told_apart_in_grey(theme: str) -> None:
    """Each from each other, and from the background."""
    colours = THEMES[theme]
    light = [lightness(colour) for colour in colours.states.values()]
    assert min(abs(a - b) for a, b in combinations(light, 2)) > 9
    assert min(abs(a - lightness(colours.background)) for a in light) > 15


@pytest.mark.parametrize("theme", THEMES)
def test_text_stands_out(theme: str) -> None:
    """Ink on the background; and the shades of a map go one way."""
    colours = THEMES[theme]
    assert abs(lightness(colours.ink) - lightness(colours.background)) > 70
    shades = [lightness(colour) for colour in colours.heat]
    assert shades in (sorted(shades), sorted(shades, reverse=True))


def test_themes_have_the_same_names() -> None:
    """The states of charts, in their order; and the same lines."""
    for theme in THEMES.values():
        assert list(theme.states) == list(STATES)
        assert list(theme.lines) == list(THEMES["light"].lines)


def test_no_chart_takes_more_rows_than_allowed() -> None:
    """It says how many there are."""
    sheet = Sheet("Many", [], T0, T0 + DAY, "UTC", "light")
    rows = pl.DataFrame({"start": range(T0, T0 + MOST_ROWS + 1)}).with_columns(series=pl.lit("staffed"), value=0.0, time=pl.lit(""))
    with pytest.raises(TooLarge, match="has 50001 rows, and 50000 are allowed"):
        lines(sheet, rows, ["staffed"], "agents")
