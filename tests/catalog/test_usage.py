"""What servers tell each other of what they have let in."""

from __future__ import annotations

from catalog.contract import NOW, CatalogContract, OnPostgresql, OnSqlite
from shiftlog.catalog import Catalog, usage


class UsageContract(CatalogContract):
    """Sums by server and subject."""

    def test_what_is_told_adds_up(self, catalog: Catalog):
        """Each server hears of all others, and not of itself."""
        with catalog.write() as conn:
            usage.tell(conn, "one", {"key 1": 5, "key 2": 1}, NOW)
            usage.tell(conn, "one", {"key 1": 7}, NOW + 1)
            usage.tell(conn, "two", {"key 1": 100}, NOW + 1)
        with catalog.read() as conn:
            assert usage.told(conn, "two") == {("one", "key 1"): 12, ("one", "key 2"): 1}
            assert usage.told(conn, "one") == {("two", "key 1"): 100}

    def test_what_is_long_past_is_forgotten(self, catalog: Catalog):
        """Ten minutes after it was last told of, by whoever tells anything."""
        with catalog.write() as conn:
            usage.tell(conn, "gone", {"key 1": 5}, NOW)
            usage.tell(conn, "one", {"key 1": 1}, NOW + 600_000)
            assert ("gone", "key 1") in usage.told(conn, "one")
            usage.tell(conn, "one", {"key 1": 1}, NOW + 600_001)
            assert usage.told(conn, "one") == {}


class TestUsageOnPostgresql(OnPostgresql, UsageContract):
    """On PostgreSQL."""


class TestUsageOnSqlite(OnSqlite, UsageContract):
    """On SQLite."""
