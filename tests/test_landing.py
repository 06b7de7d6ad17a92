"""Landing: durable before the answer, together, and all or nothing for each request."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from scenes import T0, event, login, sent
from shiftlog import landing
from shiftlog.catalog import accounts, batches, trail
from shiftlog.catalog.trail import Asked, Entry
from shiftlog.errors import BadEvent, Later, Missing
from shiftlog.house import House
from shiftlog.landing import Landing

pytestmark = pytest.mark.usefixtures("account")


def landed(house: House, account: str = "A") -> list[tuple[int, int]]:
    """The account's events as (batch number, timestamp after T0)."""
    with house.catalog.read() as conn:
        found = batches.after(conn, account, 0)
    rows = landing.read(house.store, found)
    return [(position >> 32, timestamp - T0) for position, timestamp in rows.select("position", "timestamp").rows()]


def test_an_accepted_event_is_read_back(house: House):
    """After the answer it is in the store and in the catalog, as it was sent."""
    arrived = Landing(house)
    events = sent(login(T0, agentUsername="Zoë", userProfileIDs=[1, 2]), event(T0 + 1))
    assert arrived.accept("A", events) == 2
    with house.catalog.read() as conn:
        back = landing.read(house.store, batches.after(conn, "A", 0))
    assert back.select(events.columns).equals(events)
    arrived.close()


def test_what_waits_is_committed_together(house: House):
    """Requests of several accounts that arrive during a commit share an object; each account has its own rows of it."""
    with house.catalog.write() as conn:
        accounts.ensure(conn, "B", 0, house.settings)
    arrived = Landing(house)
    with house.catalog.write():  # the first commit waits here, and the others for it
        answers = [arrived.submit(account, sent(event(T0 + n))) for n, account in enumerate("ABBAB")]
    assert [answer.result() for answer in answers] == [1] * 5
    arrived.close()
    assert len(list(house.store.list("landing"))) <= 2  # one, where all came before the first commit began
    assert [time for _, time in landed(house)] == [0, 3]
    assert [time for _, time in landed(house, "B")] == [1, 2, 4]


def test_a_session_id_of_another_agent_is_refused_alone(house: House):
    """The request that uses it is refused and nothing of it is taken; its neighbours are accepted."""
    arrived = Landing(house)
    arrived.accept("A", sent(login(T0, sessionId="s")))
    with house.catalog.write():
        good = arrived.submit("A", sent(event(T0 + 1, sessionId="s")))
        bad = arrived.submit("A", sent(event(T0 + 2), event(T0 + 3, agentID=2, sessionId="s")))
    assert good.result() == 1
    with pytest.raises(BadEvent, match="'s' is agent 1's"):
        bad.result()
    arrived.close()
    assert [time for _, time in landed(house)] == [0, 1]


def test_a_session_id_is_its_owners_whoever_comes_first(house: House):
    """Of two requests of one group that use it, the agent's own is accepted, though the other came before."""
    arrived = Landing(house)
    arrived.accept("A", sent(login(T0, sessionId="s")))
    with house.catalog.write():
        held = arrived.submit("A", sent(event(T0 + 1)))
        bad = arrived.submit("A", sent(event(T0 + 2, agentID=2, sessionId="s")))
        good = arrived.submit("A", sent(event(T0 + 3, sessionId="s")))
    assert held.result() == good.result() == 1
    with pytest.raises(BadEvent, match="'s' is agent 1's"):
        bad.result()
    arrived.close()
    assert [time for _, time in landed(house)] == [0, 1, 3]


def test_what_was_refused_leaves_no_object(house: House):
    """What nobody will ever read is not kept."""
    arrived = Landing(house)
    arrived.accept("A", sent(login(T0, sessionId="s")))
    with pytest.raises(BadEvent):
        arrived.accept("A", sent(event(T0 + 1, agentID=2, sessionId="s")))
    arrived.close()
    assert len(list(house.store.list("landing"))) == 1


def test_the_audit_line_comes_with_the_events(house: House):
    """It is durable in their commit, at its time, and not there where they are refused."""
    arrived = Landing(house)
    line = Entry(0, "A", None, "ingest", "POST /", 200, "127.0.0.1")
    arrived.submit("A", sent(login(T0, sessionId="s")), line).result()
    with pytest.raises(BadEvent):
        arrived.submit("A", sent(login(T0, agentID=2, sessionId="s")), line).result()
    arrived.close()
    with house.catalog.read() as conn:
        [found], [batch] = trail.entries(conn, Asked("A", actions=("ingest",))), batches.after(conn, "A", 0)
    assert (found["target"], found["status"]) == ("POST /", 200)
    assert found["at"] >= batch.received_at


def test_two_agents_in_one_request_cannot_share_a_session_id(house: House):
    """Within one request, too."""
    arrived = Landing(house)
    with pytest.raises(BadEvent):
        arrived.accept("A", sent(login(T0, sessionId="s"), login(T0, agentID=2, sessionId="s")))
    arrived.close()
    assert landed(house) == []


def test_an_unknown_account_is_missing(house: House):
    """Nobody can send events to an account that is not there."""
    arrived = Landing(house)
    with pytest.raises(Missing, match="no account nobody"):
        arrived.accept("nobody", sent(login(T0)))
    arrived.close()


def test_a_failing_store_refuses_and_goes_on(house: House, monkeypatch: pytest.MonkeyPatch):
    """Whoever waits gets the error, nothing is taken, and the next request is served."""
    arrived = Landing(house)
    real = house.store.put

    def full(key: str, data: bytes) -> None:
        raise Later("no space is left", retry_after=60)

    monkeypatch.setattr(house.store, "put", full)
    with pytest.raises(Later, match="no space"):
        arrived.accept("A", sent(login(T0)))
    monkeypatch.setattr(house.store, "put", real)
    assert arrived.accept("A", sent(login(T0 + 1))) == 1
    arrived.close()
    assert [time for _, time in landed(house)] == [1]


def test_closing_answers_what_was_submitted(house: House):
    """Everything that was submitted before the close is answered."""
    arrived = Landing(house)
    answers: list[Future[int]] = [arrived.submit("A", sent(event(T0 + n))) for n in range(20)]
    arrived.close()
    assert sum(answer.result(timeout=0) for answer in answers) == len(landed(house)) == 20
