"""What all catalog tests begin with: an empty catalog with one account, on the back-end that the class inherits from."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet

from database import Postgresql
from shiftlog.catalog import Catalog, accounts, tables
from shiftlog.catalog.vault import Vault
from shiftlog.names import PartName
from shiftlog.settings import Settings

NOW = 1_790_000_000_000
HOUR = 3_600_000
VAULT = Vault(Fernet.generate_key())


class CatalogContract:
    """The scene. A back-end says how its empty catalog is opened, and opened again."""

    @pytest.fixture
    def open_catalog(self) -> Callable[[], Catalog]:
        """Opens the catalog of this test, which is empty at first; again and again, if need be."""
        raise NotImplementedError

    @pytest.fixture
    def nothing(self) -> str:
        """The URL of a catalog that is not there yet."""
        raise NotImplementedError

    @pytest.fixture
    def catalog(self, open_catalog: Callable[[], Catalog]) -> Catalog:
        return open_catalog()

    @pytest.fixture
    def account(self, catalog: Catalog) -> str:
        return make_account(catalog, "A")


class OnSqlite:
    """The catalog in a file."""

    @pytest.fixture
    def open_catalog(self, tmp_path: Path) -> Iterator[Callable[[], Catalog]]:
        opened: list[Catalog] = []

        def open_() -> Catalog:
            opened.append(Catalog.open(str(tmp_path / "catalog.sqlite")))
            return opened[-1]

        yield open_
        for catalog in opened:
            catalog.close()

    @pytest.fixture
    def nothing(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/new.sqlite"


class OnPostgresql:
    """The catalog in a database of its own, of a PostgreSQL that all tests of the process share."""

    @pytest.fixture
    def open_catalog(self, postgresql: Postgresql) -> Iterator[Callable[[], Catalog]]:
        opened: list[Catalog] = []
        with postgresql.database() as url:

            def open_() -> Catalog:
                opened.append(Catalog.open(url))
                return opened[-1]

            yield open_
            for catalog in opened:
                catalog.close()

    @pytest.fixture
    def nothing(self, postgresql: Postgresql) -> Iterator[str]:
        with postgresql.database(template="template0") as url:
            yield url


def make_account(catalog: Catalog, name: str) -> str:
    with catalog.write() as conn:
        accounts.ensure(conn, name, NOW, Settings())
    return name


def part_row(account: str, seq: int, generated: int, **changes: Any) -> dict[str, Any]:
    """A row of `tables.parts`; its scope is the hour numbered `seq` unless said otherwise."""
    scope = changes.get("scope_start", seq * HOUR)
    name = PartName(scope, scope + HOUR, changes.get("part", 0), changes.get("revision", 0))
    row = {
        "account": account,
        "seq": seq,
        "scope_start": scope,
        "scope_end": scope + HOUR,
        "part": name.part,
        "revision": name.revision,
        "generated": generated,
        "schema_version": "1.0.0.4",
        "gz_key": f"{account}/{name}.gz",
        "gz_bytes": 10,
        "gz_sha256": "0" * 64,
        "twin_key": f"{account}/{name}.parquet",
        "twin_bytes": 20,
        "twin_sha256": "1" * 64,
        "sessions": 1,
        "withdrawals": 0,
        "events": 3,
        "min_timestamp": scope,
        "max_timestamp": scope + HOUR - 1,
        "gz_gone": None,
        "twin_gone": None,
        "link": "2" * 64,
        "removed_reason": None,
        "removed_by": None,
        "removed_signature": None,
    }
    return row | changes


def insert_parts(catalog: Catalog, rows: list[dict[str, Any]]) -> None:
    with catalog.write() as conn:
        conn.execute(sa.insert(tables.parts), rows)


def contents(catalog: Catalog, *without: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table but those in `without`."""
    with catalog.read() as conn:
        wanted = [table for table in tables.metadata.sorted_tables if table.name not in without]
        return {table.name: sorted(map(tuple, conn.execute(sa.select(table))), key=repr) for table in wanted}


def at_once(*tasks: Callable[[], Any]) -> list[Any]:
    """The results of tasks that threads begin together; an error of one is raised."""
    results: list[Any] = [None] * len(tasks)
    start = threading.Barrier(len(tasks))

    def run(i: int) -> None:
        start.wait()
        try:
            results[i] = tasks[i]()
        except Exception as error:  # raised below, in the test's own thread
            results[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(tasks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results
