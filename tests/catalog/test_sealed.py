"""What is encrypted in the catalog, and encrypted anew."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from catalog.contract import NOW, CatalogContract, OnPostgresql, OnSqlite, contents
from shiftlog.catalog import Catalog, chained, deployment, forgetting, keys, sealed, tables
from shiftlog.catalog.vault import Vault
from shiftlog.errors import Unusable


class SealedContract(CatalogContract):
    """Secrets of keys, and the deployment's seal."""

    @pytest.fixture
    def vault(self, tmp_path: Path) -> Vault:
        return Vault.open(tmp_path / "secret.key")

    @pytest.fixture
    def made(self, catalog: Catalog, account: str, vault: Vault) -> keys.NewKey:
        with catalog.write() as conn:
            deployment.make_seal(conn, vault.encrypt("shiftlog"))
            chained.signer(conn, vault, account, NOW)
            forgetting.begin(conn, vault, account, 1, removed=False, now=NOW)
            return keys.create(conn, vault, account, ["read"], NOW)

    def test_all_is_encrypted_with_the_new_key(self, catalog: Catalog, vault: Vault, made: keys.NewKey, tmp_path: Path):
        """And is the same as before; the old key can then be forgotten."""
        vault.rotate()
        with catalog.write() as conn:
            assert sealed.stale(conn, vault) == 5
            assert sealed.anew(conn, vault) == 5
            assert sealed.stale(conn, vault) == 0
        vault.retire()
        fresh = Vault.open(tmp_path / "secret.key")
        with catalog.read() as conn:
            found = keys.by_token(conn, fresh, made.token)
            assert (found.consumer_secret, found.token_secret) == (made.consumer_secret, made.token_secret)
            assert fresh.decrypt(deployment.seal(conn)) == "shiftlog"

    def test_what_cannot_be_decrypted_changes_nothing(self, catalog: Catalog, vault: Vault, made: keys.NewKey, tmp_path: Path):
        """All or nothing: a key that was lost is not noticed in the middle."""
        other = Vault.open(tmp_path / "other.key")
        with catalog.write() as conn:
            keys.create(conn, other, "A", ["read"], NOW)
        before = contents(catalog)
        vault.rotate()
        with pytest.raises(Unusable, match="another key"), catalog.write() as conn:
            sealed.anew(conn, vault)
        assert contents(catalog) == before

    def test_nothing_encrypted_is_forgotten(self, catalog: Catalog, vault: Vault, made: keys.NewKey):
        """What looks encrypted stands in a column that is marked as such."""
        marked = {(t.name, c.name) for t in tables.metadata.sorted_tables for c in t.columns if c.info.get("encrypted")}
        with catalog.read() as conn:
            found = {
                (table.name, column.name)
                for table in tables.metadata.sorted_tables
                for column in table.columns
                if isinstance(column.type, sa.String)
                and conn.scalar(sa.select(sa.func.count()).select_from(table).where(column.like("gAAAAA%")))
            }
        assert found - {("meta", "value")} == marked


class TestSealedOnPostgresql(OnPostgresql, SealedContract):
    """On PostgreSQL."""


class TestSealedOnSqlite(OnSqlite, SealedContract):
    """On SQLite."""
