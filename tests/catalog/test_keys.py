"""Keys: found by what a request shows, never showing their secrets, until they are revoked or expire."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from catalog.contract import NOW, CatalogContract, OnPostgresql, OnSqlite, at_once, contents, make_account
from shiftlog.catalog import Catalog, keys
from shiftlog.catalog.keys import NewKey
from shiftlog.catalog.vault import VARIABLE, Vault
from shiftlog.errors import Invalid, Missing, Unusable


def secrets_of(key: NewKey) -> list[str]:
    return [key.consumer_secret, key.token_secret, key.bearer]


class KeysContract(CatalogContract):
    """Keys."""

    @pytest.fixture
    def vault(self) -> Vault:
        return Vault(Fernet.generate_key())

    @pytest.fixture
    def key(self, catalog: Catalog, account: str, vault: Vault) -> NewKey:
        with catalog.write() as conn:
            return keys.create(conn, vault, account, ["write"], NOW)

    def test_a_key_is_pairs_of_32_hex_digits(self, key: NewKey):
        """As in the original service, and a bearer token of 256 bits."""
        pairs = [key.consumer_key, key.consumer_secret, key.token, key.token_secret]
        assert all(len(text) == 32 and set(text) <= set(string.hexdigits.lower()) for text in pairs)
        assert len(key.bearer) == 43
        assert len({*pairs, key.bearer}) == 5

    def test_a_key_is_found_by_its_token_and_by_its_bearer_token(self, catalog: Catalog, key: NewKey, vault: Vault):
        """With the secrets that signatures are checked with."""
        with catalog.read() as conn:
            found = keys.by_token(conn, vault, key.token)
            assert found == keys.by_bearer(conn, vault, key.bearer)
        assert (found.account, found.consumer_key, found.token) == (key.account, key.consumer_key, key.token)
        assert (found.consumer_secret, found.token_secret) == (key.consumer_secret, key.token_secret)

    def test_nothing_else_finds_a_key(self, catalog: Catalog, key: NewKey, vault: Vault):
        """Not another of its texts, nor its hash."""
        with catalog.read() as conn:
            assert [keys.by_token(conn, vault, text) for text in ("", "x", key.consumer_key, key.token_secret, key.token.upper())] == [
                None
            ] * 5
            assert [keys.by_bearer(conn, vault, text) for text in ("", key.token, key.bearer[:-1], keys.hashed(key.bearer))] == [None] * 4

    def test_secrets_are_never_shown(self, catalog: Catalog, key: NewKey, vault: Vault):
        """Neither by printing a key, old or new, nor by listing keys."""
        with catalog.read() as conn:
            shown = repr(key) + repr(keys.by_token(conn, vault, key.token)) + repr(keys.listing(conn))
        assert key.token in shown
        assert not [secret for secret in secrets_of(key) if secret in shown]

    def test_secrets_are_encrypted_at_rest(self, catalog: Catalog, key: NewKey):
        """What the catalog holds is not what a request shows."""
        stored = repr(contents(catalog))
        assert key.token in stored
        assert not [secret for secret in secrets_of(key) if secret in stored]

    def test_another_vault_does_not_open_them(self, catalog: Catalog, key: NewKey):
        """The operator is told what is missing."""
        with catalog.read() as conn, pytest.raises(Unusable, match="encrypted with another key"):
            keys.by_token(conn, Vault(Fernet.generate_key()), key.token)

    @pytest.mark.parametrize(
        ("asked", "given"),
        [([], ["read"]), (["write"], ["write"]), (["admin", "read", "read"], ["read", "admin"]), (["write", "read"], ["read", "write"])],
    )
    def test_permissions_are_given_once_and_in_order(
        self, catalog: Catalog, account: str, vault: Vault, asked: list[str], given: list[str]
    ):
        """Nothing asked is `read`."""
        with catalog.write() as conn:
            key = keys.create(conn, vault, account, asked, NOW)
            assert key.permissions == given
            assert keys.by_token(conn, vault, key.token).permissions == set(given)

    @pytest.mark.parametrize(("given", "may"), [("read", ["read"]), ("write", ["write"]), ("admin", ["read", "write", "admin"])])
    def test_a_key_may_do_what_it_was_given(self, catalog: Catalog, account: str, vault: Vault, given: str, may: list[str]):
        """And nothing else; `admin` is all."""
        with catalog.write() as conn:
            key = keys.by_token(conn, vault, keys.create(conn, vault, account, [given], NOW).token)
        assert [permission for permission in keys.PERMISSIONS if key.may(permission)] == may

    @pytest.mark.parametrize("permission", ["", "Read", "root", "read,write"])
    def test_an_unknown_permission_is_refused(self, catalog: Catalog, account: str, vault: Vault, permission: str):
        """And no key is made."""
        with catalog.write() as conn:
            with pytest.raises(Invalid, match="is not a permission; allowed: read, write, admin"):
                keys.create(conn, vault, account, ["read", permission], NOW)
            assert keys.listing(conn) == []

    @pytest.mark.parametrize("named_by", ["token", "consumer_key"])
    def test_a_revoked_key_is_not_valid(self, catalog: Catalog, account: str, key: NewKey, vault: Vault, named_by: str):
        """It is still found, so that a refusal can say why; other keys of the account stay."""
        with catalog.write() as conn:
            other = keys.create(conn, vault, account, ["read"], NOW)
            keys.revoke(conn, getattr(key, named_by), NOW + 5)
            assert not keys.by_token(conn, vault, key.token).valid(NOW + 5)
            assert keys.by_bearer(conn, vault, key.bearer).revoked == NOW + 5
            assert keys.by_token(conn, vault, other.token).valid(NOW + 5)

    def test_a_key_is_revoked_once(self, catalog: Catalog, key: NewKey, vault: Vault):
        """The first time is kept."""
        with catalog.write() as conn:
            keys.revoke(conn, key.token, NOW + 5)
            keys.revoke(conn, key.token, NOW + 9)
            assert keys.by_token(conn, vault, key.token).revoked == NOW + 5

    def test_a_key_that_is_not_there_cannot_be_revoked(self, catalog: Catalog):
        """The message says where to look."""
        with catalog.write() as conn, pytest.raises(Missing, match="there is no key 123; `shiftlog keys list` shows them"):
            keys.revoke(conn, "123", NOW)

    def test_a_key_expires(self, catalog: Catalog, account: str, vault: Vault):
        """It is valid before its expiry, and not at it."""
        with catalog.write() as conn:
            key = keys.by_token(conn, vault, keys.create(conn, vault, account, [], NOW, expires=NOW + 10).token)
        assert (key.valid(NOW + 9), key.valid(NOW + 10)) == (True, False)

    def test_keys_are_listed_as_they_were_made(self, catalog: Catalog, account: str, key: NewKey, vault: Vault):
        """All of them, or one account's."""
        other = make_account(catalog, "B")
        with catalog.write() as conn:
            more = [keys.create(conn, vault, name, [], NOW).token for name in (other, account)]
            assert [row["token"] for row in keys.listing(conn)] == [key.token, *more]
            assert [row["token"] for row in keys.listing(conn, account)] == [key.token, more[1]]


class TestKeysOnPostgresql(OnPostgresql, KeysContract):
    """On PostgreSQL."""


class TestKeysOnSqlite(OnSqlite, KeysContract):
    """On SQLite."""

    def test_the_files_hold_no_secret(self, catalog: Catalog, key: NewKey, tmp_path: Path):
        """Not in any byte, write-ahead log included."""
        stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert key.token.encode() in stored
        assert not [secret for secret in secrets_of(key) if secret.encode() in stored]


# ── the vault ──


def test_a_key_file_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """For its owner alone; the next opening reads it."""
    monkeypatch.delenv(VARIABLE, raising=False)
    file = tmp_path / "secret.key"
    text = Vault.open(file).encrypt("secret")
    assert file.stat().st_mode & 0o777 == 0o600
    assert Vault.open(file).decrypt(text) == "secret"
    assert list(tmp_path.iterdir()) == [file]


def test_several_make_one_key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Whoever was first made the key of all."""
    monkeypatch.delenv(VARIABLE, raising=False)
    vaults = at_once(*[lambda: Vault.open(tmp_path / "secret.key")] * 8)
    assert {vault.decrypt(vaults[0].encrypt("secret")) for vault in vaults} == {"secret"}
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


def test_the_environments_key_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """And no file is made."""
    key = Fernet.generate_key()
    monkeypatch.setenv(VARIABLE, key.decode())
    assert Vault(key).decrypt(Vault.open(tmp_path / "secret.key").encrypt("secret")) == "secret"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["x", "not a key", "=" * 44])
def test_a_key_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str):
    """The message says what one is, and does not show it."""
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(Unusable, match="32 bytes in URL-safe base64 are expected") as refusal:
        Vault.open(tmp_path / "secret.key")
    assert text not in str(refusal.value).split()


def test_a_key_file_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its directory is not there."""
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(Unusable, match=r"the key file .* cannot be written: No such file or directory"):
        Vault.open(tmp_path / "nowhere" / "secret.key")


def test_a_key_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It is a directory, or another user's."""
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "secret.key").mkdir()
    with pytest.raises(Unusable, match=r"the key file .* cannot be read: Is a directory"):
        Vault.open(tmp_path / "secret.key")


def test_encrypting_twice_gives_two_texts():
    """Equal secrets cannot be told from the catalog."""
    vault = Vault(Fernet.generate_key())
    assert vault.encrypt("secret") != vault.encrypt("secret")
