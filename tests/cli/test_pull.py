"""`shiftlog pull` and `shiftlog verify`: what they print, and how they exit."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from shell import Shell

from client.servers import SHIFTLOG, hasty, lake_files, profile, running
from readers import all_parts, land, publish_at
from scenes import DAY, HOUR, MINUTE, T0, event, login, logout, sent
from shiftlog import lake
from shiftlog.catalog import accounts
from shiftlog.catalog import keys as catalog_keys
from shiftlog.catalog.keys import NewKey
from shiftlog.client import Profile
from shiftlog.house import House
from shiftlog.settings import Settings


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a profile of the environment, nor waiting."""
    for name in [name for name in os.environ if name.startswith("SHIFTLOG_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("shiftlog.client.http.Patience", hasty)


def work(house: House, hours: int) -> None:
    for hour in range(hours):
        start = T0 - 2 * DAY + hour * HOUR
        land(house, sent(login(start), event(start + MINUTE, state=2), logout(start + 2 * MINUTE)))
    publish_at(house, T0)


Server = tuple[str, NewKey]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server with three hours of one agent, which tests leave as it is; and a key."""
    house = House.open(tmp_path_factory.mktemp("served") / "data", create=True, settings=Settings(lead_milliseconds=0))
    with house.catalog.write() as conn:
        accounts.ensure(conn, "A", house.catalog.now(), house.settings)
        key = catalog_keys.create(conn, house.vault, "A", ["read"], house.catalog.now())
    work(house, 3)
    with running(house) as url:
        yield url, key
    house.close()


@pytest.fixture
def path(server: Server, tmp_path: Path) -> Path:
    """A profile for it."""
    url, key = server
    profile(key, url).save(tmp_path / "p.json")
    return tmp_path / "p.json"


@pytest.fixture
def own(house: House, keys: NewKey, tmp_path: Path) -> Iterator[Path]:
    """A profile for a server of the test's own."""
    work(house, 3)
    with running(house) as url:
        profile(keys, url).save(tmp_path / "p.json")
        yield tmp_path / "p.json"


def test_a_key_is_written_to_a_profile(shiftlog: Shell, tmp_path: Path):
    """Private, and not shown."""
    path = tmp_path / "p.json"
    options = ("--profile", path, "--url", "https://da.example.net/", "--format", "json")
    made = shiftlog("keys", "create", "--data", tmp_path / "d", "--account", "A", *options).json
    written = Profile.load(path, {})
    assert (written.account, written.consumer_key, written.token) == ("A", made["consumer_key"], made["token"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {made[name] for name in ("consumer_secret", "token_secret", "bearer")} == {"***"}


def test_a_key_whose_profile_cannot_be_written_is_not_made(shiftlog: Shell, tmp_path: Path):
    """Nobody would know its secrets."""
    data = tmp_path / "d"
    refused = shiftlog("keys", "create", "--data", data, "--account", "A", "--profile", tmp_path / "no" / "p.json")
    assert (refused.code, "cannot be written" in refused.err) == (1, True)
    assert shiftlog("keys", "list", "--data", data, "--format", "json").json == []


def test_pull_and_pull_again_and_verify(shiftlog: Shell, path: Path, tmp_path: Path):
    """All, nothing, and content."""
    into = tmp_path / "lake"
    first = shiftlog("pull", "--profile", path, "--into", into, "--keep-raw", "--format", "json").json
    assert {name: first[name] for name in ("new", "events", "failed")} == {"new": 3, "events": 9, "failed": 0}
    assert shiftlog("pull", "--profile", path, "--into", into, "--format", "json").json["new"] == 0
    report = shiftlog("verify", into, "--profile", path, "--format", "json").json
    assert (report["files"], report["events"], report["wrong"]) == (3, 9, 0)


def test_what_is_wrong_exits_with_1_until_it_is_repaired(shiftlog: Shell, path: Path, tmp_path: Path):
    """And is named."""
    into = tmp_path / "lake"
    shiftlog("pull", "--profile", path, "--into", into)
    missing = into / lake.read(into).files[1].path
    missing.unlink()
    wrong = shiftlog("verify", into)
    assert wrong.code == 1
    assert f"wrong: {missing} is not there" in wrong.err
    assert "pull --repair" in wrong.err
    assert shiftlog("pull", "--profile", path, "--into", into, "--repair", "--format", "json").json["repaired"] == 1
    assert shiftlog("verify", into).code == 0


def test_a_file_that_did_not_come_exits_with_1(shiftlog: Shell, house: House, own: Path, tmp_path: Path):
    """The others are in the lake, and the reason is printed."""
    part = all_parts(house)[1]
    stored = house.store.path(part.gz_key)
    stored.write_bytes(stored.read_bytes()[:-1])
    done = shiftlog("pull", "--profile", own, "--into", tmp_path / "lake")
    assert done.code == 1
    assert f"{part.name}: GET http" in done.err
    assert "the next pull tries these again" in done.err
    assert len(lake.read(tmp_path / "lake").files) == 2


def test_the_callers_mistakes_exit_with_2(shiftlog: Shell, path: Path, server: Server, tmp_path: Path):
    """A wrong key, no key, no profile, another account's lake, a directory that is no lake."""
    (tmp_path / "other").mkdir()
    lake.write(tmp_path / "other", lake.Snapshot(account="B"))
    Profile(server[0], "A", bearer="wrong").save(tmp_path / "wrong.json")
    for arguments, said in [
        (("pull", "--into", tmp_path / "lake", "--profile", tmp_path / "wrong.json"), "401"),
        (("pull", "--into", tmp_path / "lake"), "url is missing"),
        (("pull", "--into", tmp_path / "lake", "--profile", tmp_path / "none.json"), "no profile"),
        (("pull", "--into", tmp_path / "other", "--profile", path), "the lake of account B"),
        (("pull", "--into", tmp_path, "--profile", path), "not empty"),
        (("pull", "--into", tmp_path / "lake", "--profile", path, "--since", "noon"), "is not a time"),
        (("verify", tmp_path / "none"), "is not a lake"),
        (("verify", tmp_path / "other", "--profile", path), "the lake of account B"),
    ]:
        done = shiftlog(*arguments)
        assert (done.code, said in done.err) == (2, True), done.err


def test_what_may_pass_exits_with_1(shiftlog: Shell, server: Server, path: Path, tmp_path: Path):
    """No server, a page instead of the API, a newer lake, another pull."""
    profile(server[1], "http://127.0.0.1:9").save(tmp_path / "nobody.json")
    newer = tmp_path / "newer"
    newer.mkdir()
    (newer / lake.SNAPSHOT).write_text('{"layout": 9}')
    nobody = shiftlog("pull", "--into", tmp_path / "lake", "--profile", tmp_path / "nobody.json")
    assert (nobody.code, "the connection to 127.0.0.1 failed" in nobody.err) == (1, True)
    refused = shiftlog("pull", "--into", newer, "--profile", path)
    assert (refused.code, "use a newer one" in refused.err) == (1, True)
    with (tmp_path / "lake" / "lake.lock").open("a") as lock:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX)
        second = shiftlog("pull", "--into", tmp_path / "lake", "--profile", path)
    assert (second.code, "another pull or verify is at work" in second.err) == (1, True)


def test_a_disk_without_room_exits_with_1_and_the_next_pull_completes(path: Path, tmp_path: Path):
    """Here the system refuses to write files of more than 3000 bytes."""
    command = [SHIFTLOG, "pull", "--profile", str(path), "--into", str(tmp_path / "lake")]
    full = subprocess.run(
        command, capture_output=True, text=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)), check=False
    )
    assert (full.returncode, "cannot be written: File too large" in full.stderr) == (1, True), full.stderr
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert len(lake_files(tmp_path / "lake")) == 3


def test_watch_goes_on_until_it_is_stopped(shiftlog: Shell, house: House, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Whatever was published meanwhile comes with the next look; Ctrl-C ends it."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            raise KeyboardInterrupt
        work(house, 4)

    monkeypatch.setattr("shiftlog.cli.pull._sleep", sleep)
    done = shiftlog("pull", "--profile", own, "--into", tmp_path / "lake", "--watch", "--format", "json")
    assert done.code == 130
    assert len(lake.read(tmp_path / "lake").files) == 4
    assert 0 < slept[0] <= 3600


def test_watch_waits_for_a_server_that_is_away(shiftlog: Shell, keys: NewKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A minute, and again."""
    profile(keys, "http://127.0.0.1:9").save(tmp_path / "nobody.json")
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        raise KeyboardInterrupt

    monkeypatch.setattr("shiftlog.cli.pull._sleep", sleep)
    done = shiftlog("pull", "--profile", tmp_path / "nobody.json", "--into", tmp_path / "lake", "--watch")
    assert (done.code, slept) == (130, [60])
    assert "trying again in a minute" in done.err


def test_events_are_sent_to_a_server(shiftlog: Shell, house: House, own: Path, tmp_path: Path):
    """By the same client, which tries again; a wrong token exits with 2."""
    sent_to = Profile.load(own, {})
    events = tmp_path / "events.ndjson"
    events.write_text(f'{{"agentID": 5, "timestamp": {T0}, "type": 3}}\n')
    options = ("--url", sent_to.url, "--account", "A", "--bearer")
    done = shiftlog("ingest", events, *options, sent_to.bearer)
    assert (done.code, "1 events accepted" in done.err) == (0, True), done.err
    assert shiftlog("ingest", events, *options, "wrong").code == 2
