"""The checkpoint: what to ask a list for next, so that every file comes, and none twice.

shiftlog says how far an answer reaches (`Shiftlog-Covered-Until`), and that is where the next one begins. The original service
does not: it is asked for windows of at most 7 days, up to now, and next time again from some hours before, since
files may appear late. What was taken already is known by name in both cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from shiftlog.client.answers import File, Listing
from shiftlog.hours import DAY, HOUR

WINDOW = 7 * DAY
KEPT = 31 * DAY  # the original service deletes files 30 days after their creation
LOOK_BACK = 6 * HOUR  # for 99.5 % of its data it promises to be no later than that


class Lists(Protocol):
    """What answers lists."""

    def list(self, start: int | None = None, end: int | None = None) -> Listing: ...


@dataclass(frozen=True, slots=True)
class Found:
    """All files whose generated time lies in [start, cursor) (epoch ms), once each, in that order.

    `exact` says that the server itself told how far its answer reaches.
    """

    files: dict[str, File]
    start: int
    cursor: int
    exact: bool


def look(client: Lists, start: int | None, *, now: int, look_back: int = LOOK_BACK) -> Found:
    """What there is from `start` on, or from the beginning (epoch ms).

    `now` is this machine's clock (epoch ms). It counts, and `look_back` (ms) with it, only where the server does not say
    how far its answer reaches.
    """
    if not tells_its_reach(client, now):
        return _by_clock(client, now - KEPT if start is None else start - look_back, now)
    answer = client.list(start or 0)
    return Found(_by_name(answer), start or 0, answer.covered_until or 0, exact=True)


def tells_its_reach(client: Lists, now: int) -> bool:
    """Whether the server says how far its answers reach: then it is shiftlog, and has a manifest too."""
    return client.list(now - HOUR, now).covered_until is not None


def _by_clock(client: Lists, start: int, now: int) -> Found:
    files: dict[str, File] = {}
    begin = start
    while begin < now:
        # The end may lie in the future: the server's clock may be ahead of ours.
        files |= _by_name(client.list(begin, begin + WINDOW))
        # Whether an end belongs to its window is not said: it lies in two of them.
        begin += WINDOW - 1
    return Found(files, start, now, exact=False)


def _by_name(listing: Listing) -> dict[str, File]:
    return {str(file.name): file for file in listing.files}
