"""How often, and how many at once; alone and together with other servers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
import structlog
from callers import API, EVENTS, LE, LIST, Caller, calling, error, signed

from shiftlog.catalog import keys as catalog_keys
from shiftlog.catalog.keys import NewKey
from shiftlog.errors import TooMany
from shiftlog.house import House
from shiftlog.server import limits
from shiftlog.server.app import create_app
from shiftlog.server.limits import Exchange, Limits, Rate
from shiftlog.settings import Settings

EVENT = b'{"agentID": 1, "timestamp": 1465992202047}'


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def taken(rate: Rate, subject: str = "a", most: int = 1_000) -> int:
    """How many come through at once."""
    return next(n for n in range(most) if rate.take(subject))


# ── a rate ──


def test_what_comes_at_once_is_bounded(clock: Clock):
    """A burst, and not one more; another subject has a bucket of its own."""
    rate = Rate(10, 2, clock=clock)
    assert [taken(rate), taken(rate), taken(rate, "b")] == [20, 0, 20]


def test_in_the_long_run_the_rate_holds(clock: Clock):
    """However it is asked for."""
    rate, let_in = Rate(10, 2, clock=clock), 0
    for _ in range(1_000):
        clock.now += 0.03
        let_in += not rate.take("a")
    assert 20 + 299 <= let_in <= 20 + 300


def test_the_wait_is_what_it_takes(clock: Clock):
    """In whole seconds, and never 0 where one has to wait."""
    rate = Rate(0.5, 2, clock=clock)
    assert [rate.take("a"), rate.take("a"), rate.wait("a")] == [0, 2, 2]
    clock.now += 1.1
    assert rate.wait("a") == 1
    clock.now += 0.9
    assert rate.wait("a") == 0


def test_one_may_overdraw_and_waits_the_longer(clock: Clock):
    """A request that costs more than there is is let in once: nobody knows what it costs before."""
    rate = Rate(100, 1, clock=clock)
    assert rate.take("a", 1_100) == 0
    assert rate.wait("a") == 11
    clock.now += 10.02
    assert rate.wait("a") == 0


def test_a_rate_of_nothing_is_no_limit(clock: Clock):
    """And costs no memory."""
    rate = Rate(0, 10, clock=clock)
    assert not any(rate.take(str(n)) for n in range(100))
    assert rate._buckets == {}


def test_buckets_are_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch):
    """Full ones are forgotten and lose nothing; who waits goes on waiting."""
    monkeypatch.setattr(limits, "_MANY", 50)
    rate = Rate(10, 1, clock=clock)
    rate.take("waiting", 10_000)
    for n in range(500):
        clock.now += 0.01
        rate.take(f"client {n}")
    assert len(rate._buckets) <= 50
    assert rate.wait("waiting") > 900


# ── requests ──


def limited(house: House, **settings: Any) -> House:
    return replace(house, settings=house.settings.model_copy(update=settings))


@contextmanager
def caller(house: House, key: NewKey, **settings: Any) -> Iterator[Caller]:
    with calling(create_app(limited(house, **settings), publish=False), key.bearer) as found:
        yield found


def refused(answer: httpx.Response) -> str:
    """The message of a refusal that says when to come again."""
    status, code, message = error(answer)
    assert (status, code) == (429, 40)
    assert int(answer.headers["retry-after"]) >= 1
    return message


def test_too_many_requests_with_a_key_are_refused(house: House, keys: NewKey):
    """It is told how long to wait; another key of the account is not meant."""
    with house.catalog.write() as conn:
        other = catalog_keys.create(conn, house.vault, "A", ["read"], house.catalog.now())
    with caller(house, keys, key_requests_per_second=0.01, burst_seconds=200) as call:
        assert [call.get(LE).status_code for _ in range(2)] == [200, 200]
        assert "more than 0.01 requests a second come with this key" in refused(call.get(LE))
        assert "with this key" in refused(call.without_key()("GET", LE, headers=signed(keys, LE)))
        assert call.as_(other).get(LE).status_code == 200


@pytest.mark.parametrize("url", [LE, f"{LIST}?startTime=0"])
def test_a_request_that_is_repeated_by_others_costs_the_key_nothing(house: House, keys: NewKey, url: str):
    """Who has overheard it can keep nobody out."""
    with caller(house, keys, key_requests_per_second=0.01, burst_seconds=200) as call:
        header = signed(keys, url)
        assert {call.without_key()("GET", url, headers=header).status_code for _ in range(5)} in ({200, 401}, {404, 401})
        assert call.get(LE).status_code == 200
        assert call.get(LE).status_code == 429


def test_too_many_requests_from_an_address_are_refused(house: House, keys: NewKey):
    """With a key or without, before it is looked at; but a server that lives says so."""
    with caller(house, keys, address_requests_per_second=0.01, burst_seconds=200) as call:
        assert [call.get(LE).status_code, call.without_key().get(LE).status_code] == [200, 401]
        assert "from this address" in refused(call.get(LE))
        assert "from this address" in refused(call.without_key().get("/readyz"))
        assert call.get("/healthz").status_code == 200


def test_a_refusal_says_nothing_of_accounts(house: House, keys: NewKey):
    """It is the same for an account that is not there."""
    with caller(house, keys, key_requests_per_second=0.01, burst_seconds=100) as call:
        call.get(LE)
        assert refused(call.get(LE)) == refused(call.get(LE.replace("/A/", "/B/"))) == refused(call.get("/api/v1/accounts/B/status"))


def test_clients_behind_a_trusted_proxy_have_limits_of_their_own(house: House, keys: NewKey):
    """One who comes too often does not count for another; without trust they are one."""
    settings = {"address_requests_per_second": 0.01, "burst_seconds": 100}

    def from_(call: Caller, address: str) -> int:
        return call.get(LE, X_Forwarded_For=address).status_code

    with caller(house, keys, trusted_proxies="127.0.0.1", **settings) as call:
        assert [from_(call, address) for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2")] == [200, 429, 200]
    with structlog.testing.capture_logs() as lines, caller(house, keys, **settings) as call:
        assert [from_(call, address) for address in ("192.0.2.1", "192.0.2.2")] == [200, 429]
    assert [line["address"] for line in lines if line["event"] == "proxy.untrusted"] == ["127.0.0.1"]


def test_pages_count_for_the_key_that_signed_in(house: House, keys: NewKey):
    """A visitor gets a page that says so."""
    with caller(house, keys, key_requests_per_second=0.01, burst_seconds=200) as call:
        form = {"token": keys.bearer}
        signed_in = call.without_key()("POST", "/sign-in", data=form)
        cookie = {"Cookie": signed_in.headers["set-cookie"].partition(";")[0]}
        assert call.without_key()("GET", "/files", headers=cookie).status_code == 200
        answer = call.without_key()("GET", "/files", headers=cookie)
        assert (answer.status_code, "requests a second" in answer.text) == (429, True)
        assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("whose", ["key", "address"])
def test_requests_under_way_are_bounded(house: House, keys: NewKey, whose: str):
    """What is answered makes room again."""
    waiting = asyncio.Event()

    async def body() -> Any:
        yield EVENT
        await waiting.wait()

    async def post(call: Caller, content: Any) -> httpx.Response:
        headers = {**call._default, "Content-Type": "application/x-ndjson"}
        return await call._client.post(EVENTS, content=content, headers=headers)

    async def scene(call: Caller) -> list[httpx.Response]:
        under_way = [asyncio.create_task(post(call, body())) for _ in range(3)]
        await asyncio.sleep(0.2)
        third = await post(call, EVENT)
        waiting.set()
        return [third, *await asyncio.gather(*under_way), await post(call, EVENT)]

    with caller(house, keys, **{f"{whose}_requests_at_once": 3}) as call:
        refused_one, *answered = call._portal.call(scene, call)
    assert "3 requests" in refused(refused_one)
    assert [answer.status_code for answer in answered] == [200] * 4


def test_too_many_events_are_refused_before_they_are_read(house: House, keys: NewKey):
    """One request may overdraw; the next has to wait until that is paid, and nothing of it is taken."""
    with caller(house, keys, key_events_per_second=1, burst_seconds=1) as call:
        assert call.post(EVENTS, b"\n".join(EVENT.replace(b"47}", b"%d}" % n) for n in range(10, 40))).json() == {"accepted": 30}
        assert "more than 1 events a second" in refused(call.post(EVENTS, EVENT))
        assert call.get(f"{API}/status").json()["batches"]["landed"] == 1


def test_pulling_and_posting_as_much_as_is_usual_is_not_hindered(house: House, keys: NewKey):
    """64 side by side, many times over, with the defaults."""
    with calling(create_app(house, publish=False), keys.bearer) as call:

        async def at_once() -> set[int]:
            asked = [call._client.get(f"{LIST}?startTime=0", headers=call._default) for _ in range(64)]
            return {answer.status_code for answer in await asyncio.gather(*asked)}

        assert set().union(*(call._portal.call(at_once) for _ in range(5))) == {404}  # no files yet


# ── several servers ──


@pytest.fixture
def together(house: House, clock: Clock) -> list[tuple[Rate, Exchange]]:
    """Three servers of one catalog, which have heard of each other's beginning."""
    found = []
    for _ in range(3):
        rate = Rate(100, 10, clock=clock)
        found.append((rate, Exchange(house.catalog, {"key": rate})))
    for _, exchange in found:
        exchange.once()
    return found


def test_servers_keep_to_one_limit_together(together: list[tuple[Rate, Exchange]], clock: Clock):
    """What one has let in is gone from the buckets of the others, after one exchange."""
    let_in = 0
    for second in range(60):
        clock.now += 1
        for rate, exchange in together:
            let_in += sum(not rate.take("7") for _ in range(200))
            if second % 2:
                exchange.once()
    # All three give a burst before they have heard of each other, and a period's worth each time they exchange.
    assert 60 * 100 <= let_in <= 60 * 100 + 3 * 1_000 + 3 * 200


def test_a_server_that_comes_later_does_not_count_the_past(together: list[tuple[Rate, Exchange]], house: House, clock: Clock):
    """What was let in before it came is not held against anyone."""
    first, exchange = together[0]
    taken(first, "7", 2_000)
    exchange.once()
    late = Rate(100, 10, clock=clock)
    fresh = Exchange(house.catalog, {"key": late})
    fresh.once()
    assert taken(late, "7", 2_000) == 1_000


def test_little_use_is_not_told(together: list[tuple[Rate, Exchange]], house: House):
    """A quiet client costs the catalog nothing; its use adds up until it is worth a word."""
    rate, exchange = together[0]
    told = []
    for _ in range(4):
        for _ in range(3):
            rate.take("7")
        told.append(rate.telling())
    assert told == [{}, {}, {}, {"7": 12}]
    exchange.once()
    assert rate.telling() == {}


def test_without_the_catalog_a_server_goes_on_alone(house: House):
    """On one machine there is nobody to tell; a limit is kept all the same."""
    alone = Limits(Settings(key_requests_per_second=1, burst_seconds=1), house.catalog)
    alone.start()
    place = alone.enter("192.0.2.1")
    alone.enter_key(place, 1)
    with pytest.raises(TooMany, match="with this key"):
        alone.enter_key(alone.enter("192.0.2.1"), 1)
    alone.stop()
