"""What a lake survives: a network that cuts, delays and corrupts, and being killed at any moment.

The lake in the end is that of an undisturbed pull, byte for byte.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.chaos import Chaos, proxied
from client.lakes import pulled
from client.servers import SHIFTLOG, hasty, lake_files, profile, running
from readers import all_parts, land, publish_at
from scenes import DAY
from shiftlog import lake
from shiftlog.catalog import accounts
from shiftlog.catalog import keys as catalog_keys
from shiftlog.catalog.keys import NewKey
from shiftlog.client import Client
from shiftlog.client.verify import verify
from shiftlog.errors import ShiftlogError
from shiftlog.events import SENT
from shiftlog.hours import parse
from shiftlog.house import House
from shiftlog.settings import Settings
from shiftlog.simulate import simulate

Published = tuple[str, NewKey, Path]


def centre(directory: Path, *, agents: int, days: int, pieces: int = 4, **settings: int) -> tuple[House, NewKey]:
    """A deployment with the published files of a simulated centre, late revisions among them; and a key."""
    house = House.open(directory, create=True, settings=Settings(lead_milliseconds=0, **settings))
    with house.catalog.write() as conn:
        accounts.ensure(conn, "A", house.catalog.now(), house.settings)
        key = catalog_keys.create(conn, house.vault, "A", ["read", "write"], house.catalog.now())
    simulation = simulate("A", agents=agents, days=days, start=parse("2026-03-01T00:00:00Z"), seed=5, late=0.05)
    arrivals = simulation.arrivals()
    size = -(-arrivals.height // pieces)
    for i in range(pieces):
        piece = arrivals.slice(i * size, size)
        land(house, piece.select(SENT.keys()))
        publish_at(house, piece["arrivesAt"].max() + (3 * DAY if i == pieces - 1 else 0))
    return house, key


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """A running server, a key, and the lake of an undisturbed pull."""
    directory = tmp_path_factory.mktemp("centre")
    house, key = centre(directory / "data", agents=25, days=4, part_events=150)
    with running(house) as url:
        with Client(profile(key, url)) as client:
            summary = pulled(client, directory / "calm")
            assert summary.new == len(all_parts(house)) >= 100
        yield url, key, directory / "calm"
    house.close()


def check_same(directory: Path, calm: Path) -> None:
    assert lake.read(directory).files == lake.read(calm).files
    assert lake_files(directory) == lake_files(calm)
    assert list((directory / ".partial").iterdir()) == []


def disturbed(url: str, key: NewKey, directory: Path, seed: int, pulls: int = 40) -> Chaos:
    """Pull through a proxy that disturbs, until a pull ends well."""
    chaos = Chaos(seed)
    with proxied(url, chaos) as proxy:
        for _ in range(pulls):
            with Client(profile(key, proxy), patience=hasty(3)) as client:
                try:
                    if not pulled(client, directory).failed:
                        return chaos
                except ShiftlogError:
                    continue
    raise AssertionError(f"no pull of {pulls} ended well: {chaos.counts}")


def test_a_bad_network_changes_nothing(published: Published, tmp_path: Path):
    """Half of all requests are cut, delayed, corrupted, or answered by somebody else."""
    url, key, calm = published
    chaos = disturbed(url, key, tmp_path / "lake", seed=1)
    assert len(chaos.counts) == 10
    check_same(tmp_path / "lake", calm)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10, 20))
def test_ten_bad_networks_change_nothing(published: Published, tmp_path: Path, seed: int):
    """The same, with other luck."""
    url, key, calm = published
    disturbed(url, key, tmp_path / "lake", seed)
    check_same(tmp_path / "lake", calm)


# ── killed ──


def start(path: Path, directory: Path, *options: str) -> subprocess.Popen[str]:
    command = [SHIFTLOG, "pull", "--profile", str(path), "--into", str(directory), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"})


def holder(directory: Path) -> str:
    lock = directory / "lake.lock"
    return lock.read_text() if lock.exists() else ""


def killed(path: Path, directory: Path, seed: int, kills: int) -> int:
    """Pull and kill, so often, at random moments after it has begun; then pull to the end. Returns how many kills came in time."""
    chance, in_time = random.Random(seed), 0
    for _ in range(kills):
        process = start(path, directory)
        while process.poll() is None and holder(directory) != str(process.pid):
            time.sleep(0.01)
        time.sleep(chance.random() ** 2 * 1.5)
        in_time += process.poll() is None
        process.kill()
        process.communicate()
    said, wrong = (last := start(path, directory)).communicate(timeout=120)
    assert last.returncode == 0, wrong
    assert "failed" in said
    return in_time


def check_killed(published: Published, tmp_path: Path, seed: int, kills: int) -> None:
    url, key, calm = published
    with proxied(url, Chaos(seed, calm=0.9)) as proxy:
        profile(key, proxy).save(tmp_path / "p.json")
        assert killed(tmp_path / "p.json", tmp_path / "lake", seed, kills) > kills // 2
    check_same(tmp_path / "lake", calm)
    with Client(profile(key, url)) as client:
        assert verify(tmp_path / "lake", client, now=int(time.time() * 1000)).wrong == []


def test_a_pull_that_is_killed_again_and_again_changes_nothing(published: Published, tmp_path: Path):
    """`kill -9` at random moments, over a network that is none of the best."""
    check_killed(published, tmp_path, seed=2, kills=3)


@pytest.mark.soak
def test_a_pull_that_is_killed_fifty_times_changes_nothing(published: Published, tmp_path: Path):
    """The same, at fifty moments, in lakes of which each is killed ten times."""
    for seed in range(5):
        (tmp_path / str(seed)).mkdir()
        check_killed(published, tmp_path / str(seed), seed, kills=10)


@pytest.mark.soak
def test_a_month_of_five_hundred_agents(tmp_path: Path):
    """One pull gets all, a second nothing, after new hours a third just those; and it is proved."""
    house, key = centre(tmp_path / "data", agents=500, days=30, pieces=12)
    with running(house) as url, Client(profile(key, url)) as client:
        now, directory = int(time.time() * 1000), tmp_path / "lake"
        parts = len(all_parts(house))
        first, second = (pulled(client, directory) for _ in range(2))
        assert (first.new, second.new) == (parts, 0)
        more = simulate("A", agents=50, days=1, start=parse("2026-05-01T00:00:00Z"), seed=9)
        land(house, more.events)
        new = publish_at(house, parse("2026-05-04T00:00:00Z"))
        third = pulled(client, directory)
        assert (third.new, third.rewritten) == (len(new), 0)
        report = verify(directory, client, now=now)
    assert report.wrong == []
    house.close()
