"""Numbers and instants as people read them: every number with its unit, every time with its zone. Null is a dash."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shiftlog.events import AgentState
from shiftlog.hours import DAY, HOUR, MINUTE, SECOND, iso, zone
from shiftlog.metrics import Definition

NOTHING = "–"
_THIN = "\N{NARROW NO-BREAK SPACE}"
_SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))

#: States by code, as pages and charts call them.
STATES = {
    AgentState.ONLINE.value: "online",
    AgentState.BACK_SOON.value: "back soon",
    AgentState.AWAY.value: "away",
    AgentState.OFFLINE.value: "offline",
    AgentState.IRRELEVANT.value: "before first status",
    AgentState.UNKNOWN.value: "unknown",
}


def state(code: int | None) -> str:
    return STATES.get(AgentState.UNKNOWN.value if code is None else code, "unknown")


def duration(ms: int | None) -> str:
    """A length of time in the two units that matter: `2 d 3 h`, `7 h 32 min`, `4 min 05 s`, `12 s`, `0.4 s`."""
    if ms is None:
        return NOTHING
    if ms < 0:
        return f"−{duration(-ms)}"
    if ms >= 100 * HOUR:
        return f"{ms // DAY} d {ms % DAY // HOUR} h"
    if ms >= HOUR:
        return f"{ms // HOUR} h {ms % HOUR // MINUTE:02d} min"
    if ms >= MINUTE:
        return f"{ms // MINUTE} min {ms % MINUTE // SECOND:02d} s"
    return f"{ms // SECOND} s" if ms % SECOND == 0 or ms >= 10 * SECOND else f"{ms / SECOND:.1f} s"


def share(part: float | None) -> str:
    """A share as per cent, to a tenth."""
    return NOTHING if part is None else f"{100 * part:.1f}{_THIN}%"


def count(number: int | None) -> str:
    return NOTHING if number is None else f"{number:,}".replace(",", _THIN)


def number(value: float | None, digits: int = 2) -> str:
    return NOTHING if value is None else f"{value:,.{digits}f}".replace(",", _THIN)


def size(octets: int | None) -> str:
    """A number of bytes."""
    if octets is None:
        return NOTHING
    for unit, name in _SIZES:
        if octets >= unit:
            return f"{octets / unit:.1f}{_THIN}{name}"
    return f"{octets}{_THIN}B"


def value(definition: Definition, found: float | None) -> str:
    """A number of `metrics.DEFINITIONS` with its unit."""
    if found is None:
        return NOTHING
    if definition.unit == "ms":
        # Many people's time adds up; nobody thinks of it in days.
        return duration(round(found)) if found < 100 * HOUR else f"{count(round(found / HOUR))}{_THIN}h"
    if definition.unit == "share":
        return share(found)
    if definition.unit == "count" or definition.name == "agents":
        return count(round(found))
    return number(found)


# ── instants ──


def _local(instant: int, tz: str) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=instant)).astimezone(zone(tz))


def day(instant: int, tz: str) -> str:
    """`Mon 23 Nov 2026`"""
    local = _local(instant, tz)
    return f"{local:%a} {local.day} {local:%b %Y}"


def moment(instant: int, tz: str) -> str:
    """`Mon 23 Nov 2026 09:00`, with the seconds where they are not 0."""
    return f"{day(instant, tz)} {clock(instant, tz)}"


def clock(instant: int, tz: str) -> str:
    """`09:00`, with the seconds where they are not 0."""
    return f"{_local(instant, tz):%H:%M}{f':{_local(instant, tz):%S}' if instant % MINUTE >= SECOND else ''}"


def zoned(instant: int, tz: str) -> str:
    """The zone with its offset at an instant: `America/New_York (UTC−05:00)`."""
    text = iso(instant - instant % SECOND, tz)[19:]
    return tz if tz == "UTC" else f"{tz} (UTC{text.replace('-', '−')})"


def span(start: int, end: int, tz: str) -> str:
    """A window in words; a whole day is its date alone."""
    first, last = _local(start, tz), _local(end, tz)
    midnights = first.time() == last.time() == datetime.min.time()
    if midnights and (last.date() - first.date()).days == 1:
        return day(start, tz)
    if midnights:
        return f"{day(start, tz)} – {day(end - 1, tz)}"
    if first.date() == last.date():
        return f"{moment(start, tz)} – {clock(end, tz)}"
    return f"{moment(start, tz)} – {moment(end, tz)}"
