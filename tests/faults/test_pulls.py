"""A pull that is killed at each step: the next one makes the lake that an undisturbed pull makes, byte for byte."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from client.lakes import pulled
from client.servers import lake_files, profile, running
from faults.killed import killed
from faults.table import FILES, NEW_LAKES, OLD_LAKES
from readers import all_parts, land, publish_at
from scenes import DAY
from shiftlog import lake
from shiftlog.catalog import accounts
from shiftlog.catalog import keys as catalog_keys
from shiftlog.client import Client, Profile
from shiftlog.client.verify import verify
from shiftlog.events import SENT
from shiftlog.house import House
from shiftlog.settings import Settings
from shiftlog.simulate import simulate
from test_exactly_once import START, in_batches


class Centre(NamedTuple):
    """The profile of a running server, the lake of an undisturbed pull, and one of before there were revisions."""

    profile: Path
    calm: Path
    old: Path


@pytest.fixture(scope="module")
def centre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Centre]:
    there = tmp_path_factory.mktemp("centre")
    made = Centre(there / "profile.json", there / "calm", there / "old")
    house = House.open(there / "data", create=True, settings=Settings(lead_milliseconds=0, part_events=60))
    with house.catalog.write() as conn:
        accounts.ensure(conn, "A", house.catalog.now(), house.settings)
        key = catalog_keys.create(conn, house.vault, "A", ["read"], house.catalog.now())
    arrivals = simulate("A", agents=12, days=2, start=START, seed=7).arrivals()
    with running(house) as url, Client(profile(key, url)) as client:
        for some in in_batches(arrivals.sample(fraction=1, shuffle=True, seed=1), 2, 7):
            land(house, some.select(SENT.keys()))
            publish_at(house, START + 4 * DAY)
            pulled(client, made.old if not made.old.exists() else made.calm)
        assert len(all_parts(house)) == FILES
        profile(key, url).save(made.profile)
        yield made
    house.close()


def check_undisturbed(centre: Centre, directory: Path) -> None:
    """After one more pull."""
    with Client(Profile.load(centre.profile)) as client:
        assert pulled(client, directory).failed == {}
        assert verify(directory, client, now=time.time_ns() // 1_000_000).wrong == []
    assert lake.read(directory).files == lake.read(centre.calm).files
    assert lake_files(directory) == lake_files(centre.calm)
    assert (directory / lake.CHAIN).read_bytes() == (centre.calm / lake.CHAIN).read_bytes()
    assert list((directory / ".partial").iterdir()) == []
    assert not (directory / f".{lake.SNAPSHOT}").exists()


class Left(NamedTuple):
    """What a killed pull has left: files that the snapshot names, others in their places, whether a snapshot was being written, and
    whether the checkpoint has moved."""

    named: int = 0
    strays: int = 0
    half: bool = False
    moved: bool = False


LEFT = {
    "some files are in their places": Left(strays=10),
    "all files are in their places": Left(strays=FILES),
    "the snapshot is half written": Left(strays=FILES, half=True),
    "the snapshot is written, the checkpoint is not": Left(named=FILES),
    "the checkpoint is half written": Left(named=FILES, half=True),
    "the checkpoint is written": Left(named=FILES, moved=True),
    "a superseded file is written again": Left(named=FILES // 2),
    "superseded files lie beside those in their place": Left(named=FILES, strays=FILES // 2),
}


def left(directory: Path, cursor: int | None) -> Left:
    snapshot = lake.read(directory)
    half = (directory / f".{lake.SNAPSHOT}").exists()
    return Left(len(snapshot.files), len(lake.strays(directory, snapshot)), half, snapshot.cursor != cursor)


@pytest.mark.parametrize("name", NEW_LAKES)
def test_killed_in_a_new_lake(centre: Centre, tmp_path: Path, name: str):
    """What is there then is what the step's name says; the next pull completes it."""
    killed(tmp_path / "lake", NEW_LAKES[name], centre.profile)
    assert left(tmp_path / "lake", None) == LEFT.get(name, Left())
    check_undisturbed(centre, tmp_path / "lake")


@pytest.mark.parametrize("name", OLD_LAKES)
def test_killed_while_revisions_supersede(centre: Centre, tmp_path: Path, name: str):
    """The same in a lake of before."""
    shutil.copytree(centre.old, tmp_path / "lake")
    killed(tmp_path / "lake", OLD_LAKES[name], centre.profile)
    assert left(tmp_path / "lake", lake.read(centre.old).cursor) == LEFT[name]
    check_undisturbed(centre, tmp_path / "lake")
