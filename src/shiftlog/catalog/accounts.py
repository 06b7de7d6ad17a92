"""Accounts: their settings, and the names of their agents, groups and profiles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from shiftlog.catalog import tables
from shiftlog.catalog.connection import insert
from shiftlog.errors import Missing
from shiftlog.names import check_account
from shiftlog.settings import Settings

KINDS = ("agent", "group", "profile")


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant and its settings."""

    account: str
    time_zone: str
    schema_version: str
    retention_days: int
    pgp_key: str | None = None


_COLUMNS = [tables.accounts.c[name] for name in ("account", "time_zone", "schema_version", "retention_days", "pgp_key")]
_GET = sa.select(*_COLUMNS).where(tables.accounts.c.account == sa.bindparam("of"))


def ensure(conn: sa.Connection, account: str, now: int, settings: Settings) -> None:
    """Make the account with the default settings, where there is none."""
    values: dict[str, Any] = {
        "account": check_account(account),
        "created": now,
        "time_zone": settings.time_zone,
        "schema_version": settings.schema_version,
        "retention_days": settings.retention_days,
    }
    zeros = dict.fromkeys(
        ("landed", "consumed", "carry_sessions", "carry_events", "last_seq", "last_generated", "repeats", "epoch", "lease_until"), 0
    )
    conn.execute(insert(conn, tables.accounts).values(values | zeros).on_conflict_do_nothing())


def get(conn: sa.Connection, account: str) -> Account:
    """An account.

    Raises:
        Missing: no such account.
    """
    row = conn.execute(_GET, {"of": account}).one_or_none()
    if row is None:
        raise Missing(f"there is no account {account}")
    return Account(*row)


def every(conn: sa.Connection) -> list[Account]:
    """All accounts, by name; in the order of its characters, whatever order the database has for text."""
    return sorted((Account(*row) for row in conn.execute(sa.select(*_COLUMNS))), key=lambda account: account.account)


def lock(conn: sa.Connection, account: str) -> None:
    """Let nobody else change what belongs to the account until the transaction ends.

    Raises:
        Missing: no such account.
    """
    t = tables.accounts
    if conn.scalar(sa.select(t.c.account).where(t.c.account == account).with_for_update()) is None:
        raise Missing(f"there is no account {account}")


def update(conn: sa.Connection, account: str, changes: dict[str, Any]) -> Account:
    """Change some of an account's settings (fields of `Account`).

    Raises:
        Missing: no such account.
    """
    if changes:
        conn.execute(sa.update(tables.accounts).where(tables.accounts.c.account == account).values(changes))
    return get(conn, account)


def name(conn: sa.Connection, account: str, rows: Iterable[tuple[str, int, int, str]]) -> int:
    """Import names: (kind, id, valid_from in epoch ms, name); one that is known for that instant is replaced."""
    # In one order: two who import at once wait for each other, not both.
    ordered = sorted(rows, key=lambda row: row[:3])
    values = [{"account": account, "kind": kind, "id": id_, "valid_from": start, "name": text} for kind, id_, start, text in ordered]
    if values:
        statement = insert(conn, tables.names)
        keys = [column.name for column in tables.names.primary_key]
        conn.execute(statement.on_conflict_do_update(index_elements=keys, set_={"name": statement.excluded.name}), values)
    return len(values)


def names(conn: sa.Connection, account: str, at: int) -> dict[tuple[str, int], str]:
    """What (kind, id) are called at an instant (epoch ms)."""
    t = tables.names
    query = sa.select(t.c.kind, t.c.id, t.c.name).where(t.c.account == account, t.c.valid_from <= at).order_by(t.c.valid_from)
    return {(kind, id_): text for kind, id_, text in conn.execute(query)}
