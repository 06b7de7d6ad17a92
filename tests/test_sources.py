"""Sources: what each of them knows, and what it reads of what lies there."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from readers import all_parts, lake_of, land, publish_at
from scenes import DAY, HOUR, MINUTE, T0, event, login, logout, sent
from shiftlog.catalog import accounts, schedules
from shiftlog.errors import Invalid, Later, Missing
from shiftlog.house import House
from shiftlog.schedules import Planned
from shiftlog.sources import ROWS, FilesSource, HouseSource, LakeSource, groups

pytestmark = pytest.mark.usefixtures("account")


def published(house: House, *starts: int) -> None:
    """A session of an hour from each start."""
    for start in starts:
        land(house, sent(login(start), event(start + MINUTE, state=2), logout(start + HOUR)))
    publish_at(house, max(starts) + 3 * HOUR)


def read(source: HouseSource | FilesSource | LakeSource, start: int | None = None, end: int | None = None) -> pl.DataFrame:
    found = [rows.collect() for rows in groups(source, start, end, None)]
    assert all(rows.schema == pl.Schema(ROWS) for rows in found)
    return pl.concat(found) if found else pl.DataFrame(schema=ROWS)


def test_a_lake_has_what_the_deployment_published(house: House, tmp_path: Path):
    """But for arrival times and ids of events, which are not published."""
    published(house, T0, T0 + DAY)
    source = LakeSource(lake_of(house, tmp_path / "lake"), None)
    only_here = ["eventId", "receivedAt", "repeats"]
    assert read(source).drop(only_here).equals(read(HouseSource(house, "A")).drop(only_here))
    assert (source.account, source.watermark, source.now(), source.schedule(None, None)) == ("A", T0 + DAY + 2 * HOUR, None, None)


@pytest.mark.parametrize("kind", ["deployment", "lake"])
def test_only_what_may_meet_the_window_is_read(house: House, tmp_path: Path, kind: str):
    """Sessions around it among that, and half-open windows too."""
    published(house, T0, T0 + DAY, T0 + 2 * DAY)
    source = HouseSource(house, "A") if kind == "deployment" else LakeSource(lake_of(house, tmp_path / "lake"), "A")
    inside = T0 + DAY + 30 * MINUTE
    assert read(source, inside, inside + MINUTE)["timestamp"].min() == T0 + DAY
    assert [read(source, start, end).height for start, end in ((inside, None), (None, inside), (T0 + 5 * DAY, None))] == [6, 6, 0]


def test_a_lake_that_changes_meanwhile(house: House, tmp_path: Path):
    """A file that a pull has replaced is not read as nothing."""
    published(house, T0)
    directory = lake_of(house, tmp_path / "lake")
    for file in directory.rglob("*.parquet"):
        file.unlink()
    with pytest.raises(Later, match="a pull has changed the lake"):
        read(LakeSource(directory, "A"))


def test_a_lake_of_another_account(house: House, tmp_path: Path):
    """Or of none."""
    published(house, T0)
    with pytest.raises(Invalid, match="is of account A, not B"):
        LakeSource(lake_of(house, tmp_path / "lake"), "B")
    with pytest.raises(Missing, match="is not a lake"):
        LakeSource(tmp_path, None)


def test_a_deployment_knows_names_and_plans(house: House):
    """Names as they are at an instant, plans as they meet the window; and none is not the same as an empty one."""
    source = HouseSource(house, "A")
    assert source.schedule(None, None) is None
    with house.catalog.write() as conn:
        accounts.name(conn, "A", [("agent", 1, 0, "Ada"), ("agent", 1, T0, "Ada L.")])
        schedules.replace(conn, "A", [Planned(1, T0, T0 + HOUR, 2)], T0, T0 + HOUR)
    assert [source.names(at)["agent", 1] for at in (T0 - 1, T0, None)] == ["Ada", "Ada L.", "Ada L."]
    assert source.schedule(T0 + 30 * MINUTE, None).rows() == [(1, T0, T0 + HOUR, 2)]
    assert source.schedule(T0 + HOUR, None) is None


def test_the_size_of_a_question(house: House):
    """Published events of the window, and where it is live all that is pending."""
    published(house, T0, T0 + DAY)
    land(house, sent(login(T0 + 9 * DAY)))
    source = HouseSource(house, "A")
    assert [source.size(None, None, live=live) for live in (False, True)] == [6, 7]
    assert source.size(T0 + DAY, None, live=False) == 3


def test_files_of_two_accounts_or_of_none(house: House, tmp_path: Path):
    """The account is the first file's; a file without sessions has none."""
    published(house, T0)
    [part] = all_parts(house)
    (tmp_path / "a.gz").write_bytes(house.store.get(part.gz_key))
    (tmp_path / "empty").write_bytes(b"")
    assert FilesSource([tmp_path / "empty", tmp_path / "a.gz"], None).account == "A"
    with pytest.raises(Invalid, match="hold no session; name their account"):
        FilesSource([tmp_path / "empty"], None)
    assert read(FilesSource([tmp_path / "empty"], "A")).is_empty()
