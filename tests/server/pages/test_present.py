"""The present: who is logged in, as the last events say."""

from __future__ import annotations

from typing import Any

from readers import land
from scenes import HOUR, MINUTE, T0, event, login, logout, sent
from shiftlog import pending
from shiftlog.house import House
from shiftlog.live import LiveViews
from shiftlog.server.pages.held import Held
from shiftlog.server.pages.look import Look
from shiftlog.server.pages.present import logged_in, read
from shiftlog.server.pages.view import View

NOW = T0 + 10 * HOUR


def at(house: House, now: int, *events: dict[str, Any]) -> list[dict[str, Any]]:
    """The agents who are logged in at an instant, after these events."""
    land(house, sent(*events))
    return logged_in(pending.live(house, "A", now).sessions, now).sort("agent_id").to_dicts()


def test_an_agent_is_as_the_last_event_left_them(house: House, account: str) -> None:
    """State, chats and maximum are the last ones, and a state lasts since it began, not since the last event."""
    [found] = at(
        house,
        NOW,
        login(T0, agentGroupID=11),
        event(T0 + MINUTE, state=2, concurrentEng=1, maxConcurrentEng=3),
        event(T0 + HOUR, state=4),
        event(T0 + 2 * HOUR, state=2, concurrentEng=2),
        event(T0 + 3 * HOUR, state=2, concurrentEng=1, agentGroupID=12),
    )
    assert found == {
        "agent_id": 1,
        "state": 2,
        "since": T0 + 2 * HOUR,
        "login": T0,
        "chats": 1,
        "maximum": 3,
        "group_id": 12,
        "last_event": T0 + 3 * HOUR,
    }


def test_a_maximum_that_was_never_said_is_not_known(house: House, account: str) -> None:
    """A login's −9 is no number of chats."""
    assert at(house, NOW, login(T0, maxConcurrentEng=-9))[0]["maximum"] is None


def test_who_logged_out_or_was_timed_out_is_gone(house: House, account: str) -> None:
    """A closed session is nobody's present."""
    assert at(house, T0 + 25 * HOUR, login(T0), login(T0 + 20 * HOUR, agentID=2), logout(T0 + 21 * HOUR, agentID=2)) == []


def test_what_lies_ahead_has_not_happened(house: House, account: str) -> None:
    """An event with a time to come changes nothing yet."""
    assert at(house, NOW, login(T0), event(NOW + 1, state=2))[0]["state"] == 0
    assert [row["agent_id"] for row in at(house, NOW, login(NOW + 1, agentID=3))] == [1]


def test_of_several_open_sessions_the_last_to_move_counts(house: House, account: str) -> None:
    """An agent stands in one row, whatever the sender called the sessions."""
    found = at(house, NOW, login(T0, sessionId="a"), login(T0, sessionId="b"), event(T0 + HOUR, sessionId="a", state=2))
    assert [(row["agent_id"], row["state"]) for row in found] == [(1, 2)]


def test_a_name_is_known_with_the_event_that_brings_it(house: House, account: str) -> None:
    """The look that the shares come from may be older than a login; the row has its name all the same."""
    now = house.catalog.now()
    land(house, sent(login(now - HOUR)))
    view = View("A", now - 2 * HOUR, now + HOUR, "UTC")
    look = Look(Held.read(house, "A", view.start, view.end), view.start, view.end)
    look.names()
    land(house, sent(login(now - MINUTE, agentID=2, agentNickname="Zelda")))
    assert [(agent["agent_id"], agent["name"]) for agent in read(house, LiveViews(house, 1_000), view, look).agents][1] == (2, "Zelda")
