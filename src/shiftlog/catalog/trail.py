"""What requests leave behind: used nonces, and the audit log."""

from __future__ import annotations

import getpass
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa

from shiftlog.catalog import tables
from shiftlog.catalog.connection import insert, insert_of, unlocked


@dataclass(frozen=True, slots=True)
class Nonce:
    """A nonce that may not be used again with its key and timestamp (s) before `expires` (epoch ms)."""

    key_id: int
    timestamp: int
    nonce: str
    expires: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the audit log: who (a key at an address, or an actor) did what (action, target) in which account, with what status.

    The status is that of HTTP; of what was done by hand, 0: done. `times` is how often, where one line stands for several.
    """

    at: int
    account: str | None
    key_id: int | None
    action: str
    target: str
    status: int
    address: str | None
    actor: str | None = None
    times: int = 1


def use(conn: sa.Connection, nonces: Sequence[Nonce]) -> list[bool]:
    """Take nonces; False for each that was used before, also among these."""
    if not nonces:
        return []
    # In one order everywhere: servers that take the same nonces at once must not wait for each other.
    rows = {(n.key_id, n.timestamp, n.nonce): {name: getattr(n, name) for name in Nonce.__slots__} for n in reversed(nonces)}
    taken = {tuple(row) for row in conn.execute(_take(conn.dialect.name), [rows[key] for key in sorted(rows)])}
    answers = []
    for n in nonces:
        key = (n.key_id, n.timestamp, n.nonce)
        answers.append(key in taken)
        taken.discard(key)
    return answers


@cache
def _take(dialect: str) -> Any:
    t = tables.nonces
    return insert_of(dialect, t).on_conflict_do_nothing().returning(t.c.key_id, t.c.timestamp, t.c.nonce)


def was_used(conn: sa.Connection, nonce: Nonce) -> bool:
    """Whether a nonce was taken, and has not expired."""
    t = tables.nonces
    there = sa.exists().where(t.c.key_id == nonce.key_id, t.c.timestamp == nonce.timestamp, t.c.nonce == nonce.nonce)
    return bool(conn.scalar(sa.select(there)))


_RECORD = sa.insert(tables.audit)


def record(conn: sa.Connection, entries: Sequence[Entry]) -> None:
    """Append lines to the audit log."""
    if entries:
        conn.execute(_RECORD, [{name: getattr(entry, name) for name in Entry.__slots__} for entry in entries])


def expire(conn: sa.Connection, now: int) -> int:
    """Forget nonces whose time window is over (their timestamps are refused by then)."""
    return conn.execute(sa.delete(tables.nonces).where(unlocked(tables.nonces, tables.nonces.c.expires < now))).rowcount


def by_hand(conn: sa.Connection, at: int, account: str | None, action: str, target: str) -> None:
    """Append what was done at the machine itself, in the transaction that does it."""
    record(conn, [Entry(at, account, None, action, target, 0, None, actor=f"cli:{_user()}"[:64])])


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        return str(os.getuid())


@dataclass(frozen=True, slots=True)
class Asked:
    """Which audit lines are meant: of an account (None: of all, and of nobody), from `since` up to `until` (epoch ms)."""

    account: str | None = None
    since: int | None = None
    until: int | None = None
    actions: tuple[str, ...] = ()


def entries(conn: sa.Connection, asked: Asked, *, after: int = 0, limit: int = 1_000) -> list[dict[str, Any]]:
    """Audit lines after an id, in order; `consumer_key` is what the key calls itself."""
    t, k = tables.audit, tables.keys
    query = sa.select(t, k.c.consumer_key).join(k, k.c.id == t.c.key_id, isouter=True).where(t.c.id > after)
    if asked.account is not None:
        query = query.where(t.c.account == asked.account)
    if asked.since is not None:
        query = query.where(t.c.at >= asked.since)
    if asked.until is not None:
        query = query.where(t.c.at < asked.until)
    if asked.actions:
        query = query.where(t.c.action.in_(asked.actions))
    return [dict(row._mapping) for row in conn.execute(query.order_by(t.c.id).limit(limit))]


def forget(conn: sa.Connection, before: int) -> int:
    """Delete the audit lines from before an instant (epoch ms); how many there were."""
    values = {"name": "audit_since", "value": str(before)}
    statement = insert(conn, tables.meta).values(values)
    conn.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": str(before)}))
    return conn.execute(sa.delete(tables.audit).where(tables.audit.c.at < before)).rowcount
