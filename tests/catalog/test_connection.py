"""Opening a catalog, and its two kinds of transactions."""

from __future__ import annotations

import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from cable import COMMIT, cable
from catalog.contract import CatalogContract, OnPostgresql, OnSqlite, at_once, contents, make_account
from database import Postgresql
from disks import fill, make_read_only, small_disk
from shiftlog.catalog import Catalog, accounts, tables
from shiftlog.errors import Later, Overtaken, Unusable
from shiftlog.settings import Settings


def count(conn: sa.Connection) -> int:
    return len(accounts.every(conn))


def cut_off(postgresql: Postgresql, conn: sa.Connection) -> None:
    count(conn)
    postgresql.restart()
    count(conn)


class ConnectionContract(CatalogContract):
    """Transactions and the clock."""

    def test_what_was_written_is_there_when_it_is_opened_again(self, catalog: Catalog, account: str, open_catalog: Callable[[], Catalog]):
        """By another process, say."""
        assert contents(open_catalog()) == contents(catalog)

    def test_a_transaction_that_fails_leaves_nothing(self, catalog: Catalog, account: str):
        """All of it or none."""
        before = contents(catalog)

        def fail() -> None:
            with catalog.write() as conn:
                accounts.update(conn, account, {"retention_days": 1})
                raise LookupError

        with pytest.raises(LookupError):
            fail()
        assert contents(catalog) == before

    def test_what_is_not_committed_is_not_seen(self, catalog: Catalog, account: str):
        """Readers do not wait for a writer, and see the state before it."""
        with catalog.write() as writing:
            accounts.update(writing, account, {"retention_days": 1})
            with catalog.read() as reading:
                assert accounts.get(reading, account).retention_days == 30

    def test_writers_do_not_lose_each_others_changes(self, catalog: Catalog, account: str):
        """Each sees what the one before has written, whether it has the same opened catalog or not."""

        def add() -> None:
            for _ in range(10):
                with catalog.write() as conn:
                    row = sa.select(tables.accounts.c.repeats).where(tables.accounts.c.account == account).with_for_update()
                    conn.execute(sa.update(tables.accounts).values(repeats=conn.scalar(row) + 1))

        at_once(*[add] * 4)
        with catalog.read() as conn:
            assert conn.scalar(sa.select(tables.accounts.c.repeats)) == 40

    def test_the_clock_is_in_milliseconds(self, catalog: Catalog):
        """Of the epoch."""
        assert abs(catalog.now() - time.time() * 1000) < 60_000
        with catalog.read() as conn:
            assert abs(catalog.now(conn) - catalog.now()) < 60_000

    def test_a_read_sees_one_state(self, catalog: Catalog, account: str):
        """From its first look to its end, whatever is written meanwhile."""
        with catalog.read() as conn:
            assert count(conn) == 1
            make_account(catalog, "B")
            assert count(conn) == 1

    def test_what_was_committed_before_a_read_is_seen_by_it(self, catalog: Catalog, account: str):
        """And what it does not see gets a time that is not before its clock, however late it looks there."""
        with catalog.read() as conn:
            count(conn)
            with catalog.write() as writing:
                stamped = catalog.now(writing)
            assert catalog.now(conn) <= stamped or catalog.one_machine
        with catalog.read() as conn:
            assert catalog.now(conn) >= stamped

    def test_what_persists_is_written(self, catalog: Catalog, account: str):
        """Once, and its result comes back; what fails by itself is not tried again."""
        attempts: list[bool] = []

        def attempt(conn: sa.Connection, *, again: bool) -> int:
            attempts.append(again)
            return accounts.update(conn, account, {"retention_days": 3}).retention_days

        def fail(conn: sa.Connection, *, again: bool) -> None:
            attempts.append(again)
            accounts.update(conn, account, {"retention_days": 4})
            raise Overtaken("by another")

        assert catalog.persist(attempt) == 3
        with pytest.raises(Overtaken):
            catalog.persist(fail)
        assert attempts == [False, False]
        with catalog.read() as conn:
            assert accounts.get(conn, account).retention_days == 3


class TestConnectionOnPostgresql(OnPostgresql, ConnectionContract):
    """On PostgreSQL, and what is true of a server alone: it may go away."""

    def test_a_read_changes_nothing(self, catalog: Catalog, account: str):
        """The database itself sees to it."""
        with pytest.raises(Later, match="read-only"), catalog.read() as conn:
            accounts.update(conn, account, {"retention_days": 3})

    def test_it_is_durable_whatever_the_server_prefers(self, postgresql: Postgresql):
        """One that does not wait for its disk is told to; one that waits for more goes on to do so."""
        with postgresql.database() as url:
            for preferred, expected in (("off", "on"), ("remote_apply", "remote_apply")):
                postgresql.run(f"ALTER DATABASE {url.rpartition('/')[2]} SET synchronous_commit = {preferred}")
                catalog = Catalog.open(url)
                with catalog.write() as conn:
                    assert conn.scalar(sa.text("SHOW synchronous_commit")) == expected
                catalog.close()

    def test_a_server_that_restarts_is_waited_for(self, postgresql: Postgresql):
        """By what persists; all else is told to come again, and finds the server there when it does."""
        with postgresql.database() as url:
            catalog = Catalog.open(url, patience=30)
            make_account(catalog, "A")
            with pytest.raises(Later, match="the catalog does not answer"), catalog.read() as conn:
                cut_off(postgresql, conn)
            postgresql.stop()
            with pytest.raises(Later, match="the catalog does not answer"), catalog.read() as conn:
                count(conn)
            late = threading.Timer(0.3, postgresql.start_again)
            late.start()
            catalog.persist(lambda conn, *, again: accounts.ensure(conn, "B", 0, Settings()))
            late.join()
            with catalog.read() as conn:
                assert count(conn) == 2
            catalog.close()

    def test_nobody_waits_for_ever(self, postgresql: Postgresql):
        """Only the first waits; who comes in the same silence is told at once. Where there is an answer again, patience is new."""
        with postgresql.database() as url:
            catalog = Catalog.open(url, patience=0.3)
            postgresql.stop()
            for _ in range(2):
                with pytest.raises(Later, match="the catalog does not answer") as told:
                    catalog.persist(lambda conn, *, again: None)
                assert "not known" not in str(told.value)
            assert catalog._gives_up()
            postgresql.start_again()
            catalog.persist(lambda conn, *, again: conn.scalar(sa.select(1)))
            assert not catalog._gives_up()
            catalog.close()

    @pytest.mark.parametrize("arrives", [True, False])
    def test_a_commit_whose_answer_is_lost(self, postgresql: Postgresql, arrives: bool):
        """It is tried again, by one who knows that it may be there already, and finds out."""
        with postgresql.database() as url, cable(url) as (line, through):
            catalog, told = Catalog.open(through, patience=30), []
            make_account(catalog, "A")

            def add(conn: sa.Connection, *, again: bool) -> None:
                accounts.lock(conn, "A")
                told.append((again, "B" in [found.account for found in accounts.every(conn)]))
                accounts.ensure(conn, "B", 0, Settings())

            line.cut_at(COMMIT, arrives=arrives)
            catalog.persist(add)
            assert told == [(False, False), (True, arrives)]
            assert line.cut == 1
            catalog.close()

    def test_it_says_where_it_does_not_know(self, postgresql: Postgresql):
        """Whether something was done, when it cannot find out."""
        with postgresql.database() as url, cable(url) as (line, through):
            catalog = Catalog.open(through)
            line.cut_at(COMMIT, arrives=True)
            with pytest.raises(Later, match="it is not known whether this was done"):
                catalog.persist(lambda conn, *, again: accounts.ensure(conn, "B", 0, Settings()))
            catalog.close()

    def test_more_threads_than_connections(self, postgresql: Postgresql):
        """They take turns."""
        with postgresql.database() as url:
            catalog = Catalog.open(url, connections=4)
            at_once(*[lambda n=n: make_account(catalog, f"a{n}") for n in range(20)])
            with catalog.read() as conn:
                assert count(conn) == 20
            catalog.close()

    def test_what_a_url_says_holds(self, postgresql: Postgresql):
        """Before what is usual here."""
        with postgresql.database() as url:
            catalog = Catalog.open(f"{url}?application_name=mine")
            with catalog.read() as conn:
                assert conn.scalar(sa.text("SHOW application_name")) == "mine"
                assert conn.scalar(sa.text("SHOW lock_timeout")) == "30s"
            catalog.close()


class TestConnectionOnSqlite(OnSqlite, ConnectionContract):
    """On SQLite, and what is true of a file alone."""

    def test_writers_of_two_openings_wait_for_each_other(self, open_catalog: Callable[[], Catalog]):
        """As two processes do."""
        catalogs = [open_catalog() for _ in range(3)]
        at_once(*[lambda c=c, i=i: [make_account(c, f"{i}_{n}") for n in range(8)] for i, c in enumerate(catalogs)])
        with catalogs[0].read() as conn:
            assert count(conn) == 24

    def test_a_commit_is_durable(self, catalog: Catalog):
        """Each one is synced to disk, in a journal mode that this SQLite is safe in."""
        with catalog.read() as conn:
            assert conn.exec_driver_sql("PRAGMA synchronous").scalar() == 2
            assert conn.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            version = conn.exec_driver_sql("SELECT sqlite_version()").scalar()
        assert tuple(map(int, version.split("."))) >= (3, 51, 3)

    def test_it_has_one_machine(self, catalog: Catalog):
        """So the clock of all its processes is one, and locks tell who is alive."""
        assert catalog.one_machine

    def test_a_sqlite_url_is_its_file(self, catalog: Catalog, account: str, tmp_path: Path):
        """The same catalog by its URL."""
        other = Catalog.open(f"sqlite:///{tmp_path}/catalog.sqlite", create=False)
        assert contents(other) == contents(catalog)
        other.close()


# ── catalogs that cannot be opened ──


def refusal(url: str | Path, **options: bool) -> str:
    with pytest.raises(Unusable) as refused:
        Catalog.open(str(url), **options)
    return str(refused.value)


def test_a_catalog_that_is_not_there(tmp_path: Path):
    """Unless it shall be made, the message says how to; nothing is made."""
    assert f"shiftlog keys create --data {tmp_path}" in refusal(tmp_path / "catalog.sqlite", create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_a_file(tmp_path: Path):
    """A directory, one that is missing, or a file in its way."""
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "missing" / "c", tmp_path / "file" / "c"):
        assert f"the catalog {path} cannot be opened: unable to open database file" in refusal(path)


def test_a_file_that_is_no_database(tmp_path: Path):
    """It is not overwritten."""
    file = tmp_path / "notes.txt"
    file.write_text("not a database\n" * 100)
    assert f"{file} is not a shiftlog catalog: file is not a database" in refusal(file)
    assert file.read_text() == "not a database\n" * 100


def test_a_catalog_on_a_read_only_disk(tmp_path: Path):
    """An operator has to act before anything works."""
    with small_disk(tmp_path / "disk", "1m") as disk:
        Catalog.open(str(disk / "c")).close()
        make_read_only(disk)
        assert f"the catalog {disk}/c cannot be opened" in refusal(disk / "c")


def test_a_catalog_on_a_full_disk(tmp_path: Path):
    """It says to try later, nothing is half-written, and it goes on when there is space again."""
    with small_disk(tmp_path / "disk", "1m") as disk:
        catalog = Catalog.open(str(disk / "c"))
        make_account(catalog, "A")
        before = contents(catalog)
        fill(disk)
        with pytest.raises(Later, match="the catalog does not answer: database or disk is full"):
            name_agents(catalog, 10_000)
        assert contents(catalog) == before
        (disk / "filling").unlink()
        assert name_agents(catalog, 10) == 10
        catalog.close()


def name_agents(catalog: Catalog, number: int) -> int:
    with catalog.write() as conn:
        return accounts.name(conn, "A", [("agent", n, 0, f"Agent {n}") for n in range(number)])


def test_a_database_server_without_its_driver(monkeypatch: pytest.MonkeyPatch):
    """The message names the extra, and does not show the password."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    message = refusal("postgresql+psycopg://user:hunter2@localhost/shiftlog")
    assert "pip install 'shiftlog[postgresql]'" in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    "url", ["nonsense://user:hunter2@host/x", "://user:hunter2", "postgresql+nodriver://user:hunter2@localhost/shiftlog"]
)
def test_a_url_of_no_database(url: str):
    """It says what is expected, without the password."""
    message = refusal(url)
    assert "a file's path or postgresql+psycopg://… is expected" in message
    assert "hunter2" not in message


def test_an_empty_file_is_an_empty_catalog(tmp_path: Path):
    """As SQLite itself sees it."""
    (tmp_path / "c").touch()
    catalog = Catalog.open(str(tmp_path / "c"))
    make_account(catalog, "A")
    catalog.close()
    with sqlite3.connect(tmp_path / "c") as plain:
        assert plain.execute("SELECT account FROM accounts").fetchall() == [("A",)]
