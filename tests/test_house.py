"""A deployment in its directory: made once, opened again, and refused with a reason."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from cryptography.fernet import Fernet

from catalog.contract import at_once
from database import Postgresql
from disks import fill, make_read_only, small_disk
from readers import land, publish_at
from scenes import HOUR, T0, login, logout, sent
from shiftlog.catalog import accounts, deployment, keys
from shiftlog.errors import Invalid, Later, Missing, Unusable
from shiftlog.house import House
from shiftlog.landing import Landing
from shiftlog.settings import Settings


def test_a_deployment_is_a_directory(house: House):
    """Store, catalog, key and locks lie in it."""
    found = {path.name for path in house.directory.iterdir()}
    assert found - {"catalog.sqlite-wal", "catalog.sqlite-shm"} == {"objects", "catalog.sqlite", "secret.key", "locks"}


def test_a_deployment_is_opened_again(house: House, account: str):
    """With its accounts, its objects, and secrets that can be read."""
    with house.catalog.write() as conn:
        key = keys.create(conn, house.vault, account, ["read"], T0)
    land(house, sent(login(T0)))
    again = House.open(house.directory)
    with again.catalog.read() as conn:
        assert keys.by_bearer(conn, again.vault, key.bearer).consumer_secret == key.consumer_secret
        assert [found.account for found in accounts.every(conn)] == [account]
    assert [found.key for found in again.store.list()] == [found.key for found in house.store.list()]
    again.close()


def test_a_deployment_is_not_made_by_mistake(tmp_path: Path):
    """A misspelt directory is an error, and is not there afterwards."""
    with pytest.raises(Unusable, match=f"there is no data directory {tmp_path}/data; it comes with the first key: shiftlog keys create"):
        House.open(tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_no_deployment(tmp_path: Path):
    """It has no catalog, and gets nothing."""
    with pytest.raises(Unusable, match="there is no shiftlog catalog at"):
        House.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_directory(tmp_path: Path):
    """The message says what the system says."""
    (tmp_path / "data").touch()
    with pytest.raises(Unusable, match="data cannot be written: File exists"):
        House.open(tmp_path / "data", create=True)


def test_a_deployment_on_a_read_only_disk(tmp_path: Path):
    """One clear error, whatever of it is met first."""
    with small_disk(tmp_path / "disk", "2m") as disk:
        House.open(disk / "data", create=True).close()
        make_read_only(disk)
        with pytest.raises(Unusable, match=r"cannot be (written|opened)"):
            House.open(disk / "data")


def test_a_full_disk_takes_no_events(tmp_path: Path):
    """The sender is told to try later; nothing is half-written; and it goes on when there is space again."""
    with small_disk(tmp_path / "disk", "2m") as disk:
        house = House.open(disk / "data", create=True, settings=Settings())
        with house.catalog.write() as conn:
            accounts.ensure(conn, "A", T0, house.settings)
        fill(disk)
        landing = Landing(house)
        with pytest.raises(Later, match="no space is left"):
            landing.accept("A", sent(login(T0)))
        assert [found.key for found in house.store.list()] == [deployment.OBJECT]
        (disk / "filling").unlink()
        assert landing.accept("A", sent(login(T0))) == 1
        landing.close()
        house.close()


def test_twins_are_scanned_as_one(house: House):
    """Several objects, one frame; a missing one is named."""
    for n in range(3):
        pl.DataFrame({"n": [n]}).write_parquet(house.directory / f"{n}.parquet")
        house.store.put(f"{n}.parquet", (house.directory / f"{n}.parquet").read_bytes())
    assert house.twins(["2.parquet", "0.parquet"]).collect()["n"].to_list() == [2, 0]
    with pytest.raises(Missing, match="the store has no object 9"):
        house.twins(["9.parquet"])


def test_a_store_elsewhere(tmp_path: Path):
    """Objects may lie in another place than the catalog; frames are read from it alike."""
    house = House.open(tmp_path / "data", create=True, store="memory://")
    pl.DataFrame({"n": [1]}).write_parquet(tmp_path / "n.parquet")
    house.store.put("n.parquet", (tmp_path / "n.parquet").read_bytes())
    assert house.twins(["n.parquet"]).collect()["n"].to_list() == [1]
    assert not (tmp_path / "data" / "objects").exists()
    house.close()


# ── catalog and store elsewhere ──


@pytest.fixture
def elsewhere(postgresql: Postgresql, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The URLs of an empty catalog and an empty store, and a secret key in the environment."""
    monkeypatch.setenv("SHIFTLOG_SECRET_KEY", Fernet.generate_key().decode())
    with postgresql.database() as catalog:
        yield {"catalog": catalog, "store": str(tmp_path / "store")}


def test_a_deployment_without_a_directory(elsewhere: dict[str, str]):
    """Two servers that begin at once have one deployment, and each reads what the other wrote."""
    one, other = at_once(*[lambda: House.open(None, create=True, **elsewhere)] * 2)
    with one.catalog.write() as conn:
        accounts.ensure(conn, "A", T0, one.settings)
    land(one, sent(login(T0), logout(T0 + HOUR)))
    [part] = publish_at(other, T0 + 3 * HOUR)
    assert one.store.get(part.gz_key)
    for house in (one, other):
        house.close()


def test_the_environment_says_where(elsewhere: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    """What the options say; the URL's password is not shown."""
    monkeypatch.setenv("SHIFTLOG_CATALOG", elsewhere["catalog"])
    monkeypatch.setenv("SHIFTLOG_STORE", elsewhere["store"])
    house = House.open(None, create=True)
    assert (house.catalog.one_machine, house.directory) == (False, None)
    assert "hunter2" not in f"{house!r}{house.settings!r}{house.catalog.engine!r}"
    house.close()


def test_a_catalog_with_another_store_is_refused(elsewhere: dict[str, str], tmp_path: Path):
    """Whether that is empty or another deployment's; the one it belongs to goes on."""
    house = House.open(None, create=True, **elsewhere)
    with house.catalog.write() as conn:
        accounts.ensure(conn, "A", T0, house.settings)
    House.open(tmp_path / "theirs", create=True).close()
    for store, message in ((tmp_path / "empty", "it has no mark"), (tmp_path / "theirs" / "objects", "do not belong together")):
        with pytest.raises(Unusable, match=message):
            House.open(None, catalog=elsewhere["catalog"], store=str(store))
    House.open(None, **elsewhere).close()
    house.close()


def test_something_has_to_be_in_a_directory(elsewhere: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    """Who leaves it out is told what would have to be elsewhere."""
    for missing in elsewhere:
        with pytest.raises(Invalid, match=r"--data DIR \(or SHIFTLOG_DATA\) is expected"):
            House.open(None, create=True, **{name: url for name, url in elsewhere.items() if name != missing})
    monkeypatch.delenv("SHIFTLOG_SECRET_KEY")
    with pytest.raises(Unusable, match="there is no secret key: set SHIFTLOG_SECRET_KEY"):
        House.open(None, create=True, **elsewhere)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("hunter2", "wrong"), "password authentication failed"),
        (("/test_", "/missing_"), "does not exist"),
        (("127.0.0.1:", "127.0.0.1:1"), "cannot be opened"),
        (("postgresql+psycopg", "mysql"), "postgresql\\+psycopg://… is expected"),
    ],
)
def test_a_catalog_that_cannot_be_reached(elsewhere: dict[str, str], change: tuple[str, str], said: str):
    """One line that says why, without the password."""
    url = elsewhere["catalog"].replace(*change)
    with pytest.raises(Unusable, match=said) as refused:
        House.open(None, create=True, catalog=url, store=elsewhere["store"])
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_another_secret_key_is_refused(elsewhere: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Before anything is encrypted with it; one that is missing is not made a second time."""
    House.open(None, create=True, **elsewhere).close()
    monkeypatch.setenv("SHIFTLOG_SECRET_KEY", Fernet.generate_key().decode())
    with pytest.raises(Unusable, match="was encrypted with another key; give back the key"):
        House.open(None, **elsewhere)
    monkeypatch.delenv("SHIFTLOG_SECRET_KEY")
    with pytest.raises(Unusable, match=r"there is no secret key at .*/two/secret\.key: copy the one"):
        House.open(tmp_path / "two", create=True, **elsewhere)
    assert list((tmp_path / "two").iterdir()) == []


def test_the_secret_key_can_be_a_file_elsewhere(elsewhere: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As orchestrators hand secrets out; the variable comes before it."""
    House.open(None, create=True, **elsewhere).close()
    (tmp_path / "handed").write_text(os.environ["SHIFTLOG_SECRET_KEY"] + "\n")
    monkeypatch.delenv("SHIFTLOG_SECRET_KEY")
    monkeypatch.setenv("SHIFTLOG_SECRET_KEY_FILE", str(tmp_path / "handed"))
    House.open(None, **elsewhere).close()


def test_a_key_file_is_made_once(tmp_path: Path):
    """A directory that has lost its own is told so, instead of getting one that opens nothing."""
    House.open(tmp_path / "data", create=True).close()
    kept = (tmp_path / "data" / "secret.key").read_bytes()
    (tmp_path / "data" / "secret.key").unlink()
    with pytest.raises(Unusable, match="there is no secret key at"):
        House.open(tmp_path / "data")
    (tmp_path / "data" / "secret.key").write_bytes(kept)
    House.open(tmp_path / "data").close()
