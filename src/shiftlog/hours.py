"""Hours and ranges: the only arithmetic on time. Instants are epoch milliseconds in UTC; ranges are half-open."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shiftlog.errors import Invalid

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?\s?(Z|[+-]\d{2}:?\d{2})?)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, order=True)
class Hour:
    """One UTC hour, half-open: start <= t < end, in epoch ms. `start` is a whole hour."""

    start: int

    def __post_init__(self) -> None:
        if self.start % HOUR:
            raise Invalid(f"{self.start} is not the start of a UTC hour in epoch milliseconds")

    @classmethod
    def of(cls, instant: int) -> Hour:
        """The hour in which an instant (epoch ms) lies."""
        return cls(floor(instant))

    @property
    def end(self) -> int:
        return self.start + HOUR

    def __contains__(self, instant: int) -> bool:
        return self.start <= instant < self.end


def floor(instant: int) -> int:
    """The start of the UTC hour in which `instant` (epoch ms) lies."""
    return instant - instant % HOUR


def due(now: int, grace: int) -> int:
    """The end of the last hour that is due at `now` when hours are published `grace` ms after their end."""
    return floor(now - grace)


def zone(name: str) -> ZoneInfo:
    """A time zone by its IANA name.

    Raises:
        Invalid: no such zone.
    """
    try:
        return _zone(name)
    except (ZoneInfoNotFoundError, ValueError, OSError, IsADirectoryError):
        raise Invalid(f"time zone {name!r} is not known; an IANA name is expected, such as Europe/Berlin or UTC") from None


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def iso(instant: int, tz: str = "UTC") -> str:
    """An instant (epoch ms) as ISO 8601 with the zone's numeric offset; milliseconds only where they are not 0.

    As in the seed's list: `2016-04-23T01:00:00-04:00`.
    """
    local = (_EPOCH + timedelta(milliseconds=instant)).astimezone(zone(tz))
    return local.isoformat(timespec="milliseconds" if instant % SECOND else "seconds")


def parse(text: str, tz: str = "UTC") -> int:
    """An ISO 8601 date or time as epoch ms; without an offset it is a time of the zone `tz`.

    Raises:
        Invalid: not such a text.
    """
    try:
        if not _ISO.match(text.strip()):
            raise ValueError
        moment = datetime.fromisoformat(text.strip().replace(",", "."))
    except ValueError:
        raise Invalid(f"{text!r} is not a time; ISO 8601 is expected, such as 2026-03-01 or 2026-03-01T08:00:00+01:00") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone(tz))
    return (moment - _EPOCH) // timedelta(milliseconds=1)


_LENGTHS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
_LENGTH = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)([smhd])", re.ASCII)


def length(text: str) -> int:
    """A length of time, such as `90s`, `30m`, `24h` or `7d`, in ms.

    Raises:
        Invalid: not such a text.
    """
    match = _LENGTH.fullmatch(text.strip())
    if not match:
        raise Invalid(f"{text[:40]!r} is not a length of time; a number with s, m, h or d is expected, such as 90s, 30m, 24h or 7d")
    return int(float(match[1]) * _LENGTHS[match[2]])
