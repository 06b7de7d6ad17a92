"""Forgotten agents in the catalog: who they are, by keyed hashes, and where rows name them."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence

import sqlalchemy as sa

from shiftlog.catalog import accounts, tables
from shiftlog.catalog.vault import Vault
from shiftlog.errors import Missing
from shiftlog.forgotten import Agent, Rules

_F, _A = tables.forgotten, tables.accounts


def rules(conn: sa.Connection, vault: Vault, account: str) -> Rules:
    """Who of an account is forgotten.

    Raises:
        Missing: no such account.
    """
    row = conn.execute(sa.select(_A.c.forgotten, _A.c.erasure_key).where(_A.c.account == account)).one_or_none()
    if row is None:
        raise Missing(f"there is no account {account}")
    if row.erasure_key is None:
        return Rules(account, row.forgotten, b"", {})
    known = {digest: bool(removed) for digest, removed in conn.execute(sa.select(_F.c.digest, _F.c.removed).where(_F.c.account == account))}
    return Rules(account, row.forgotten, bytes.fromhex(vault.decrypt(row.erasure_key)), known)


def versions(conn: sa.Connection, names: Collection[str]) -> dict[str, int]:
    """The version of the rules of some accounts."""
    query = sa.select(_A.c.account, _A.c.forgotten).where(_A.c.account.in_(names))
    return {name: version for name, version in conn.execute(query)}  # noqa: C416 (rows are not pairs to mypy)


def begin(conn: sa.Connection, vault: Vault, account: str, agent: int, *, removed: bool, now: int) -> Agent:
    """Forget an agent from now on: what arrives later, and is committed after this, names the agent no more.

    Who was removed stays so.

    Raises:
        Missing: no such account.
    """
    accounts.lock(conn, account)
    if conn.scalar(sa.select(_A.c.erasure_key).where(_A.c.account == account)) is None:
        conn.execute(sa.update(_A).where(_A.c.account == account).values(erasure_key=vault.encrypt(secrets.token_hex(32))))
    known = rules(conn, vault, account)
    before = known.agent(agent)
    if before is None:
        values = {"account": account, "digest": known.digest(agent), "removed": int(removed), "at": now}
        conn.execute(sa.insert(_F).values(values))
    elif removed and not before.removed:
        mine = (_F.c.account == account, _F.c.digest == known.digest(agent))
        conn.execute(sa.update(_F).where(*mine).values(removed=1, done=None))
    changed(conn, account)
    return Agent(agent, known.pseudonym(agent), removed or (before is not None and before.removed))


def changed(conn: sa.Connection, account: str) -> None:
    """Have everyone who keeps something of the account in memory read it again."""
    conn.execute(sa.update(_A).where(_A.c.account == account).values(forgotten=_A.c.forgotten + 1))


def finish(conn: sa.Connection, vault: Vault, account: str, agent: int, now: int) -> None:
    """Take note that nothing names the agent any more."""
    digest = rules(conn, vault, account).digest(agent)
    conn.execute(sa.update(_F).where(_F.c.account == account, _F.c.digest == digest).values(done=now))
    changed(conn, account)


def unfinished(conn: sa.Connection) -> list[str]:
    """Accounts of which an agent is being forgotten, or was, until something stopped it."""
    return sorted(conn.scalars(sa.select(_F.c.account).where(_F.c.done.is_(None)).distinct()))


def erase(conn: sa.Connection, account: str, agent: Agent) -> int:
    """Erase the agent from names, and the removed from schedules and session ids too; how many rows that were."""
    n, s, i = tables.names, tables.schedules, tables.session_ids
    mine = sa.and_(n.c.account == account, n.c.kind == "agent", n.c.id == agent.id)
    others = conn.execute(sa.delete(n).where(mine, n.c.name != agent.pseudonym)).rowcount
    if not agent.removed:
        if others and not conn.scalar(sa.select(sa.exists().where(mine))):
            accounts.name(conn, account, [("agent", agent.id, 0, agent.pseudonym)])
        return others
    return others + sum(
        conn.execute(sa.delete(t).where(t.c.account == account, condition)).rowcount
        for t, condition in ((n, mine), (s, s.c.agent_id == agent.id), (i, i.c.agent_id == agent.id))
    )


# ── landing objects ──


def landing_objects(conn: sa.Connection, account: str) -> list[str]:
    """The landing objects that have events of an account."""
    t = tables.batches
    return list(conn.scalars(sa.select(t.c.object_key).where(t.c.account == account).distinct().order_by(t.c.object_key)))


def slices(conn: sa.Connection, object_key: str) -> list[tuple[str, int, int, int]]:
    """Whose rows a landing object has: (account, batch number, first row, rows), in the order of the rows."""
    t = tables.batches
    query = sa.select(t.c.account, t.c.number, t.c.first_row, t.c.rows).where(t.c.object_key == object_key).order_by(t.c.first_row)
    return [(account, number, first, rows) for account, number, first, rows in conn.execute(query)]


def move(conn: sa.Connection, object_key: str, new_key: str, found: Sequence[tuple[str, int, int, int]], by: str) -> bool:
    """Have batches name another object, and their rows in it, and doom the one they named; False where they are not what they were.

    `by` is the account of which an agent is forgotten.
    """
    t = tables.batches
    for name in sorted({account for account, _, _, _ in found}):
        accounts.lock(conn, name)
    if len(slices(conn, object_key)) != len(found):
        return False
    for account, number, first, rows in found:
        mine = (t.c.account == account, t.c.number == number)
        conn.execute(sa.update(t).where(*mine).values(object_key=new_key, first_row=first, rows=rows))
    conn.execute(sa.insert(tables.doomed).values(object_key=object_key, account=by))
    return True


def doomed(conn: sa.Connection, account: str) -> list[str]:
    """Objects that are to be deleted because an agent of an account is forgotten."""
    t = tables.doomed
    return list(conn.scalars(sa.select(t.c.object_key).where(t.c.account == account)))


def deleted(conn: sa.Connection, keys: Collection[str]) -> None:
    """Take note that doomed objects are deleted."""
    conn.execute(sa.delete(tables.doomed).where(tables.doomed.c.object_key.in_(keys)))


# ── events that were set aside ──


def asides(conn: sa.Connection, account: str) -> list[tuple[int, str]]:
    """What was set aside of an account: ids and objects."""
    t = tables.asides
    return [(id_, key) for id_, key in conn.execute(sa.select(t.c.id, t.c.object_key).where(t.c.account == account).order_by(t.c.id))]


def move_aside(conn: sa.Connection, id_: int, new_key: str | None, events: int) -> None:
    """Have what was set aside lie in another object; None where nothing is left of it."""
    t = tables.asides
    conn.execute(
        sa.delete(t).where(t.c.id == id_)
        if new_key is None
        else sa.update(t).where(t.c.id == id_).values(object_key=new_key, events=events)
    )
