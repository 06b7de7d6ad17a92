"""Looks: the archive's numbers, made once, and made again when something happened."""

from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import shiftlog
from readers import land, publish_at
from scenes import DAY, HOUR, T0, event, login, logout, sent
from shiftlog.errors import TooLarge
from shiftlog.house import House
from shiftlog.live import LiveViews
from shiftlog.metrics import MEASURES, SCHEDULED
from shiftlog.server.pages.look import Looks, last_event
from shiftlog.server.pages.view import View

VIEW = View("A", T0, T0 + DAY, "UTC")


def shift(agent: int, start: int, group: int) -> pl.DataFrame:
    """Three hours of an agent, who changes to group 12 after two."""
    who = {"agentID": agent, "agentGroupID": group, "maxConcurrentEng": 3}
    return sent(
        login(start, **who),
        event(start, sequence=1, state=2, concurrentEng=2, **who),
        event(start + 2 * HOUR, state=2, concurrentEng=1, **{**who, "agentGroupID": 12}),
        logout(start + 3 * HOUR, **{**who, "agentGroupID": 12}),
    )


@pytest.fixture
def looks(house: House, account: str) -> Looks:
    """The looks of a house in which two agents worked; one shift is published."""
    land(house, shift(1, T0 + HOUR, 11))
    publish_at(house, T0 + 5 * HOUR)
    land(house, shift(2, T0 + 6 * HOUR, 12))
    return Looks(house, LiveViews(house, 1_000_000))


@pytest.mark.parametrize("by", ["agent", "group", "profile"])
def test_numbers_are_the_archives(looks: Looks, house: House, by: str) -> None:
    """What is held in memory gives what the source gives."""
    with shiftlog.open(house.directory, account="A") as centre:
        expected = centre.metrics(by=by, start=T0, end=T0 + DAY, tz="UTC").collect()
    assert_frame_equal(looks.at(VIEW).by(VIEW, by), expected)


def test_agents_of_a_group_add_up_to_the_group(looks: Looks) -> None:
    """Each agent's time in a group, together, is the group's; all of its measures are."""
    look = looks.at(VIEW)
    groups = look.by(VIEW, "group")
    measures = [measure.name for measure in MEASURES if measure.name not in SCHEDULED]
    for group in (11, 12):
        agents = look.agents(View("A", T0, T0 + DAY, "UTC", group))
        whole = groups.filter(pl.col("group_id") == group)
        assert agents.select(pl.col(measures).sum()).row(0) == whole.select(pl.col(measures).fill_null(0)).row(0)


def test_an_agent_is_seen_alone(looks: Looks) -> None:
    """The numbers of one agent are those of the agent among all."""
    whole, alone = looks.at(VIEW).agents(VIEW), looks.at(VIEW, 2).agents(VIEW)
    assert_frame_equal(alone, whole.filter(pl.col("agent_id") == 2))
    assert looks.at(VIEW, 99).agents(VIEW).is_empty()


def test_a_look_is_kept_until_something_happens(looks: Looks, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks again gets the same look, and after an event another."""
    monkeypatch.setattr("shiftlog.server.pages.look._PATIENCE", 0)
    first = looks.at(VIEW)
    assert looks.at(VIEW) is first
    land(house, sent(login(T0 + 12 * HOUR, agentID=3)))
    assert looks.at(VIEW).agents(VIEW)["agent_id"].to_list() == [1, 2, 3]


def test_a_stream_of_events_does_not_make_a_look_each(looks: Looks, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What took long is shown a while longer."""
    first = looks.at(VIEW)
    first.cost = 1.0
    land(house, sent(login(T0 + 12 * HOUR, agentID=3)))
    assert looks.at(VIEW) is first


def test_looks_hold_a_bounded_number_of_events(looks: Looks, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten first."""
    monkeypatch.setattr("shiftlog.server.pages.look._MANY", 2)
    first = looks.at(VIEW)
    for day in (1, 2):
        looks.at(VIEW.shifted(day))
    assert looks.at(VIEW) is not first


def test_a_window_that_holds_too_much_is_refused_before_it_is_read(looks: Looks, house: House) -> None:
    """An agent alone may have more than all together."""
    looks._most = 4
    with pytest.raises(TooLarge, match="about 8 events"):
        looks.at(VIEW)
    assert looks.at(VIEW, 1).events == 4


def test_the_last_events_are_found_published_or_not(house: House, account: str) -> None:
    """Who sees an empty day is led to the last one that is not."""
    assert last_event(house, "A") is None
    land(house, shift(1, T0, 11))
    assert last_event(house, "A") == T0 + 3 * HOUR
    publish_at(house, T0 + 5 * HOUR)
    assert abs((last_event(house, "A") or 0) - (T0 + 3 * HOUR)) < DAY
