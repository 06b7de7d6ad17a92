"""Checkpoints: every file is found, whatever kind of server lists it."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from shiftlog.client.answers import File, Listing
from shiftlog.client.checkpoint import KEPT, LOOK_BACK, WINDOW, look
from shiftlog.hours import DAY, HOUR
from shiftlog.names import PartName

NOW = 1_790_000_000_000


@dataclass
class Server:
    """Lists files by generated time, each from the instant on at which it appears; `says` how far it reaches, or does not."""

    says: bool
    files: list[tuple[int, int]]  # generated time, appears
    now: int = NOW
    asked: list[tuple[int | None, int | None]] = field(default_factory=list)

    def list(self, start: int | None = None, end: int | None = None) -> Listing:
        self.asked.append((start, end))
        if not self.says:
            assert end is not None
            assert 0 < end - start <= WINDOW
        there = sorted((at, number) for number, (at, appears) in enumerate(self.files) if appears <= self.now and start <= at)
        until = min(self.now, end or self.now) if self.says else end
        return Listing([File(name(number), "") for at, number in there if at < until], until if self.says else None)


def name(number: int) -> PartName:
    return PartName(0, HOUR, number, 0)


spans = st.lists(st.tuples(st.integers(0, 40 * DAY), st.integers(0, LOOK_BACK)), max_size=12)
pauses = st.lists(st.integers(1, 20 * DAY), min_size=1, max_size=5)


@given(spans, pauses)
def test_late_files_are_found_by_looking_back(lateness: list[tuple[int, int]], pauses: list[int]):
    """A server that does not say how far it reaches: files appear up to 6 hours late, and each is found by the next look."""
    server = Server(False, [(NOW + at, NOW + at + late) for at, late in lateness])
    found, cursor = set[str](), NOW
    for pause in pauses:
        server.now += pause
        seen = look(server, cursor, now=server.now)
        found, cursor = found | seen.files.keys(), seen.cursor
        assert found == {str(name(n)) for n, (_, appears) in enumerate(server.files) if appears <= server.now}


@given(spans, pauses)
def test_nothing_is_listed_twice_by_a_server_that_says_how_far_it_reaches(ages: list[tuple[int, int]], pauses: list[int]):
    """Each look begins where the last one ended, and our clock does not count."""
    server = Server(True, [(NOW + at, NOW + at) for at, _ in ages])
    found, cursor = [], None
    for pause in pauses:
        server.now += pause
        seen = look(server, cursor, now=server.now - 5 * HOUR)
        found += seen.files
        cursor = seen.cursor
    assert len(found) == len(set(found)) == sum(at < cursor for at, _ in server.files)


def test_the_first_look_goes_back_as_far_as_there_is_something():
    """To the beginning, or as long as the original service keeps its files."""
    exact, by_clock = Server(True, []), Server(False, [])
    assert look(exact, None, now=NOW).start == 0
    found = look(by_clock, None, now=NOW)
    assert (found.start, found.cursor, found.exact) == (NOW - KEPT, NOW, False)
    assert len(by_clock.asked) == 1 + 5


def test_a_file_at_the_edge_of_two_windows_is_found():
    """Also by a server for which neither end belongs to its window."""

    class Open(Server):
        def list(self, start: int | None = None, end: int | None = None) -> Listing:
            return super().list(start + 1, end)

    edge = NOW - KEPT + WINDOW
    for at in range(edge - 3, edge + 3):
        assert look(Open(False, [(at, 0)]), None, now=NOW).files
