"""A back-up is whole or not there, costs only what is new, and what comes back from it goes on as if nothing had happened."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from client.servers import SHIFTLOG
from disks import fill, make_read_only, small_disk
from readers import all_parts, every_row, land, publish_at, standing
from scenes import DAY, HOUR, T0, login, logout, sent
from shiftlog import backup as backups
from shiftlog.backup import backup, restore, snapshots, verify
from shiftlog.catalog import sweeping
from shiftlog.errors import Damaged, Invalid, Later, Missing, Taken, Unusable
from shiftlog.events import SENT
from shiftlog.house import House
from shiftlog.proof import prove
from shiftlog.retention import sweep
from shiftlog.settings import Settings
from shiftlog.simulate import simulate
from test_exactly_once import START, check_against_truth, in_batches, start
from test_retention import at

pytestmark = pytest.mark.usefixtures("account")


def one_hour(house: House, hour: int) -> None:
    begin = T0 - 9 * DAY + hour * HOUR
    land(house, sent(login(begin), logout(begin + 1)))
    publish_at(house, begin + 2 * HOUR)


@pytest.fixture
def to(house: House, tmp_path: Path) -> Path:
    """Where the back-up of three hours goes."""
    for hour in range(3):
        one_hour(house, hour)
    return tmp_path / "to"


def reopened(directory: Path) -> House:
    return House.open(directory, settings=Settings(lead_milliseconds=0))


def test_what_comes_back_is_what_was_there(house: House, to: Path, tmp_path: Path):
    """Every part with the same bytes, name and time, proved; and the numbering goes on."""
    backup(house, to)
    restore(to, tmp_path / "back")
    back = reopened(tmp_path / "back")
    assert all_parts(back) == all_parts(house)
    assert every_row(back).equals(every_row(house))
    proof = prove(back, "A")
    assert (proof.parts, proof.wrong, proof.remarks) == (3, [], [])
    one_hour(back, 2)  # sent again
    assert len(all_parts(back)) == 3
    one_hour(back, 3)
    assert [part.seq for part in all_parts(back)] == [1, 2, 3, 4]
    back.close()


def test_only_what_is_new_is_copied(house: House, to: Path):
    """And what is not named any more goes with the last snapshot that names it."""
    first = backup(house, to)
    assert first.copied == first.objects > 6
    again = backup(house, to)
    assert (again.copied, again.copied_bytes, again.objects) == (0, 0, first.objects)
    one_hour(house, 3)
    assert backup(house, to).copied == 3  # its landing object, file and twin
    assert len(snapshots(to)) == 3
    sweep(at(house, house.catalog.now() + 600 * DAY))
    backup(house, to, keep=1)
    assert len(snapshots(to)) == 1
    left = {str(path.relative_to(to / "objects")) for path in (to / "objects").rglob("*") if path.is_file()}
    with house.catalog.read() as conn:
        assert left == sweeping.named_objects(conn)


def test_it_is_as_secret_as_the_deployment(house: House, to: Path):
    """The secret key is in it: nobody else may look."""
    done = backup(house, to)
    assert done.secret_key
    inner = to / "snapshots" / done.snapshot
    assert [oct(path.stat().st_mode & 0o777) for path in (to, to / "objects", inner)] == ["0o700"] * 3
    assert {oct(path.stat().st_mode & 0o777) for path in inner.iterdir()} == {"0o600"}
    assert (inner / "secret.key").read_bytes() == house.within("secret.key").read_bytes()


def test_it_can_be_checked_without_shiftlog(house: House, to: Path):
    """By what every system has."""
    name = backup(house, to).snapshot
    check = ["sha256sum", "--check", "--quiet", f"snapshots/{name}/SHA256SUMS"]
    assert subprocess.run(check, cwd=to, capture_output=True).returncode == 0
    assert verify(to).wrong == []


# ── at work ──


@pytest.mark.parametrize("hours", [6])
def test_a_deployment_at_work(house: House, tmp_path: Path, hours: int):
    """While another process takes in and publishes, snapshots are made; from the last, all that was acknowledged before it comes back, and
    when all is sent again, every event is published once."""
    simulation = simulate("A", agents=30, days=2, start=START, seed=4, late=0.02, repeat=0.02)
    batches, acks = tmp_path / "batches.parquet", tmp_path / "acks"
    pieces = in_batches(simulation.arrivals(), 200, 4)
    pl.concat(pieces).write_parquet(batches)
    acks.touch()
    process = start("work", house.directory, "A", batches, acks, hours)
    before: set[int] = set()
    made = 0
    try:
        while process.poll() is None and len(before) < 150:
            before = {int(line) for line in acks.read_text().split()}
            backup(house, tmp_path / "to", keep=2)
            made += 1
    finally:
        process.kill()
        process.communicate()
    assert made > 2
    assert before
    assert verify(tmp_path / "to").wrong == []
    restore(tmp_path / "to", tmp_path / "back")
    back = reopened(tmp_path / "back")
    publish_at(back, START + 10 * DAY)
    acknowledged = set(pl.concat([piece for piece in pieces if piece["batch"][0] in before])["eventId"])
    rows = standing(every_row(back, suffix="parquet"))
    assert rows["eventId"].n_unique() == rows.height
    assert acknowledged <= set(rows["eventId"])
    for piece in pieces:
        land(back, piece.select(SENT.keys()))
    publish_at(back, START + 20 * DAY)
    check_against_truth(back, simulation)
    back.close()


def test_what_is_deleted_meanwhile(house: House, to: Path):
    """Rightly, by a sweep, before it could be copied: the snapshot is one of afterwards."""
    swept = []

    def once(_: int) -> None:
        if not swept:
            swept.append(sweep(at(house, house.catalog.now() + 31 * DAY)))

    backup(house, to, on_bytes=once)
    assert swept[0].files == 3
    assert verify(to).wrong == []
    assert len(snapshots(to)) == 1
    assert not list((to / "objects").rglob("*.gz"))
    assert len(list((to / "snapshots").iterdir())) == 1


KILLED = """
import sys
from pathlib import Path
from shiftlog.backup import backup
from shiftlog.house import House
done = 0
def on_bytes(_):
    global done
    done += 1
    if done == int(sys.argv[3]):
        print("there", flush=True)
        sys.stdin.read()
backup(House.open(Path(sys.argv[1])), Path(sys.argv[2]), on_bytes=on_bytes)
"""


@pytest.mark.parametrize("objects", [1, 5])
def test_killed_in_the_middle(house: House, to: Path, tmp_path: Path, objects: int):
    """The snapshot before stays good, none is half there, and the next one finishes and clears up."""
    first = backup(house, to).snapshot
    for hour in range(3, 6):
        one_hour(house, hour)
    command = [sys.executable, "-c", KILLED, str(house.directory), str(to), str(objects)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    process.kill()
    process.communicate()
    assert snapshots(to) == [first]
    assert verify(to).wrong == []
    second = backup(house, to).snapshot
    assert snapshots(to) == [first, second] == sorted(path.name for path in (to / "snapshots").iterdir())
    restore(to, tmp_path / "back")
    back = reopened(tmp_path / "back")
    assert all_parts(back) == all_parts(house)
    back.close()


def test_torn_leftovers_are_written_anew(house: House, to: Path):
    """What a fall of the machine left half written in the back-up is not taken for the object."""
    one = to / "objects" / all_parts(house)[0].gz_key
    one.parent.mkdir(parents=True)
    (to / "snapshots").mkdir()
    one.write_bytes(b"torn")
    backup(house, to)
    assert verify(to).wrong == []


# ── what is refused ──


def flipped(file: Path) -> Path:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    return file


@pytest.mark.parametrize("which", ["object", "catalog", "key", "gone", "sums"])
def test_a_damaged_back_up_is_refused(house: House, to: Path, tmp_path: Path, which: str):
    """By name, and no deployment comes of it."""
    name = backup(house, to).snapshot
    inner, part = to / "snapshots" / name, to / "objects" / all_parts(house)[1].gz_key
    file = {"object": part, "gone": part, "catalog": inner / "catalog.sqlite", "key": inner / "secret.key", "sums": inner / "SHA256SUMS"}[
        which
    ]
    if which == "gone":
        file.unlink()
    else:
        flipped(file)
    with pytest.raises(Damaged) as refused:
        restore(to, tmp_path / "back")
    if which == "sums":
        assert str(to) in str(refused.value)
    else:
        assert str(file) in str(refused.value)
        assert [str(file) in said for said in verify(to).wrong] == [True]
    with pytest.raises(Unusable):
        reopened(tmp_path / "back")


def test_a_stopped_restore_is_finished(house: House, to: Path, tmp_path: Path):
    """A damaged file stops it; once that is mended, it goes on in the directory where it stopped."""
    backup(house, to)
    file = to / "objects" / all_parts(house)[1].gz_key
    data = file.read_bytes()
    file.write_bytes(data[:-1])
    with pytest.raises(Damaged):
        restore(to, tmp_path / "back")
    file.write_bytes(data)
    restore(to, tmp_path / "back")
    back = reopened(tmp_path / "back")
    assert prove(back, "A").wrong == []
    back.close()
    with pytest.raises(Unusable, match="not empty"):
        restore(to, tmp_path / "back")


def test_a_damaged_deployment_is_not_backed_up(house: House, to: Path):
    """A part that has rotted is named; the snapshots before it stay."""
    first = backup(house, to).snapshot
    one_hour(house, 3)
    file = flipped(house.within("objects") / all_parts(house)[3].gz_key)
    with pytest.raises(Damaged, match=re.escape(str(file))):
        backup(house, to)
    file.unlink()
    with pytest.raises(Damaged, match=re.escape(all_parts(house)[3].gz_key)):
        backup(house, to)
    assert snapshots(to) == [first]
    assert verify(to).wrong == []


def test_places_that_are_refused(house: House, to: Path, tmp_path: Path):
    """Others' directories, the data directory itself, another deployment's back-up, and one that is being made."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(Unusable, match="no back-up"):
        backup(house, other)
    with pytest.raises(Invalid, match="itself"):
        backup(house, house.within("backup"))
    with pytest.raises(Missing):
        restore(other, tmp_path / "back")
    backup(house, to)
    with pytest.raises(Unusable, match="not empty"):
        restore(to, other)
    with pytest.raises(Missing, match="20200101"):
        restore(to, tmp_path / "back", snapshot="20200101T000000.000Z")
    stranger = House.open(tmp_path / "stranger", create=True, settings=Settings())
    with pytest.raises(Unusable, match="is the back-up of deployment"):
        backup(stranger, to)
    elsewhere = replace(house, directory=tmp_path)
    with pytest.raises(Invalid, match="one data directory"):
        backup(elsewhere, tmp_path / "to2")
    with backups._locked(to, backups._mark(house)), pytest.raises(Taken):
        backup(house, to)
    stranger.close()


def test_a_full_disk(house: House, to: Path):
    """Says so and keeps the snapshots that are there; with room again it goes on."""
    with small_disk(to.parent / "disk", "4m") as disk:
        to = disk / "to"
        first = backup(house, to).snapshot
        one_hour(house, 3)
        fill(disk)
        with pytest.raises((Later, Unusable), match=r"space|full"):
            backup(house, to)
        assert snapshots(to) == [first]
        (disk / "filling").unlink()
        backup(house, to)
        assert verify(to).wrong == []
        assert len(snapshots(to)) == 2
        make_read_only(disk)
        with pytest.raises((Later, Unusable)):
            backup(house, to)
        assert verify(to).wrong == []


def test_by_command(house: House, to: Path, tmp_path: Path):
    """What is printed, and how the commands end."""

    def shiftlog(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([SHIFTLOG, *map(str, words)], capture_output=True, text=True)

    done = shiftlog("backup", to, "--data", house.directory, "--format", "json")
    assert (done.returncode, '"secret_key":true' in done.stdout) == (0, True)
    assert shiftlog("backup", to, "--verify").returncode == 0
    assert shiftlog("restore", to, "--data", tmp_path / "back").returncode == 0
    flipped(to / "objects" / all_parts(house)[1].gz_key)
    checked = shiftlog("backup", to, "--verify")
    assert (checked.returncode, all_parts(house)[1].gz_key in checked.stderr) == (1, True)
    assert shiftlog("restore", to, "--data", tmp_path / "again").returncode == 1
    assert shiftlog("verify", "--data", tmp_path / "back").returncode == 0
