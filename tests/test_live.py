"""Live views that are kept: the same as made anew, at each moment and whatever lands."""

from __future__ import annotations

import random

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from readers import land, publish_at
from scenes import DAY, HOUR, MINUTE, T0, event, login, logout, sent
from shiftlog import landing, pending
from shiftlog.errors import Missing
from shiftlog.events import SENT
from shiftlog.house import House
from shiftlog.live import LiveViews
from shiftlog.simulate import simulate

pytestmark = pytest.mark.usefixtures("account")

_ORDER = ["agentID", "agentSessionId", "eventIndex"]


def check(views: LiveViews, house: House, now: int) -> pl.DataFrame:
    """The kept view is the one that is made anew. Returns its sessions."""
    kept, anew = views.at("A", now), pending.live(house, "A", now)
    assert_frame_equal(kept.sessions.sort(_ORDER), anew.sessions.sort(_ORDER))
    assert kept.replaced == anew.replaced
    return kept.sessions


@pytest.mark.parametrize("seed", range(3))
def test_any_batches_give_the_view_that_is_made_anew(house: House, seed: int):
    """Late and repeated events, missing logouts, ids of senders or none, runs of the publisher in between."""
    chance = random.Random(seed)
    made = simulate("A", agents=6, days=2, start=T0, seed=seed, late=0.1, repeat=0.1, no_logout=0.2, session_ids=seed == 2)
    arrivals, views, place = made.arrivals(), LiveViews(house, 100_000), 0
    now = T0
    while place < arrivals.height:
        batch = arrivals.slice(place, chance.choice([1, 60, 250]))
        place += batch.height
        land(house, batch.select(SENT.keys()))
        now = max(now, batch["arrivesAt"].max()) + chance.choice([0, 0, 0, HOUR])
        if chance.random() < 0.15:
            publish_at(house, now)
        check(views, house, now)
    for later in (HOUR, DAY, 3 * DAY):
        check(views, house, now + later)


def test_what_was_read_is_not_read_again(house: House, monkeypatch: pytest.MonkeyPatch):
    """Of a thousand batches, the view after the next one reads that one."""
    views, read = LiveViews(house, 1_000), list[int]()
    reading = landing.read

    def counted(store, wanted, condition=None):
        read.append(len(wanted))
        return reading(store, wanted, condition)

    for minute in range(3):
        land(house, sent(event(T0 + minute * MINUTE, state=2)))
    monkeypatch.setattr(landing, "read", counted)
    views.at("A", T0 + HOUR)
    land(house, sent(event(T0 + 9 * MINUTE, state=3)))
    views.at("A", T0 + HOUR)
    views.at("A", T0 + HOUR)
    assert read == [3, 1, 0]


def test_time_alone_closes_a_session(house: House):
    """Without another event of its agent, and though others go on."""
    views = LiveViews(house, 1_000)
    land(house, sent(login(T0), login(T0, agentID=2)))
    assert check(views, house, T0 + HOUR)["open"].to_list() == [True, True]
    land(house, sent(event(T0 + 23 * HOUR, agentID=2)))
    assert sorted(check(views, house, T0 + DAY).select("agentID", "open").rows()) == [(1, False), (2, True), (2, True)]


def test_a_late_event_stands_in_the_place_of_what_was_published(house: House):
    """And another agent's does not change that."""
    views = LiveViews(house, 1_000)
    for agent in (1, 2):
        land(house, sent(login(T0, agentID=agent), logout(T0 + HOUR, agentID=agent)))
    publish_at(house, T0 + 3 * HOUR)
    for agent in (1, 2):
        land(house, sent(event(T0 + MINUTE, agentID=agent, state=2)))
        check(views, house, T0 + 4 * HOUR)
    assert sorted(views.at("A", T0 + 4 * HOUR).replaced.values()) == [1, 2]


def test_what_is_too_much_to_keep_is_made_anew(house: House):
    """It is right all the same, and so is what comes after."""
    views = LiveViews(house, 2)
    for minute in range(4):
        land(house, sent(event(T0 + minute * MINUTE, state=2)))
        assert check(views, house, T0 + HOUR).height == minute + 1
    publish_at(house, T0 + 3 * DAY)
    assert check(views, house, T0 + 3 * DAY).height == 0


def test_an_account_that_is_not_there(house: House):
    """As without keeping."""
    with pytest.raises(Missing, match="account B"):
        LiveViews(house, 2).at("B", T0)
