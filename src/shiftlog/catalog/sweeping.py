"""What retention asks of the catalog: marking what is too old, and which objects are still named."""

from __future__ import annotations

from typing import Literal

import sqlalchemy as sa

from shiftlog.catalog import batches, deployment, tables
from shiftlog.catalog.connection import insert, unlocked
from shiftlog.store import sealed

_P, _SWEPT = tables.parts, "swept"


def turn(conn: sa.Connection, now: int, every: int) -> bool:
    """Whether it is time for a sweep, and nobody else has taken this turn: of all servers one sweeps, once in so many ms."""
    t = tables.meta
    conn.execute(insert(conn, t).values(name=_SWEPT, value="0").on_conflict_do_nothing())
    last = conn.scalar(sa.select(t.c.value).where(t.c.name == _SWEPT).with_for_update())
    if now - int(last or 0) < every:
        return False
    conn.execute(sa.update(t).where(t.c.name == _SWEPT).values(value=str(now)))
    return True


def expire_parts(conn: sa.Connection, kind: Literal["gz", "twin"], account: str, before: int, now: int) -> list[str]:
    """Mark the files of one kind as gone, of the account's parts that were generated before an instant; returns their keys."""
    gone, key = _P.c[f"{kind}_gone"], _P.c[f"{kind}_key"]
    old = sa.update(_P).where(_P.c.account == account, _P.c.generated < before, gone.is_(None))
    return list(conn.scalars(old.values({gone: now}).returning(key)))


def forget_session_ids(conn: sa.Connection, before: int) -> int:
    """Forget producers' session ids that were last seen before an instant."""
    t = tables.session_ids
    return conn.execute(sa.delete(t).where(unlocked(t, t.c.seen_at < before))).rowcount


def named_objects(conn: sa.Connection) -> set[str]:
    """The keys of all objects that the catalog still names."""
    a = tables.accounts
    return {
        *([] if deployment.mark(conn) is None else [deployment.OBJECT]),
        *conn.scalars(sa.select(_P.c.gz_key).where(_P.c.gz_gone.is_(None))),
        *conn.scalars(sa.select(_P.c.twin_key).where(_P.c.twin_gone.is_(None))),
        *conn.scalars(sa.select(tables.encrypted.c.object_key)),
        *conn.scalars(sa.select(a.c.carry_key).where(a.c.carry_key.is_not(None))),
        *conn.scalars(sa.select(tables.asides.c.object_key)),
        *batches.keys_in_use(conn),
    }


def beside_parts(conn: sa.Connection, account: str) -> dict[str, str | None]:
    """An account's objects beside its plain parts, with their SHA-256 where the catalog knows it: encrypted parts, and what has landed, is
    carried or was set aside."""
    a, e = tables.accounts, tables.encrypted
    others = (
        sa.select(a.c.carry_key).where(a.c.account == account, a.c.carry_key.is_not(None)),
        sa.select(tables.asides.c.object_key).where(tables.asides.c.account == account),
        sa.select(tables.batches.c.object_key).where(tables.batches.c.account == account).distinct(),
    )
    messages = sa.select(e.c.object_key, e.c.sha256).where(e.c.account == account)
    found: dict[str, str | None] = {key: sealed.checksum(key) for query in others for key in conn.scalars(query)}
    return found | {key: sha for key, sha in conn.execute(messages)}  # noqa: C416 (rows are not pairs to mypy)


def checksums(conn: sa.Connection) -> dict[str, str]:
    """The SHA-256 of objects of which the catalog knows it: of parts, encrypted ones among them, by their rows, of others by their keys."""
    e = tables.encrypted
    pairs = ((_P.c.gz_key, _P.c.gz_sha256, _P.c.gz_gone), (_P.c.twin_key, _P.c.twin_sha256, _P.c.twin_gone))
    queries = [*(sa.select(key, sha).where(gone.is_(None)) for key, sha, gone in pairs), sa.select(e.c.object_key, e.c.sha256)]
    known = {key: sha for query in queries for key, sha in conn.execute(query)}
    return known | {key: sha for key in named_objects(conn) - known.keys() if (sha := sealed.checksum(key)) is not None}
