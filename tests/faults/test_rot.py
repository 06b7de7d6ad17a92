"""Bytes that rot where everything is known: the catalog of a deployment, and the snapshot of a lake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from client.lakes import pulled
from client.servers import SHIFTLOG, lake_files, shiftlog_client
from faults.test_faults import finished
from shiftlog import lake
from shiftlog.backup import backup, restore
from shiftlog.catalog import Catalog
from shiftlog.catalog.keys import NewKey
from shiftlog.errors import Damaged, Unusable
from shiftlog.house import House
from shiftlog.simulate import Simulation

_PAGE = 4_096


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("rotten", [bytes(_PAGE), bytes(range(256)) * (_PAGE // 256)])
def test_each_page_of_the_catalog_that_rots_is_named(house: House, tmp_path: Path, rotten: bytes):
    """Wherever it is; the message says what to do."""
    house.catalog.copy(tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    assert len(whole) > 40 * _PAGE
    for start in range(0, len(whole), _PAGE):
        copy = tmp_path / f"{start}.sqlite"
        copy.write_bytes(whole[:start] + rotten + whole[start + _PAGE :])
        with pytest.raises((Damaged, Unusable), match="the last back-up"):
            looked_at(copy)


def looked_at(file: Path) -> None:
    catalog = Catalog.open(str(file), create=False)
    try:
        catalog.check()
    finally:
        catalog.close()


def shiftlog(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SHIFTLOG, *map(str, words)], capture_output=True, text=True)


@pytest.mark.usefixtures("published")
def test_a_catalog_that_rots(house: House, day: Simulation, tmp_path: Path):
    """Every command says so in a line, no back-up is made of it, and the last one goes on."""
    backup(house, tmp_path / "backup")
    house.close()
    file = house.within("catalog.sqlite")
    whole = file.read_bytes()
    file.write_bytes(whole[: 9 * _PAGE] + bytes(len(whole) - 9 * _PAGE))
    for words in (["doctor"], ["verify"], ["publish"], ["report"], ["accounts", "list"], ["backup", tmp_path / "backup"]):
        done = shiftlog(*words, "--data", house.directory)
        assert (done.returncode, "damaged" in done.stdout + done.stderr) == (1, True), (words, done)
        assert not {"Traceback", "unexpected"} & set(done.stderr.replace("(", " ").split()), (words, done)
    restore(tmp_path / "backup", tmp_path / "again")
    again = House.open(tmp_path / "again", settings=house.settings)
    finished(again, day, set(range(6)))
    again.close()


@pytest.mark.usefixtures("published")
def test_a_snapshot_of_a_lake_that_rots(house: House, keys: NewKey, tmp_path: Path):
    """Any bit of it, or its end: it is named, and a new lake has the same files."""
    with shiftlog_client(house, keys) as client:
        pulled(client, tmp_path / "lake")
        file = tmp_path / "lake" / lake.SNAPSHOT
        whole = file.read_bytes()
        rotten = [whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :] for place in range(80, len(whole), 3)]
        for text in [*rotten, whole[:-2], whole[: len(whole) // 2], b""]:
            file.write_bytes(text)
            with pytest.raises(Damaged, match="pull into a new directory"):
                pulled(client, tmp_path / "lake")
        pulled(client, tmp_path / "anew")
    assert lake_files(tmp_path / "anew") == lake_files(tmp_path / "lake")
