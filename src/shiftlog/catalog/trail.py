"""What requests leave behind: used nonces, and the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from shiftlog.catalog import tables
from shiftlog.catalog.connection import insert


@dataclass(frozen=True, slots=True)
class Nonce:
    """A nonce that may not be used again with its key and timestamp (s) before `expires` (epoch ms)."""

    key_id: int
    timestamp: int
    nonce: str
    expires: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the audit log: who (key, address) did what (action, target) in which account, with what status."""

    at: int
    account: str | None
    key_id: int | None
    action: str
    target: str
    status: int
    address: str | None


def use(conn: sa.Connection, nonces: Sequence[Nonce]) -> list[bool]:
    """Take nonces; False for each that was used before."""
    statement = insert(conn, tables.nonces).on_conflict_do_nothing()
    columns = Nonce.__slots__
    return [conn.execute(statement, {name: getattr(nonce, name) for name in columns}).rowcount == 1 for nonce in nonces]


def record(conn: sa.Connection, entries: Sequence[Entry]) -> None:
    """Append lines to the audit log."""
    if entries:
        conn.execute(sa.insert(tables.audit), [{name: getattr(entry, name) for name in Entry.__slots__} for entry in entries])


def expire(conn: sa.Connection, now: int) -> int:
    """Forget nonces whose time window is over (their timestamps are refused by then)."""
    return conn.execute(sa.delete(tables.nonces).where(tables.nonces.c.expires < now)).rowcount


def entries(conn: sa.Connection, account: str, *, after: int = 0, limit: int = 1_000) -> list[dict[str, Any]]:
    """An account's audit lines after an id, in order."""
    t = tables.audit
    query = sa.select(t).where(t.c.account == account, t.c.id > after).order_by(t.c.id).limit(limit)
    return [dict(row._mapping) for row in conn.execute(query)]
