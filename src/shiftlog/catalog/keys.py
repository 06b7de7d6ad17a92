"""Keys: who may read, write or administer an account, by OAuth 1.0a signature or bearer token."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from shiftlog.catalog import tables
from shiftlog.catalog.vault import Vault, hashed
from shiftlog.errors import Invalid, Missing

PERMISSIONS = ("read", "write", "admin")
_T = tables.keys
_SHOWN = [_T.c[name] for name in ("id", "account", "permissions", "consumer_key", "token", "created", "expires", "revoked")]


@dataclass(frozen=True, slots=True)
class Key:
    """A key as a request finds it. Its secrets are never shown."""

    id: int
    account: str
    permissions: frozenset[str]
    consumer_key: str
    token: str
    consumer_secret: str = field(repr=False)
    token_secret: str = field(repr=False)
    expires: int | None
    revoked: int | None

    def may(self, permission: str) -> bool:
        """Whether the key has a permission; `admin` has all."""
        return permission in self.permissions or "admin" in self.permissions

    def valid(self, now: int) -> bool:
        """Neither revoked nor expired at `now` (epoch ms)."""
        return self.revoked is None and (self.expires is None or now < self.expires)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key as it is handed out, once, with its secrets."""

    account: str
    permissions: list[str]
    consumer_key: str
    consumer_secret: str = field(repr=False)
    token: str
    token_secret: str = field(repr=False)
    bearer: str = field(repr=False)


def create(conn: sa.Connection, vault: Vault, account: str, permissions: list[str], now: int, expires: int | None = None) -> NewKey:
    """A new key of an account that exists; pairs of 32 hex digits, as in the original service, and a bearer token.

    Raises:
        Invalid: an unknown permission.
    """
    for permission in permissions:
        if permission not in PERMISSIONS:
            raise Invalid(f"{permission!r} is not a permission; allowed: {', '.join(PERMISSIONS)}")
    given = sorted(set(permissions) or {"read"}, key=PERMISSIONS.index)
    consumer_key, consumer_secret, token, token_secret = (secrets.token_hex(16) for _ in range(4))
    key = NewKey(account, given, consumer_key, consumer_secret, token, token_secret, bearer=secrets.token_urlsafe(32))
    conn.execute(
        sa.insert(_T).values(
            account=account,
            permissions=",".join(given),
            consumer_key=key.consumer_key,
            consumer_secret=vault.encrypt(key.consumer_secret),
            token=key.token,
            token_secret=vault.encrypt(key.token_secret),
            bearer_hash=hashed(key.bearer),
            created=now,
            expires=expires,
        )
    )
    return key


def by_token(conn: sa.Connection, vault: Vault, token: str) -> Key | None:
    """The key with this OAuth token, revoked or expired ones too."""
    return _one(conn, vault, _T.c.token == token)


def by_bearer(conn: sa.Connection, vault: Vault, bearer: str) -> Key | None:
    """The key with this bearer token, revoked or expired ones too."""
    return _one(conn, vault, _T.c.bearer_hash == hashed(bearer))


def by_id(conn: sa.Connection, vault: Vault, key_id: int) -> Key | None:
    """The key with this number, revoked or expired ones too."""
    return _one(conn, vault, _T.c.id == key_id)


def listing(conn: sa.Connection, account: str | None = None) -> list[dict[str, Any]]:
    """All keys (of one account) without their secrets."""
    query = sa.select(*_SHOWN).order_by(_T.c.id)
    if account is not None:
        query = query.where(_T.c.account == account)
    return [dict(row._mapping) for row in conn.execute(query)]


def revoke(conn: sa.Connection, name: str, now: int) -> dict[str, Any]:
    """Revoke a key, named by its number, its OAuth token or its consumer key; one that is revoked already stays as it is.

    Returns what `listing` says of it.

    Raises:
        Missing: no such key.
    """
    found = named(conn, name)
    conn.execute(sa.update(_T).where(_T.c.id == found["id"], _T.c.revoked.is_(None)).values(revoked=now))
    return named(conn, name)


def rotate(conn: sa.Connection, vault: Vault, name: str, now: int, overlap: int, expires: int | None = None) -> NewKey:
    """A successor of a key, named as for `revoke`, with the same permissions; the old one goes on for `overlap` ms, and no longer.

    The successor ends at `expires`, or lives as long as the old one was meant to.

    Raises:
        Missing: no such key.
        Invalid: it holds no longer.
    """
    old = named(conn, name)
    if old["revoked"] is not None or (old["expires"] is not None and old["expires"] <= now):
        raise Invalid(f"the key {old['consumer_key']} {'has expired' if old['revoked'] is None else 'was revoked'}; make a new one instead")
    if expires is None and old["expires"] is not None:
        expires = now + old["expires"] - old["created"]
    until = now + overlap if old["expires"] is None else min(old["expires"], now + overlap)
    conn.execute(sa.update(_T).where(_T.c.id == old["id"]).values(expires=until))
    return create(conn, vault, old["account"], old["permissions"].split(","), now, expires)


def named(conn: sa.Connection, name: str) -> dict[str, Any]:
    """A key without its secrets, by its number, its OAuth token or its consumer key.

    Raises:
        Missing: no such key.
    """
    condition = (_T.c.token == name) | (_T.c.consumer_key == name)
    if name.isdecimal() and len(name) < 19:
        condition |= _T.c.id == int(name)
    row = conn.execute(sa.select(*_SHOWN).where(condition)).first()
    if row is None:
        raise Missing(f"there is no key {name[:64]}; `shiftlog keys list` shows them")
    return dict(row._mapping)


def _one(conn: sa.Connection, vault: Vault, condition: sa.ColumnElement[bool]) -> Key | None:
    row = conn.execute(sa.select(_T).where(condition)).one_or_none()
    if row is None:
        return None
    return Key(
        id=row.id,
        account=row.account,
        permissions=frozenset(row.permissions.split(",")),
        consumer_key=row.consumer_key,
        token=row.token,
        consumer_secret=vault.decrypt(row.consumer_secret),
        token_secret=vault.decrypt(row.token_secret),
        expires=row.expires,
        revoked=row.revoked,
    )
