"""Schedules as CSV: agent, start, end, planned state (docs/metrics.md, section 6).

    agent,start,end,state
    1001,2026-03-02T08:00,2026-03-02T12:00,online
    1001,2026-03-02T12:00,2026-03-02T12:30,away

Times are ISO 8601, without an offset in the zone that is given. States are names or codes. Columns come in any order, and
others are passed over.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from shiftlog.errors import Invalid
from shiftlog.events import INT64_MAX, INT64_MIN, AgentState
from shiftlog.hours import iso, parse

#: What can be planned.
PLANNABLE = (AgentState.ONLINE, AgentState.BACK_SOON, AgentState.AWAY, AgentState.OFFLINE)

_WHOLE = re.compile(r"-?[0-9]{1,19}")
_COLUMNS = ("agent", "start", "end", "state")
_ALIASES = {"agent_id": "agent", "agentid": "agent", "planned_state": "state"}
_CODES = {state.name.lower(): state.value for state in PLANNABLE} | {str(state.value): state.value for state in PLANNABLE}
_STATES = ", ".join(f"{state.name.lower()} ({state.value})" for state in PLANNABLE)


class Planned(NamedTuple):
    """One planned stretch [start, end) of an agent's time, in epoch ms, and the code of the state planned for it."""

    agent_id: int
    start: int
    end: int
    state: int


def read(text: str, *, name: str, tz: str) -> list[Planned]:
    """The rows of a schedule, by agent and time. `name` stands in messages, `tz` is the zone of times without an offset.

    Raises:
        Invalid: a column is missing, a cell is wrong (names line and column), or rows of one agent overlap (names both).
    """
    lines = text.removeprefix("\ufeff").splitlines()
    reader = csv.DictReader(lines)
    reader.fieldnames = [_column(field) for field in reader.fieldnames or ()]
    if set(_COLUMNS) - set(reader.fieldnames):
        found = ", ".join(reader.fieldnames) or "(none)"
        raise Invalid(f"{name}: found the columns {found}; {', '.join(_COLUMNS)} are expected")
    rows = sorted((_row(cells, f"{name}, line {reader.line_num}", tz), reader.line_num) for cells in reader)
    if not rows:
        raise Invalid(f"{name} holds no row; it has to say for at least one agent what is planned")
    _check_apart(rows, name, tz)
    return [row for row, _ in rows]


def check_within(plan: Sequence[Planned], start: int, end: int, *, tz: str) -> None:
    """Return if all rows lie in the window [start, end).

    Raises:
        Invalid: one does not.
    """
    for row in plan:
        if row.start < start or row.end > end:
            raise Invalid(
                f"agent {row.agent_id} is planned from {iso(row.start, tz)} to {iso(row.end, tz)}, "
                f"which does not lie between {iso(start, tz)} and {iso(end, tz)}"
            )


def _column(field: str) -> str:
    plain = field.strip().lower().replace(" ", "_")
    return _ALIASES.get(plain, plain)


def _row(cells: dict[str, str | None], place: str, tz: str) -> Planned:
    agent, start, end, state = ((cells[column] or "").strip() for column in _COLUMNS)
    known = _CODES.get(state.lower().replace(" ", "_"))
    if known is None:
        raise Invalid(f"{place}: state: found {state!r}; allowed: {_STATES}")
    row = Planned(_agent(agent, place), _time(start, f"{place}: start", tz), _time(end, f"{place}: end", tz), known)
    if row.end <= row.start:
        raise Invalid(f"{place}: end: found {end}, which is not after the start {start}; the end must come after its start")
    return row


def _agent(text: str, place: str) -> int:
    if not _WHOLE.fullmatch(text) or not INT64_MIN <= int(text) <= INT64_MAX:
        raise Invalid(f"{place}: agent: found {text!r}; an agent's id, a whole number of 64 bits, is expected")
    return int(text)


def _time(text: str, place: str, tz: str) -> int:
    try:
        return parse(text, tz)
    except Invalid as error:
        raise Invalid(f"{place}: {error}") from None


def _check_apart(rows: Sequence[tuple[Planned, int]], name: str, tz: str) -> None:
    for (one, first), (other, second) in pairwise(rows):
        if one.agent_id == other.agent_id and other.start < one.end:
            raise Invalid(
                f"{name}, lines {first} and {second}: agent {one.agent_id} is planned twice from {iso(other.start, tz)}; "
                "rows of one agent must not overlap"
            )
