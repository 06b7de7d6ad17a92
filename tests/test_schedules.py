"""Schedules as CSV: strict, and what is wrong is named by line and column."""

from __future__ import annotations

import pytest

from shiftlog.errors import Invalid
from shiftlog.hours import parse
from shiftlog.schedules import Planned, read

HEADER = "agent,start,end,state\n"


def one(line: str, tz: str = "UTC") -> list[Planned]:
    return read(HEADER + line, name="plan.csv", tz=tz)


@pytest.mark.parametrize(
    ("state", "code"), [("online", 2), ("Online", 2), ("2", 2), ("back soon", 3), ("back_soon", 3), ("away", 4), ("1", 1)]
)
def test_states_are_names_or_codes(state: str, code: int):
    """In any case, with a space or an underscore."""
    assert one(f"7,2026-03-02T08:00Z,2026-03-02T09:00Z,{state}")[0].state == code


def test_times_without_an_offset_are_of_the_zone():
    """The account's own."""
    [row] = one("7,2026-03-02T08:00,2026-03-02T08:00Z,online", "Europe/Berlin")
    assert (row.start, row.end) == (parse("2026-03-02T07:00Z"), parse("2026-03-02T08:00Z"))


def test_columns_in_any_order_and_others_beside_them():
    """The planned state may be called that."""
    text = "\ufeffPlanned state,team,End,Start,Agent\naway,red,2026-03-02T09:00Z,2026-03-02T08:00Z,-7\n"
    start = parse("2026-03-02T08:00Z")
    assert read(text, name="plan.csv", tz="UTC") == [Planned(-7, start, start + 3_600_000, 4)]


def test_rows_come_by_agent_and_time():
    """However the file has them; stretches that touch do not overlap."""
    rows = one("8,2026-03-02T08:00Z,2026-03-02T09:00Z,2\n7,2026-03-02T09:00Z,2026-03-02T10:00Z,4\n7,2026-03-02T08:00Z,2026-03-02T09:00Z,2")
    assert [(row.agent_id, row.state) for row in rows] == [(7, 2), (7, 4), (8, 2)]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("x,2026-03-02T08:00,2026-03-02T09:00,2", "plan.csv, line 2: agent: found 'x'"),
        ("99999999999999999999,2026-03-02T08:00,2026-03-02T09:00,2", "line 2: agent"),
        ("7,yesterday,2026-03-02T09:00,2", "line 2: start: 'yesterday' is not a time"),
        ("7,2026-03-02T08:00,,2", "line 2: end: '' is not a time"),
        ("7,2026-03-02T08:00", "line 2: state: found ''; allowed: online .2., back_soon"),
        ("7,2026-03-02T08:00,2026-03-02T09:00,lunch", "state: found 'lunch'"),
        ("7,2026-03-02T08:00,2026-03-02T09:00,0", "state: found '0'"),
        ("7,2026-03-02T08:00,2026-03-02T08:00,2", "line 2: end: found 2026-03-02T08:00, which is not after"),
        ("7,2026-03-02T08:00,2026-03-02T10:00,2\n7,2026-03-02T09:59,2026-03-02T11:00,4", "lines 2 and 3: agent 7 is planned twice"),
        ("", "holds no row"),
    ],
)
def test_what_is_wrong_is_named(line: str, says: str):
    """Line, column, what was found, what is allowed."""
    with pytest.raises(Invalid, match=says):
        one(line)


@pytest.mark.parametrize("text", ["", "agent,start,end\n1,2,3\n", "1001,2026-03-02T08:00,2026-03-02T09:00,online\n"])
def test_a_missing_column_is_named(text: str):
    """Also where there is no header at all."""
    with pytest.raises(Invalid, match="agent, start, end, state are expected"):
        read(text, name="plan.csv", tz="UTC")
