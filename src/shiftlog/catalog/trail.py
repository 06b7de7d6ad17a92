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
    """Take nonces; False for each that was used before, also among these."""
    if not nonces:
        return []
    t = tables.nonces
    # In one order everywhere: servers that take the same nonces at once must not wait for each other.
    rows = {(n.key_id, n.timestamp, n.nonce): {name: getattr(n, name) for name in Nonce.__slots__} for n in reversed(nonces)}
    statement = insert(conn, t).on_conflict_do_nothing().returning(t.c.key_id, t.c.timestamp, t.c.nonce)
    taken = {tuple(row) for row in conn.execute(statement, [rows[key] for key in sorted(rows)])}
    answers = []
    for n in nonces:
        key = (n.key_id, n.timestamp, n.nonce)
        answers.append(key in taken)
        taken.discard(key)
    return answers


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
