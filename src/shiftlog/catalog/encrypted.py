"""Parts as they are served to accounts that have an OpenPGP key: encrypted once, kept, and so always the same bytes."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import sqlalchemy as sa

from shiftlog.catalog import tables
from shiftlog.catalog.connection import insert

_E, _P = tables.encrypted, tables.parts


@dataclass(frozen=True, slots=True)
class Encrypted:
    """A part's encrypted file."""

    object_key: str
    bytes: int
    sha256: str


def key_id(public: str) -> str:
    """By which files that were encrypted to a key are known; a key that was prolonged is another."""
    return sha256(public.encode()).hexdigest()


def find(conn: sa.Connection, account: str, seq: int, public: str) -> Encrypted | None:
    """A part's file for a key, where it was made already."""
    mine = (_E.c.account == account, _E.c.seq == seq, _E.c.key_id == key_id(public))
    row = conn.execute(sa.select(_E.c.object_key, _E.c.bytes, _E.c.sha256).where(*mine)).one_or_none()
    return None if row is None else Encrypted(*row)


def add(conn: sa.Connection, account: str, seq: int, public: str, made: Encrypted) -> Encrypted | None:
    """Keep a part's file, unless somebody was quicker; the one that is kept. None where the part is gone, or the key is another now."""
    a = tables.accounts
    known = sa.select(a.c.pgp_key).where(a.c.account == account).with_for_update()
    there = sa.select(_P.c.seq).where(_P.c.account == account, _P.c.seq == seq, _P.c.gz_gone.is_(None))
    if conn.scalar(known) != public or conn.scalar(there) is None:
        return None
    values = {
        "account": account,
        "seq": seq,
        "key_id": key_id(public),
        "object_key": made.object_key,
        "bytes": made.bytes,
        "sha256": made.sha256,
    }
    conn.execute(insert(conn, _E).values(values).on_conflict_do_nothing())
    return find(conn, account, seq, public)


def forget(conn: sa.Connection) -> list[str]:
    """Drop the files of parts that are gone, and of keys that the account has no more; their keys in the store, to delete afterwards."""
    a = tables.accounts
    rows = sa.select(_E.c.account, _E.c.seq, _E.c.key_id, _E.c.object_key, _P.c.gz_gone, a.c.pgp_key)
    joined = rows.join(_P, sa.and_(_P.c.account == _E.c.account, _P.c.seq == _E.c.seq)).join(a, a.c.account == _E.c.account)
    gone = []
    for account, seq, id_, key, deleted, public in conn.execute(joined).all():
        if deleted is not None or public is None or key_id(public) != id_:
            conn.execute(sa.delete(_E).where(_E.c.account == account, _E.c.seq == seq, _E.c.key_id == id_))
            gone.append(key)
    return gone
