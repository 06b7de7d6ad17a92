"""Hours, time zones and ISO times: half-open ranges of epoch milliseconds, and texts that say the same."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftlog import hours
from shiftlog.errors import Invalid
from shiftlog.hours import HOUR, Hour

instants = st.integers(0, 4_102_444_800_000)  # until 2100
zones = st.sampled_from(["UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Europe/Berlin"])


@given(instants)
def test_every_instant_lies_in_its_hour(instant: int):
    """The hour of an instant holds it, begins at a whole hour, and is an hour long."""
    hour = Hour.of(instant)
    assert instant in hour
    assert (hour.start % HOUR, hour.end - hour.start) == (0, HOUR)


@given(instants)
def test_an_hour_is_half_open(instant: int):
    """Its start belongs to it and its end to the next: no instant lies in two hours or in none."""
    hour, following = Hour.of(instant), Hour(Hour.of(instant).end)
    assert [t in hour for t in (hour.start - 1, hour.start, hour.end - 1, hour.end)] == [False, True, True, False]
    assert hour.end in following


def test_hours_stand_in_the_order_of_time():
    """Sorting hours sorts them by their start."""
    assert sorted([Hour(2 * HOUR), Hour(0), Hour(HOUR)]) == [Hour(0), Hour(HOUR), Hour(2 * HOUR)]


def test_an_hour_begins_at_a_whole_hour():
    """Anything else is refused, with the number that was found."""
    with pytest.raises(Invalid, match="3600001 is not the start of a UTC hour"):
        Hour(3_600_001)


def test_an_hour_is_due_when_its_grace_is_over():
    """At the end of the grace to the millisecond, and not one earlier."""
    assert hours.due(5 * HOUR + 300_000, 300_000) == 5 * HOUR
    assert hours.due(5 * HOUR + 299_999, 300_000) == 4 * HOUR


def test_iso_is_written_as_in_the_seed():
    """The seed's scope dates: local time with the numeric offset of that day."""
    assert hours.iso(1461387600000, "America/New_York") == "2016-04-23T01:00:00-04:00"
    assert hours.iso(1461387600000 - 120 * hours.DAY, "America/New_York").endswith("-05:00")


def test_iso_shows_milliseconds_where_there_are_any():
    """A whole second is written without a fraction."""
    assert hours.iso(1465992202047) == "2016-06-15T12:03:22.047+00:00"
    assert hours.iso(1465992202000) == "2016-06-15T12:03:22+00:00"


@given(instants, zones)
def test_what_iso_writes_parse_reads(instant: int, zone: str):
    """In every zone, also in the hour that daylight saving repeats, since the offset is written."""
    assert hours.parse(hours.iso(instant, zone)) == instant


@given(instants)
def test_parse_agrees_with_the_standard_library(instant: int):
    """An independent reading of the same text."""
    text = hours.iso(instant, "Asia/Kathmandu")
    assert round(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000) == hours.parse(text)


@pytest.mark.parametrize(
    ("text", "zone", "instant"),
    [
        ("2026-03-01", "UTC", 1772323200000),
        ("2026-03-01T08:00", "UTC", 1772352000000),
        ("2026-03-01T08:00:00Z", "America/New_York", 1772352000000),
        ("2026-03-01 08:00:00", "Europe/Berlin", 1772348400000),
        ("2026-03-01T08:00:00+01:00", "UTC", 1772348400000),
        ("2026-03-01T08:00:00,5", "UTC", 1772352000500),
        ("2026-03-01T08:00:00.123456789Z", "UTC", 1772352000123),
        (" 2026-03-01 ", "America/New_York", 1772341200000),
    ],
)
def test_forms_of_iso_that_are_read(text: str, zone: str, instant: int):
    """Dates, minutes, fractions with dot or comma; a zone only where no offset is given."""
    assert hours.parse(text, zone) == instant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "1772352000000",
        "2026-3-1",
        "20260301",
        "2026-02-30",
        "2026-03-01T25:00",
        "2026-03-01T08",
        "2026-W09",
        "2026-03-01Z",
        "٢٠٢٦-٠٣-٠١",
    ],
)
def test_other_times_are_refused(text: str):
    """With what was found and an example of what is expected."""
    with pytest.raises(Invalid, match="is not a time; ISO 8601 is expected, such as"):
        hours.parse(text)


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "America", "../etc/passwd", "/etc/passwd", "Europe/Berlin\0", "Z" * 500])
def test_an_unknown_zone_is_refused(name: str):
    """Also one that is a directory, a path, or no possible file name."""
    with pytest.raises(Invalid, match="an IANA name is expected"):
        hours.zone(name)


@pytest.mark.parametrize(("text", "ms"), [("90s", 90_000), ("1.5m", 90_000), ("24h", 86_400_000), (" 7d ", 604_800_000), ("0s", 0)])
def test_a_length_of_time_has_a_unit(text: str, ms: int):
    """Seconds, minutes, hours or days."""
    assert hours.length(text) == ms


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "1w", "1 h", "1h30m", "9999999d", "١h"])
def test_what_is_no_length_of_time_is_refused(text: str):
    """With what is expected."""
    with pytest.raises(Invalid, match="such as 90s, 30m, 24h or 7d"):
        hours.length(text)
