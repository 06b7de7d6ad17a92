"""The piece of Now that changes: whole for who has nothing yet, else what is different."""

from __future__ import annotations

import re
import time

import pytest
from starlette.requests import Request

from readers import land
from scenes import HOUR, MINUTE, event, login, sent
from shiftlog.house import House
from shiftlog.live import LiveViews
from shiftlog.server.pages import pieces, present
from shiftlog.server.pages.held import Held
from shiftlog.server.pages.look import Look
from shiftlog.server.pages.pieces import Piece
from shiftlog.server.pages.view import View

REQUEST = Request({"type": "http", "method": "GET", "path": "/now/events", "query_string": b"", "headers": []})

pytestmark = pytest.mark.usefixtures("account")


class Watch:
    """Someone who watches an account, of whose state pieces are made by hand."""

    def __init__(self, house: House) -> None:
        now = house.catalog.now()
        self.house, self.lives, self.view = house, LiveViews(house, 1_000), View("A", now - 2 * HOUR, now + HOUR, "UTC")
        self.look = Look(Held.read(house, "A", self.view.start, self.view.end), self.view.start, self.view.end)

    def piece(self, before: Piece | None = None, stamp: int = 0) -> Piece:
        found = present.read(self.house, self.lives, self.view, self.look)
        rows = pieces.rows(REQUEST, self.view, found, before and before.rows)
        return Piece(found, rows, self.look, stamp, time.monotonic(), 0.1)

    def told(self, piece: Piece, before: Piece | None) -> dict[str, str]:
        """What is sent of each agent's row, in order."""
        html = piece.since(REQUEST, self.view, before)
        return {
            key: " ".join(re.sub("<[^>]*>", " ", row).split())
            for key, row in re.findall(r'<tr data-key="(\d+)"[^>]*>(.*?)</tr>', html, re.DOTALL)
        }


@pytest.fixture
def watch(house: House, account: str) -> Watch:
    """Two agents at work, who logged in half an hour and an hour ago."""
    now = house.catalog.now()
    land(house, sent(login(now - HOUR, agentNickname="Ada"), login(now - 30 * MINUTE, agentID=2, agentNickname="</tr><b>")))
    return Watch(house)


def test_who_has_nothing_yet_gets_every_row(watch: Watch) -> None:
    """Whatever an agent is called."""
    told = watch.told(watch.piece(), None)
    assert list(told) == ["1", "2"]
    assert "before first status" in told["1"]
    assert "&lt;/tr&gt;&lt;b&gt;" in told["2"]


def test_rows_that_are_the_same_only_say_where_they_are(watch: Watch) -> None:
    """Time that goes by changes no row: a browser counts by itself."""
    first = watch.piece()
    land(watch.house, sent(event(watch.house.catalog.now(), state=2, agentID=2)))
    second = watch.piece(first)
    told = watch.told(second, first)
    assert (list(told), told["1"]) == (["2", "1"], "")
    assert "online" in told["2"]
    assert second.rows[1] is first.rows[1]
    assert watch.told(watch.piece(second), second) == {"2": "", "1": ""}


def test_who_logs_out_and_in_again_is_told_whole(watch: Watch) -> None:
    """What is not on the page any more is not taken for known."""
    first = watch.piece()
    land(watch.house, sent(event(watch.house.catalog.now(), type=4, state=1, agentID=2)))
    second = watch.piece(first)
    assert list(watch.told(second, first)) == ["1"]
    land(watch.house, sent(login(watch.house.catalog.now(), agentID=2)))
    assert watch.told(watch.piece(second), second)["2"] != ""


def test_a_piece_is_good_until_something_happens_and_then_for_a_rest(watch: Watch) -> None:
    """It is not made again at once, so that a stream of events cannot keep the server busy with it."""
    piece = watch.piece(stamp=1)
    assert piece.good(1, watch.look)
    assert piece.good(2, watch.look)
    old = Piece(piece.present, piece.rows, piece.look, 1, time.monotonic() - 1, 0.1)
    assert old.good(1, watch.look)
    assert not old.good(2, watch.look)
    assert not old.good(1, None)
