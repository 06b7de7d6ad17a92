"""Faults, and what comes of them: no acknowledged event is lost or doubled, no broken part is listed, the next start needs no hand.

docs/reliability.md has a table of exactly these (tests/faults/table.py).
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parents[1]))

from client.servers import shiftlog_client
from disks import fill, make_read_only, make_writable, small_disk
from faults.killed import killed
from faults.table import KILLS, OUTCOMES, PAGE, table
from readers import all_parts, at, land, publish_at
from scenes import DAY, HOUR
from shiftlog.catalog import Catalog, accounts
from shiftlog.catalog.keys import NewKey
from shiftlog.client.pull import Options, pull
from shiftlog.errors import Damaged, Later, Unusable
from shiftlog.events import SENT
from shiftlog.house import House
from shiftlog.lease import Worker
from shiftlog.proof import prove
from shiftlog.publish import close
from shiftlog.retention import sweep
from shiftlog.settings import Settings
from shiftlog.simulate import Simulation
from test_exactly_once import START, check_against_truth, in_batches

LATER = START + 4 * DAY


def test_the_page_lists_exactly_these():
    """No fault is claimed that is not tried, and none is tried that is not told."""
    assert table() in PAGE.read_text()
    assert len(re.findall(r"^\| (?!fault|---)", PAGE.read_text().partition("## Faults")[2].partition("\n## ")[0], re.MULTILINE)) == len(
        OUTCOMES
    )


def pieces(day: Simulation) -> list[pl.DataFrame]:
    return in_batches(day.arrivals(), 6, 7)


def finished(house: House, day: Simulation, acknowledged: set[int]) -> None:
    """The next process sends what was not acknowledged, and publishes: the truth, with every file as it was signed."""
    for piece in pieces(day):
        if piece["batch"][0] not in acknowledged:
            land(house, piece.select(SENT.keys()))
    check_published(house, day)


def check_published(house: House, day: Simulation) -> None:
    """Published now, what was accepted is the truth."""
    publish_at(house, LATER)
    check_against_truth(house, day)
    assert prove(house, "A").wrong == []


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("name", KILLS)
def test_killed_at_a_step(house: House, day: Simulation, tmp_path: Path, name: str):
    """Then started again."""
    kill = KILLS[name]
    acks, batches = tmp_path / "acks", tmp_path / "batches.parquet"
    acks.touch()
    pl.concat(pieces(day)).write_parquet(batches)
    if kill[0] == "land":
        killed(house.directory, kill, batches, acks)
        assert 1 < len(acks.read_text().split()) < 6
        return finished(house, day, {int(line) for line in acks.read_text().split()})
    for piece in pieces(day):
        land(house, piece.select(SENT.keys()))
    everything = set(range(6))
    if kill[0] == "publish":
        killed(house.directory, kill, LATER)
        assert prove(house, "A").wrong == []
        return finished(house, day, everything)
    finished(house, day, everything)
    instant = house.catalog.now() + 31 * DAY
    killed(house.directory, kill, instant)
    assert prove(house, "A").wrong == []
    sweep(at(house, instant))
    assert {part.gz_gone is not None for part in all_parts(house)} == {True}
    assert not list(house.within("objects").rglob("*.gz"))
    rows = pl.concat([pl.read_parquet(house.store.source(part.twin_key)) for part in all_parts(house)], how="diagonal_relaxed")
    assert set(rows["eventId"].drop_nulls()) == set(day.events["eventId"])


# ── disks and clocks ──


@pytest.mark.parametrize("what", ["full", "read-only"])
def test_a_disk_that_gives_out(day: Simulation, tmp_path: Path, what: str):
    """In the middle of taking events in."""
    with small_disk(tmp_path / "disk", "16m") as disk:
        house = House.open(disk / "data", create=True, settings=Settings(lead_milliseconds=0))
        with house.catalog.write() as conn:
            accounts.ensure(conn, "A", house.catalog.now(), house.settings)
        land(house, pieces(day)[0].select(SENT.keys()))
        if what == "full":
            fill(disk)
            with pytest.raises(Later):
                land(house, pieces(day)[1].select(SENT.keys()))
            house.close()
        else:
            house.close()
            make_read_only(disk)
            with pytest.raises(Unusable):
                House.open(disk / "data", settings=Settings(lead_milliseconds=0))
        (disk / "filling").unlink() if what == "full" else make_writable(disk)
        again = House.open(disk / "data", settings=Settings(lead_milliseconds=0))
        finished(again, day, {0})
        again.close()


class Jumped(Catalog):
    """A catalog whose clock has jumped by so many ms."""

    def __init__(self, engine: sa.Engine, jump: int) -> None:
        super().__init__(engine)
        self._jump = jump

    def now(self, conn: sa.Connection | None = None) -> int:
        return super().now(conn) + self._jump


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("ahead_first", [True, False])
def test_a_clock_that_jumps(house: House, day: Simulation, ahead_first: bool):
    """Between two runs, by far more than the lead; ahead, or back from there."""
    ahead = replace(house, catalog=Jumped(house.catalog.engine, HOUR))
    first, second = (ahead, house) if ahead_first else (house, ahead)
    arrivals = pieces(day)
    for when, some in ((first, arrivals[:3]), (second, arrivals[3:])):
        for piece in some:
            land(when, piece.select(SENT.keys()))
        with Worker(when) as worker:
            close(worker, "A", now=LATER)
    check_against_truth(ahead, day)
    found = [(part.seq, part.generated) for part in all_parts(ahead)]
    assert found == sorted(found)
    assert [generated for _, generated in found] == sorted(generated for _, generated in found)
    assert prove(ahead, "A").wrong == []


# ── bytes ──


def damage(file: Path, *, torn: bool) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data[: len(data) // 2] if torn else data))


@pytest.mark.parametrize("torn", [False, True])
def test_a_published_file_that_rots(published: House, keys: NewKey, tmp_path: Path, torn: bool):
    """It is never taken for good."""
    part = all_parts(published)[1]
    damage(published.within("objects") / part.gz_key, torn=torn)
    assert [str(part.name) in said for said in prove(published, "A").wrong] == [True]
    with shiftlog_client(published, keys) as client:
        done = pull(client, tmp_path / "lake", Options(), now=published.catalog.now())
    assert list(done.failed) == [str(part.name)]
    assert done.new == len(all_parts(published)) - 1


def test_a_twin_that_rots(published: House):
    """It is named."""
    part = all_parts(published)[1]
    damage(published.within("objects") / part.twin_key, torn=False)
    assert [part.twin_key in said for said in prove(published, "A").wrong] == [True]


def check_stops(house: House, day: Simulation, file: Path, *, torn: bool, acknowledged: set[int]) -> None:
    """An object that rots is named before anything is published of it; put right, publishing goes on."""
    whole, before = file.read_bytes(), all_parts(house)
    damage(file, torn=torn)
    assert [file.name in said for said in prove(house, "A").wrong] == [True]
    with pytest.raises(Damaged, match=re.escape(file.name)):
        publish_at(house, LATER)
    assert all_parts(house) == before
    file.write_bytes(whole)
    finished(house, day, acknowledged)


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("torn", [False, True])
def test_a_landing_object_that_rots(house: House, day: Simulation, torn: bool):
    """Before it was published."""
    for piece in pieces(day):
        land(house, piece.select(SENT.keys()))
    file = sorted((house.within("objects") / "landing").rglob("*.parquet"))[2]
    check_stops(house, day, file, torn=torn, acknowledged=set(range(6)))


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("torn", [False, True])
def test_carried_sessions_that_rot(house: House, day: Simulation, torn: bool):
    """Those that were open when the account was last published."""
    for piece in pieces(day)[:3]:
        land(house, piece.select(SENT.keys()))
    publish_at(house, START + 12 * HOUR)
    [file] = (house.within("objects") / "carry").rglob("*.parquet")
    check_stops(house, day, file, torn=torn, acknowledged=set(range(3)))
