"""What retention asks of the catalog: what is too old, and what is still named."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from catalog.contract import NOW, CatalogContract, OnPostgresql, OnSqlite, at_once, insert_parts, make_account, part_row
from catalog.test_batches import claim, commit
from catalog.test_publishing import new_part, publish
from shiftlog.catalog import Catalog, batches, sweeping, tables


class SweepingContract(CatalogContract):
    """Expiry and names."""

    @pytest.mark.parametrize("kind", ["gz", "twin"])
    def test_files_of_old_parts_are_marked_as_gone(self, catalog: Catalog, account: str, kind: str):
        """Those generated before the instant, once; the keys are handed back, to be deleted."""
        rows = [part_row(account, seq, seq * 10) for seq in (1, 2, 3)]
        insert_parts(catalog, rows)
        with catalog.write() as conn:
            assert sorted(sweeping.expire_parts(conn, kind, account, 20, NOW)) == [rows[0][f"{kind}_key"]]
            assert sorted(sweeping.expire_parts(conn, kind, account, 30, NOW + 1)) == [rows[1][f"{kind}_key"]]
            gone = conn.execute(sa.select(tables.parts.c.gz_gone, tables.parts.c.twin_gone).order_by("seq")).all()
        expected = [NOW, NOW + 1, None]
        assert [tuple(row) for row in gone] == [(t, None) if kind == "gz" else (None, t) for t in expected]

    def test_other_accounts_parts_stay(self, catalog: Catalog, account: str):
        """Each has a retention of its own."""
        insert_parts(catalog, [part_row(make_account(catalog, "B"), 1, 10)])
        with catalog.write() as conn:
            assert sweeping.expire_parts(conn, "gz", account, NOW, NOW) == []

    def test_old_session_ids_are_forgotten(self, catalog: Catalog, account: str):
        """Those last seen before the instant; to see one again makes it young."""
        commit(catalog, "1", claim(account, old=1, seen=1), at=NOW)
        commit(catalog, "2", claim(account, seen=1, new=1), at=NOW + 5)
        with catalog.write() as conn:
            assert sweeping.forget_session_ids(conn, NOW + 5) == 1
            assert batches.owners(conn, account, ["old", "seen", "new"]) == {"seen": 1, "new": 1}

    def test_what_is_named(self, catalog: Catalog, account: str):
        """Landing objects, files, twins, carried sessions, and what was set aside."""
        commit(catalog, "landing/1", claim(account), claim(make_account(catalog, "B"), first_row=10))
        part = new_part(0)
        publish(catalog, part, carry_key="carry/1", aside_key="aside/1", aside_events=1)
        with catalog.read() as conn:
            assert sweeping.named_objects(conn) == {"landing/1", "carry/1", "aside/1", part.gz_key, part.twin_key}

    def test_what_is_gone_is_not_named(self, catalog: Catalog, account: str):
        """Nor is the carry of the run before; the twin of a part whose file is gone still is."""
        part = new_part(0)
        publish(catalog, part, carry_key="carry/1")
        generated = publish(catalog, carry_key="carry/2")
        with catalog.write() as conn:
            sweeping.expire_parts(conn, "gz", account, generated + 1, NOW)
            assert sweeping.named_objects(conn) == {"carry/2", part.twin_key}

    def test_an_empty_catalog_names_nothing(self, catalog: Catalog):
        """Whatever lies in its store."""
        with catalog.read() as conn:
            assert sweeping.named_objects(conn) == set()

    def test_of_several_servers_one_sweeps(self, catalog: Catalog):
        """When they ask at once, and again only after the time that was asked for."""

        def ask(now: int) -> bool:
            with catalog.write() as conn:
                return sweeping.turn(conn, now, 100)

        assert sum(at_once(*[lambda: ask(NOW)] * 4)) == 1
        assert [ask(NOW + 99), ask(NOW + 100), ask(NOW + 101)] == [False, True, False]


class TestSweepingOnPostgresql(OnPostgresql, SweepingContract):
    """On PostgreSQL."""


class TestSweepingOnSqlite(OnSqlite, SweepingContract):
    """On SQLite."""
