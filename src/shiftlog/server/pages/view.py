"""What a page shows, as its URL says it: the account, the window and its zone, and a group or all.

    ?account=demo&from=2026-11-23&to=2026-11-24&tz=Europe/Berlin&group=12

Without a window it is today. `from` and `to` are ISO 8601, without an offset in the zone `tz`; `to` alone left out ends the
window a day after its beginning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlencode

from shiftlog.errors import Invalid
from shiftlog.events import INT64_MAX
from shiftlog.hours import MINUTE, iso, parse, zone
from shiftlog.intervals import check_zone
from shiftlog.server.pages import words

_WHOLE = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN = range(0, 7_258_118_400_000)  # the years 1970 to 2199


@dataclass(frozen=True, slots=True)
class View:
    """Of one account, the window [start, end) in epoch ms, shown in the zone `tz`; of one group, or of all (None)."""

    account: str
    start: int
    end: int
    tz: str
    group: int | None = None

    @classmethod
    def parse(cls, asked: Mapping[str, str], account: str, zone_name: str, now: int) -> View:
        """The view that a query asks for; `zone_name` and `now` (epoch ms) stand for what it leaves out.

        Raises:
            Invalid: a time, a zone or a group that is none, or an empty window.
        """
        tz = check_zone(asked.get("tz") or zone_name).key
        if asked.get("from"):
            start = _instant("from", asked["from"], tz)
        else:
            start = midnight(now if not asked.get("to") else _instant("to", asked["to"], tz) - 1, tz)
        end = _instant("to", asked["to"], tz) if asked.get("to") else days_after(start, 1, tz)
        if end <= start:
            raise Invalid(
                f"the window is empty: it ends at {words.moment(end, tz)}, and starts at {words.moment(start, tz)}; choose a later end"
            )
        return cls(account, start, end, tz, whole("group", asked["group"]) if asked.get("group") else None)

    def query(self, **more: object) -> str:
        """The query that `parse` reads as this view, with more parameters; those that are None are left out."""
        own = {"account": self.account, "from": self.first, "to": self.last, "tz": self.tz, "group": self.group}
        return urlencode({name: value for name, value in {**own, **more}.items() if value is not None}, safe="/:,")

    @property
    def first(self) -> str:
        """The window's beginning as `from` has it."""
        return wall(self.start, self.tz)

    @property
    def last(self) -> str:
        """The window's end as `to` has it."""
        return wall(self.end, self.tz)

    @property
    def text(self) -> str:
        """The window in words."""
        return words.span(self.start, self.end, self.tz)

    @property
    def length(self) -> int:
        return self.end - self.start

    def between(self, start: int, end: int) -> View:
        """The same of another window."""
        return replace(self, start=start, end=end)

    def shifted(self, times: int) -> View:
        """The window that lies so many of its lengths later; whole days stay whole days."""
        if midnight(self.start, self.tz) == self.start and midnight(self.end, self.tz) == self.end:
            length = (_date(self.end, self.tz) - _date(self.start, self.tz)).days * times
            return self.between(days_after(self.start, length, self.tz), days_after(self.end, length, self.tz))
        return self.between(self.start + times * self.length, self.end + times * self.length)


def whole(name: str, text: str) -> int:
    """A whole number of 64 bits.

    Raises:
        Invalid: it is none.
    """
    if not _WHOLE.fullmatch(text) or not -INT64_MAX - 1 <= int(text) <= INT64_MAX:
        raise Invalid(f"{name}: found {text[:60]!r}; a whole number is expected")
    return int(text)


def midnight(instant: int, tz: str) -> int:
    """The first instant of the date on which an instant (epoch ms) lies."""
    return _first_of(_date(instant, tz), tz)


def days_after(instant: int, days: int, tz: str) -> int:
    """The same time of day, so many days later."""
    local = _local(instant, tz)
    return _epoch(local.replace(tzinfo=None) + timedelta(days=days), tz)


def wall(instant: int, tz: str) -> str:
    """An instant as text that `hours.parse` reads in the zone; with the offset where the zone's time alone is not clear."""
    local = f"{_local(instant, tz):%Y-%m-%dT%H:%M}"
    if instant % MINUTE == 0 and parse(local, tz) == instant:
        return local.removesuffix("T00:00")
    return iso(instant, tz)


def _instant(name: str, text: str, tz: str) -> int:
    try:
        instant = parse(text, tz)
    except Invalid as error:
        raise Invalid(f"{name}: {error}") from None
    if instant not in _SHOWN:
        raise Invalid(f"{name}: found {text[:60]!r}; the years 1970 to 2199 can be shown")
    return instant


def _local(instant: int, tz: str) -> datetime:
    return (_EPOCH + timedelta(milliseconds=instant)).astimezone(zone(tz))


def _date(instant: int, tz: str) -> date:
    return _local(instant, tz).date()


def _first_of(day: date, tz: str) -> int:
    return _epoch(datetime(day.year, day.month, day.day), tz)


def _epoch(local: datetime, tz: str) -> int:
    return (local.replace(tzinfo=zone(tz)) - _EPOCH) // timedelta(milliseconds=1)
