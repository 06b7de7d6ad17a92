"""Tables and their versions: made as they are described, brought up to date, and never touched if they are not ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from catalog.contract import CatalogContract, OnPostgresql, OnSqlite, at_once, contents
from shiftlog.catalog import Catalog, migrate, tables
from shiftlog.errors import Unusable


class MigrateContract(CatalogContract):
    """What migrations make."""

    def test_migrations_make_the_tables_that_are_described(self, catalog: Catalog):
        """Column for column, index for index: Alembic finds nothing to change."""
        with catalog.engine.connect() as conn:
            context = MigrationContext.configure(conn, opts={"compare_type": True, "compare_server_default": True})
            assert compare_metadata(context, tables.metadata) == []

    def test_migrations_make_what_the_metadata_makes(self, catalog: Catalog):
        """Also keys and constraints, which the comparison above does not look at."""
        metadata, made = sa.MetaData(), sa.MetaData()
        metadata.reflect(catalog.engine)
        other = sa.create_engine("sqlite://")
        tables.metadata.create_all(other)
        made.reflect(other)
        for table in made.sorted_tables:
            found = metadata.tables[table.name]
            assert [column.name for column in found.primary_key] == [column.name for column in table.primary_key], table.name
            assert [column.name for column in found.columns] == [column.name for column in table.columns], table.name
            uniques = [sorted(tuple(c.columns.keys()) for c in t.constraints if isinstance(c, sa.UniqueConstraint)) for t in (found, table)]
            assert uniques[0] == uniques[1], table.name

    def test_a_new_catalog_has_the_last_version(self, catalog: Catalog):
        """And it is the one that the scripts end with."""
        assert migrate.version(catalog.engine) == migrate.HEAD == scripts().get_current_head()

    def test_upgrading_again_changes_nothing(self, catalog: Catalog, account: str):
        """What is there stays."""
        before = contents(catalog)
        migrate.upgrade(catalog.engine)
        assert contents(catalog) == before

    def test_a_new_catalog_is_made_once(self, nothing: str):
        """When several open it at once, as two processes do at the first start."""
        opened = at_once(*[lambda: Catalog.open(nothing)] * 4)
        assert {migrate.version(catalog.engine) for catalog in opened} == {migrate.HEAD}
        for catalog in opened:
            catalog.close()

    def test_a_catalog_is_not_made_by_mistake(self, nothing: str):
        """Who only wants to look is told that there is none."""
        with pytest.raises(Unusable, match=r"there is no shiftlog catalog .* shiftlog keys create"):
            Catalog.open(nothing, create=False)
        catalog = Catalog.open(nothing)
        assert not any(contents(catalog).values())
        catalog.close()

    def test_rows_of_every_version_stay(self, nothing: str):
        """A row in each table, from the version on that brought the table, is the same after the last."""
        engine = sa.create_engine(nothing)
        written: dict[str, dict[str, Any]] = {}
        for script in reversed([*scripts().walk_revisions()]):
            upgrade(engine, script.revision)
            written |= fill(engine, without=written)
        found = sa.MetaData()
        found.reflect(engine)
        with engine.connect() as conn:
            for name, row in written.items():
                [kept] = conn.execute(sa.select(found.tables[name])).mappings()
                assert {column: kept[column] for column in row} == row, name
        assert {*tables.metadata.tables} <= {*written}
        engine.dispose()

    def test_a_newer_version_is_refused(self, catalog: Catalog, account: str, open_catalog: Callable[[], Catalog]):
        """And not touched; the message says what to do."""
        with catalog.write() as conn:
            conn.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        before = contents(catalog)
        with pytest.raises(Unusable, match=r"has version 9999, this shiftlog knows versions up to .*; use a newer shiftlog"):
            open_catalog()
        assert contents(catalog) == before


def scripts() -> ScriptDirectory:
    return ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))


def upgrade(engine: sa.Engine, revision: str) -> None:
    """Bring a catalog to some version, as an older shiftlog has left it."""
    config = Config()
    config.set_main_option("script_location", scripts().dir)
    with engine.begin() as conn:
        config.attributes["connection"] = conn
        command.upgrade(config, revision)


def fill(engine: sa.Engine, without: Collection[str]) -> dict[str, dict[str, Any]]:
    """Put a row in each table that has none yet; what was put there."""
    found = sa.MetaData()
    found.reflect(engine)
    rows = {
        table.name: {column.name: 7 if column.type.python_type is int else "A" for column in table.columns}
        for table in found.sorted_tables
        if table.name not in {*without, "alembic_version"}
    }
    with engine.begin() as conn:
        for name, row in rows.items():
            conn.execute(sa.insert(found.tables[name]).values(row))
    return rows


class TestMigrateOnPostgresql(OnPostgresql, MigrateContract):
    """On PostgreSQL."""


class TestMigrateOnSqlite(OnSqlite, MigrateContract):
    """On SQLite."""


OTHERS = "CREATE TABLE orders (id INTEGER); CREATE TABLE alembic_version (version_num TEXT);"


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE orders (id INTEGER)",
        "CREATE TABLE accounts (id INTEGER)",
        OTHERS,
        f"{OTHERS} INSERT INTO alembic_version VALUES ('27c6a30d7c24')",
        f"{OTHERS} INSERT INTO alembic_version VALUES ('0000')",
        f"{OTHERS} INSERT INTO alembic_version VALUES ('0001')",
    ],
)
def test_a_foreign_database_is_refused(tmp_path: Path, script: str):
    """Also one that Alembic keeps for somebody else; it stays as it is."""
    file = tmp_path / "foreign.sqlite"
    with sqlite3.connect(file) as plain:
        plain.executescript(script)
        before = list(plain.iterdump())
    with pytest.raises(Unusable, match="give shiftlog one of its own"):
        Catalog.open(str(file))
    with sqlite3.connect(file) as plain:
        assert list(plain.iterdump()) == before
