"""Accounts, their settings, and the names of what they have."""

from __future__ import annotations

import pytest

from catalog.contract import NOW, CatalogContract, OnPostgresql, OnSqlite, at_once, make_account
from shiftlog.catalog import Catalog, accounts
from shiftlog.catalog.accounts import Account
from shiftlog.errors import Invalid, Missing
from shiftlog.settings import Settings


class AccountsContract(CatalogContract):
    """Accounts and names."""

    def test_an_account_begins_with_the_deployments_settings(self, catalog: Catalog):
        """Those for new accounts."""
        settings = Settings(time_zone="Asia/Kathmandu", schema_version="1.0.0.35", retention_days=7)
        with catalog.write() as conn:
            accounts.ensure(conn, "B_1", NOW, settings)
            assert accounts.get(conn, "B_1") == Account("B_1", "Asia/Kathmandu", "1.0.0.35", 7)

    def test_an_account_that_is_there_stays_as_it_is(self, catalog: Catalog, account: str):
        """To ensure it again, with other settings too, changes nothing."""
        with catalog.write() as conn:
            before = accounts.get(conn, account)
            accounts.ensure(conn, account, NOW + 1, Settings(time_zone="UTC", retention_days=1))
            assert accounts.get(conn, account) == before

    @pytest.mark.parametrize("name", ["", "a-b", "a" * 21, "../a"])
    def test_an_account_has_an_accounts_name(self, catalog: Catalog, name: str):
        """Others never get in."""
        with catalog.write() as conn, pytest.raises(Invalid, match="is not an account"):
            accounts.ensure(conn, name, NOW, Settings())

    def test_an_unknown_account_is_missing(self, catalog: Catalog):
        """To be read and to be changed."""
        with catalog.write() as conn:
            with pytest.raises(Missing, match="there is no account nobody"):
                accounts.get(conn, "nobody")
            with pytest.raises(Missing, match="there is no account nobody"):
                accounts.update(conn, "nobody", {"retention_days": 1})

    def test_accounts_are_listed_by_name(self, catalog: Catalog):
        """Capitals first, in every database."""
        for name in ("b", "C", "_", "a", "1"):
            make_account(catalog, name)
        with catalog.read() as conn:
            assert [found.account for found in accounts.every(conn)] == sorted("bC_a1")

    def test_settings_are_changed_one_by_one(self, catalog: Catalog, account: str):
        """The others stay, and so do other accounts."""
        other = make_account(catalog, "B")
        with catalog.write() as conn:
            before = accounts.get(conn, account)
            assert accounts.update(conn, account, {"retention_days": 3}) == Account(account, before.time_zone, before.schema_version, 3)
            assert accounts.update(conn, account, {}).retention_days == 3
            assert accounts.get(conn, other).retention_days == before.retention_days

    def test_names_hold_from_an_instant_on(self, catalog: Catalog, account: str):
        """The last one that had begun by then; none before the first."""
        with catalog.write() as conn:
            assert accounts.name(conn, account, [("agent", 9, 200, "New"), ("agent", 9, 100, "Old"), ("group", 9, 0, "Team")]) == 3
            asked = [accounts.names(conn, account, at).get(("agent", 9)) for at in (99, 100, 199, 200, NOW)]
            assert accounts.names(conn, account, 0) == {("group", 9): "Team"}
        assert asked == [None, "Old", "Old", "New", "New"]

    def test_a_name_is_imported_again(self, catalog: Catalog, account: str):
        """Of the same instant it replaces the one before; the rest stays."""
        with catalog.write() as conn:
            accounts.name(conn, account, [("agent", 1, 0, "One"), ("agent", 2, 0, "Two")])
            accounts.name(conn, account, [("agent", 1, 0, "Eins")])
            assert accounts.names(conn, account, NOW) == {("agent", 1): "Eins", ("agent", 2): "Two"}

    def test_names_belong_to_an_account(self, catalog: Catalog, account: str):
        """Another account's agent 1 is another agent."""
        other = make_account(catalog, "B")
        with catalog.write() as conn:
            accounts.name(conn, account, [("agent", 1, 0, "One")])
            assert accounts.names(conn, other, NOW) == {}

    def test_no_names_are_imported(self, catalog: Catalog, account: str):
        """An empty file is no mistake."""
        with catalog.write() as conn:
            assert accounts.name(conn, account, []) == 0

    def test_two_import_names_at_once(self, catalog: Catalog, account: str):
        """In whatever order: one comes after the other."""
        rows = [("agent", n, 0, "x") for n in range(200)]

        def bring(order: int) -> int:
            with catalog.write() as conn:
                return accounts.name(conn, account, rows[::order])

        assert at_once(*[lambda order=order: bring(order) for order in (1, -1, 1, -1)]) == [200] * 4

    def test_an_account_can_be_locked(self, catalog: Catalog, account: str):
        """If it is there."""
        with catalog.write() as conn:
            accounts.lock(conn, account)
            with pytest.raises(Missing, match="there is no account nobody"):
                accounts.lock(conn, "nobody")


class TestAccountsOnPostgresql(OnPostgresql, AccountsContract):
    """On PostgreSQL."""


class TestAccountsOnSqlite(OnSqlite, AccountsContract):
    """On SQLite."""
