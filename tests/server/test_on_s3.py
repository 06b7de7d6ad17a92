"""A whole house on S3: the same deployment as in a directory, with the same bytes in its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event

import httpx
import polars as pl
import pytest
from callers import Caller, calling, error
from visitors import browsing, sign_in

from client.servers import shiftlog_client
from readers import all_parts, at, every_row, land, publish_at, standing
from s3 import Server
from scenes import DAY, HOUR, MINUTE, T0, event, login, logout, sent
from shiftlog.catalog import accounts, deployment
from shiftlog.catalog import keys as catalog_keys
from shiftlog.catalog.keys import NewKey
from shiftlog.errors import Later
from shiftlog.events import SENT
from shiftlog.hours import parse
from shiftlog.house import House
from shiftlog.landing import Landing
from shiftlog.retention import sweep
from shiftlog.server.app import create_app
from shiftlog.settings import Settings
from shiftlog.simulate import simulate
from shiftlog.sources import HouseSource, groups
from shiftlog.store import bucket
from shiftlog.store.bucket import Patience
from weather import before

SETTINGS = Settings(lead_milliseconds=0, part_events=500)


@contextmanager
def opened(directory: Path, store: str | None = None) -> Iterator[House]:
    """A deployment with account A."""
    house = House.open(directory, create=True, settings=SETTINGS, store=store)
    with house.catalog.write() as conn:
        accounts.ensure(conn, "A", house.catalog.now(), house.settings)
    yield house
    house.close()


@pytest.fixture
def on_s3(tmp_path: Path, s3: str) -> Iterator[House]:
    """On S3; in its own directory lies the catalog alone."""
    with opened(tmp_path / "data", s3) as house:
        yield house


def key_of(house: House) -> NewKey:
    with house.catalog.write() as conn:
        return catalog_keys.create(conn, house.vault, "A", ["read", "write"], house.catalog.now())


def a_life(house: House) -> dict[str, object]:
    """A day of a simulated centre: landed in pieces, published, listed, downloaded, revised, and swept; and what came of it."""
    day = simulate("A", agents=30, days=1, start=parse("2026-03-02T00:00:00+00:00"), seed=7)
    arrivals = day.arrivals().select(SENT.keys())
    for piece in arrivals.iter_slices(-(-arrivals.height // 5)):
        land(house, piece)
    publish_at(house, parse("2026-03-03T06:00:00+00:00"))
    first = standing(every_row(house))
    session = first.filter(pl.col("type") == 3).row(0, named=True)
    late = {"agentID": session["agentID"], "timestamp": session["timestamp"] + 1, "state": 3}
    land(house, sent(event(**late)))
    publish_at(house, parse("2026-03-03T06:00:00+00:00"))
    with shiftlog_client(house, key_of(house)) as client:
        listed = client.list(0).files
        taken = {str(file.name): client.download(file, house.directory).read_bytes() for file in listed}
        manifest = [(part.name, part.sha256, part.bytes, part.sessions, part.events) for part in client.manifest().parts]
        opened = client.open_sessions().height
    found = [group.collect() for group in groups(HouseSource(house, "A"), None, None, None)]
    return {
        "names": [str(file.name) for file in listed],
        "files": taken,
        "manifest": manifest,
        "open": opened,
        "rows": pl.concat(found).drop("receivedAt").sort("agentID", "timestamp", "eventId").rows(),
        "left": sorted(found.size for found in house.store.list("parts") if found.key.endswith(".gz")),
        "swept": sweep(at(house, house.catalog.now() + 31 * DAY)),
        "kept": sum(found.key.endswith(".gz") for found in house.store.list()),
    }


def test_the_same_house_as_in_a_directory(tmp_path: Path, on_s3: House):
    """Whatever is asked of it, byte by byte."""
    with opened(tmp_path / "near") as near:
        expected = a_life(near)
    found = a_life(on_s3)
    assert len(expected["names"]) > 10
    assert any(name.endswith("-1") for name in expected["names"])
    assert found == expected
    assert not (tmp_path / "data" / "objects").exists()


def test_a_window_comes_as_one_archive(tmp_path: Path, on_s3: House):
    """The same as from a directory, of parts that are fetched side by side."""
    with opened(tmp_path / "near") as near:
        found = []
        for house in (near, on_s3):
            for n in range(9):
                land(house, sent(login(T0 + n * HOUR, agentID=n), logout(T0 + n * HOUR + MINUTE, agentID=n)))
            publish_at(house, T0 + 12 * HOUR)
            with calling(create_app(house, publish=False), key_of(house).bearer) as call:
                answer = call.get("/data_access_le/account/A/le/agentActivity.zip?startTime=0")
            assert int(answer.headers["Content-Length"]) == len(answer.content)
            found.append(answer.content)
    near_, far = found
    assert len(near_) == len(far)  # entries carry their part's generated time
    assert near_.count(b"PK\3\4") == far.count(b"PK\3\4") == 9


def test_a_file_that_was_deleted_by_hand(on_s3: House):
    """Is a fault that is told before the first byte, and no broken answer."""
    land(on_s3, sent(login(T0), logout(T0 + MINUTE)))
    [part] = publish_at(on_s3, T0 + 3 * HOUR)
    on_s3.store.delete([part.gz_key])
    with calling(create_app(on_s3, publish=False), key_of(on_s3).bearer) as call:
        status, code, message = error(call.get(f"/data_access_le/account/A/le/agentActivity/{part.name}.gz"))
    assert (status, code) == (500, 99)
    assert "are not in the server's store as they were published" in message


def test_two_groups_are_on_their_way_at_once(on_s3: House, monkeypatch: pytest.MonkeyPatch):
    """A put that takes long holds up nobody but its own senders."""
    put, begun, go_on = on_s3.store.put, Event(), Event()

    def held_up(key: str, data: bytes) -> None:
        if not begun.is_set():
            begun.set()
            assert go_on.wait(30)
        put(key, data)

    monkeypatch.setattr(on_s3.store, "put", held_up)
    landing = Landing(on_s3)
    first = landing.submit("A", sent(login(T0)))
    assert begun.wait(30)
    assert landing.accept("A", sent(login(T0, agentID=2))) == 1
    assert not first.done()
    go_on.set()
    landing.close()
    assert first.result() == 1


def test_accounts_that_share_landing_objects_get_them_once(tmp_path: Path, s3: str, s3_server: Server, monkeypatch: pytest.MonkeyPatch):
    """All by one publisher, however many they are; and pages do not ask again for what was just read."""
    with before(s3_server.endpoint) as weather:
        monkeypatch.setenv("AWS_ENDPOINT_URL", weather.url)
        with opened(tmp_path / "data", s3) as house:
            names = [f"A{n}" for n in range(12)]
            with house.catalog.write() as conn:
                for name in names:
                    accounts.ensure(conn, name, house.catalog.now(), house.settings)
            for turn in range(3):
                together(house, {name: sent(login(T0 + turn, agentID=turn), logout(T0 + MINUTE, agentID=turn)) for name in names})
            landed = [found.key for found in house.store.list("landing")]
            weather.seen.clear()
            with ThreadPoolExecutor(4) as pool:
                assert [len(parts) for parts in pool.map(lambda name: publish_at(house, T0 + 3 * HOUR, name), names)] == [1] * 12
            asked = [path for method, path, _ in weather.seen if method == "GET" and "/landing/" in path]
            assert len(asked) == len(set(asked)) == len(landed) < 12


def together(house: House, events: dict[str, pl.DataFrame]) -> None:
    """Land events of several accounts, in few objects."""
    landing = Landing(house)
    for answer in [landing.submit(account, frame) for account, frame in events.items()]:
        answer.result()
    landing.close()


def test_a_browser_is_sent_to_the_bucket_too(on_s3: House):
    """From the page Files; the answer is kept by nobody."""
    land(on_s3, sent(login(T0), logout(T0 + MINUTE)))
    [part] = publish_at(on_s3, T0 + 3 * HOUR)
    redirecting = replace(on_s3, settings=SETTINGS.model_copy(update={"downloads": "redirect"}))
    with browsing(create_app(redirecting, publish=False)) as browser:
        sign_in(browser, key_of(on_s3))
        answer = browser.get(f"/files/{part.name}.gz")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (307, "no-store")
    found = httpx.get(answer.headers["Location"])
    assert (found.content, found.headers["Content-Disposition"]) == (on_s3.store.get(part.gz_key), f'attachment; filename="{part.name}.gz"')


# ── when the store is away ──


@pytest.fixture
def asking(on_s3: House, s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[House, Caller]]:
    """A house with a part whose store has little patience, and a caller of its server."""
    land(on_s3, sent(login(T0), logout(T0 + MINUTE), login(T0, agentID=3)))
    publish_at(on_s3, T0 + 3 * HOUR)
    monkeypatch.setattr(bucket, "STEADY", Patience(read=1, retries=1, total=1))
    monkeypatch.setattr(bucket, "QUICK", Patience(read=1, retries=1, total=1))
    with opened(on_s3.directory, s3) as house, calling(create_app(house, publish=False), key_of(house).bearer) as call:
        yield house, call


@pytest.mark.parametrize("befalls", [Server.stopped, Server.killed], ids=["stopped", "killed"])
def test_clients_are_told_to_come_later(asking: tuple[House, Caller], s3_server: Server, befalls: Callable[[Server], object]):
    """503 for what needs the store, events among it; what needs the catalog alone goes on; and afterwards all is well."""
    house, call = asking
    [part] = all_parts(house)
    le, events = "/data_access_le/account/A/le/agentActivity", "/api/v1/accounts/A/events"
    new = b'{"agentID":2,"timestamp":%d,"type":3}' % T0
    with befalls(s3_server):
        refused: list[httpx.Response] = [call.get(f"{le}/{part.name}.gz"), call.post(events, new), call.get("/readyz")]
        assert [error(answer)[:2] for answer in refused] == [(503, 50)] * 3
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
        assert [call.get(path).status_code for path in (f"{le}?startTime=0", "/healthz")] == [200, 200]
        with pytest.raises(Later, match="does not answer"):
            publish_at(house, T0 + 5 * HOUR)
    assert call.post(events, new).json() == {"accepted": 1}
    assert call.get(f"{le}/{part.name}.gz").content == house.store.get(part.gz_key)
    assert call.get("/readyz").status_code == 200


def test_a_run_that_could_not_be_stored_is_repeated(asking: tuple[House, Caller], s3_server: Server):
    """Nothing of it is visible before, and its bytes are the same afterwards."""
    house, _ = asking
    land(house, sent(login(T0 + HOUR, agentID=2), logout(T0 + HOUR + MINUTE, agentID=2)))
    with s3_server.killed(), pytest.raises(Later):
        publish_at(house, T0 + 5 * HOUR)
    assert len(all_parts(house)) == 1
    publish_at(house, T0 + 5 * HOUR)
    assert standing(every_row(house))["agentID"].to_list() == [1, 1, 2, 2]


# ── what nobody names ──


def test_what_is_new_by_the_stores_clock_is_never_swept(on_s3: House):
    """Whatever its clock shows, up to the safety time less an hour: a run may be about to name it."""
    on_s3.store.put("parts/A/left-by-an-attempt.gz", b"x")
    shortest = replace(on_s3, settings=Settings(safety_hours=1))
    assert sweep(at(shortest, on_s3.catalog.now() + HOUR + 30 * MINUTE)).unnamed == 0
    assert sweep(at(shortest, on_s3.catalog.now() + 2 * HOUR + MINUTE)).unnamed == 1
    assert [found.key for found in on_s3.store.list()] == [deployment.OBJECT]
