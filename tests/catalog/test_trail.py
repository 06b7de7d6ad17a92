"""Nonces that are used once, and the audit log."""

from __future__ import annotations

import getpass
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from catalog.contract import NOW, CatalogContract, OnPostgresql, OnSqlite, at_once, make_account
from shiftlog.catalog import Catalog, keys, trail
from shiftlog.catalog.trail import Asked, Entry, Nonce
from shiftlog.catalog.vault import Vault


def nonce(text: str = "n", *, key: int = 1, timestamp: int = 100, expires: int = NOW) -> Nonce:
    return Nonce(key, timestamp, text, expires)


def entry(at: int, account: str | None = "A") -> Entry:
    return Entry(at, account, 1, "list", "/data_access_le", 200, "127.0.0.1")


class TrailContract(CatalogContract):
    """Nonces and audit lines."""

    def test_a_nonce_is_used_once(self, catalog: Catalog):
        """Whether the second time comes later or in the same batch."""
        with catalog.write() as conn:
            assert trail.use(conn, [nonce("a"), nonce("b"), nonce("a")]) == [True, True, False]
        with catalog.write() as conn:
            assert trail.use(conn, [nonce("b"), nonce("c"), nonce("A")]) == [False, True, True]
            assert trail.use(conn, []) == []

    def test_a_nonce_belongs_to_its_key_and_timestamp(self, catalog: Catalog):
        """RFC 5849 §3.3: unique across requests with the same timestamp, client credentials, and token."""
        with catalog.write() as conn:
            assert trail.use(conn, [nonce(), nonce(key=2), nonce(timestamp=101), nonce(expires=NOW + 1)]) == [True, True, True, False]

    def test_one_of_several_requests_gets_a_nonce(self, catalog: Catalog):
        """When the same one is sent many times at once."""

        def use() -> bool:
            with catalog.write() as conn:
                return trail.use(conn, [nonce()])[0]

        assert sum(at_once(*[use] * 6)) == 1

    def test_nonces_are_forgotten_when_they_have_expired(self, catalog: Catalog):
        """Not at their expiry, but after it."""
        with catalog.write() as conn:
            trail.use(conn, [nonce("old", expires=NOW - 1), nonce("new", expires=NOW)])
            assert trail.expire(conn, NOW) == 1
            assert trail.use(conn, [nonce("old"), nonce("new")]) == [True, False]

    def test_audit_lines_are_kept_in_order(self, catalog: Catalog, account: str):
        """Whatever their times; each has a number of its own."""
        lines = [entry(NOW + 3), entry(NOW + 1)]
        with catalog.write() as conn:
            trail.record(conn, lines)
            trail.record(conn, [entry(NOW + 2)])
            found = trail.entries(conn, Asked(account))
        assert [line["at"] - NOW for line in found] == [3, 1, 2]
        assert {name: found[0][name] for name in Entry.__slots__} == {name: getattr(lines[0], name) for name in Entry.__slots__}

    def test_audit_lines_go_on_after_a_number(self, catalog: Catalog, account: str):
        """In pages of at most `limit`."""
        with catalog.write() as conn:
            trail.record(conn, [entry(NOW + n) for n in range(10)])
            first = trail.entries(conn, Asked(account), limit=4)
            rest = trail.entries(conn, Asked(account), after=first[-1]["id"])
        assert [line["at"] - NOW for line in first + rest] == list(range(10))

    def test_audit_lines_belong_to_an_account(self, catalog: Catalog, account: str):
        """Those of requests that named none are nobody's."""
        make_account(catalog, "B")
        with catalog.write() as conn:
            trail.record(conn, [entry(1, "B"), entry(2, None), entry(3, account)])
            assert [line["at"] for line in trail.entries(conn, Asked(account))] == [3]

    def test_audit_lines_are_asked_for_by_time_and_action(self, catalog: Catalog, account: str):
        """From an instant on, up to another; of these actions; of all accounts, and of nobody."""
        with catalog.write() as conn:
            trail.record(conn, [entry(NOW + n) for n in range(5)])
            trail.record(conn, [replace(entry(NOW + 2), action="denied", account=None)])
            assert [line["at"] - NOW for line in trail.entries(conn, Asked(account, NOW + 1, NOW + 4))] == [1, 2, 3]
            assert [line["account"] for line in trail.entries(conn, Asked(actions=("denied", "x")))] == [None]
            assert len(trail.entries(conn, Asked())) == 6

    def test_an_audit_line_names_the_key(self, catalog: Catalog, account: str, tmp_path: Path):
        """As the one who has it knows it; also when it is revoked."""
        with catalog.write() as conn:
            key = keys.create(conn, Vault.open(tmp_path / "key"), account, ["read"], NOW)
            number = keys.revoke(conn, key.token, NOW)["id"]
            trail.record(conn, [replace(entry(NOW), key_id=number)])
            assert trail.entries(conn, Asked(account))[0]["consumer_key"] == key.consumer_key

    def test_what_is_done_by_hand_names_who(self, catalog: Catalog, account: str):
        """The user of the machine, and no key."""
        with catalog.write() as conn:
            trail.by_hand(conn, NOW, account, "key-create", "key x")
            [line] = trail.entries(conn, Asked(account))
        assert (line["actor"], line["key_id"], line["status"]) == (f"cli:{getpass.getuser()}", None, 0)

    @pytest.mark.parametrize(
        "statement",
        ["UPDATE audit SET status = 404", "DELETE FROM audit", f"DELETE FROM audit WHERE at >= {NOW}", "UPDATE audit SET times = 0"],
    )
    def test_audit_lines_are_not_changed(self, catalog: Catalog, account: str, statement: str):
        """Not by us, and not by hand: the database refuses it, but for what retention has given up."""
        with catalog.write() as conn:
            trail.record(conn, [entry(NOW - 1), entry(NOW)])
            assert trail.forget(conn, NOW) == 1
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), catalog.write() as conn:
            conn.execute(sa.text(statement))
        with catalog.read() as conn:
            assert [line["at"] for line in trail.entries(conn, Asked(account))] == [NOW]

    def test_nothing_is_recorded(self, catalog: Catalog, account: str):
        """No lines are no mistake."""
        with catalog.write() as conn:
            trail.record(conn, [])
            assert trail.entries(conn, Asked(account)) == []


class TestTrailOnPostgresql(OnPostgresql, TrailContract):
    """On PostgreSQL."""


class TestTrailOnSqlite(OnSqlite, TrailContract):
    """On SQLite."""
