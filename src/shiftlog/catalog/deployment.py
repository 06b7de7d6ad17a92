"""Which deployment a catalog is of: a mark that its store bears, too, and a seal that only its secret key opens."""

from __future__ import annotations

import sqlalchemy as sa

from shiftlog.catalog import tables
from shiftlog.catalog.connection import insert

OBJECT = "deployment"  # the object that holds the mark in the store
_T, _MARK, _SEAL = tables.meta, "deployment", "seal"


def mark(conn: sa.Connection) -> str | None:
    """The deployment's mark; None where it has none yet."""
    return _get(conn, _MARK)


def make_mark(conn: sa.Connection, value: str) -> str:
    """Give the deployment a mark, unless somebody was quicker; the mark that it has now."""
    return _make(conn, _MARK, value)


def seal(conn: sa.Connection) -> str | None:
    """Something that the deployment's secret key has encrypted, by which another key is known; None where there is nothing yet."""
    return _get(conn, _SEAL)


def make_seal(conn: sa.Connection, value: str) -> str:
    """As `make_mark`, for the seal."""
    return _make(conn, _SEAL, value)


def seal_anew(conn: sa.Connection, value: str) -> None:
    """Seal the deployment with another key."""
    conn.execute(sa.update(_T).where(_T.c.name == _SEAL).values(value=value))


def _get(conn: sa.Connection, name: str) -> str | None:
    found = conn.scalar(sa.select(_T.c.value).where(_T.c.name == name))
    return None if found is None else str(found)


def _make(conn: sa.Connection, name: str, value: str) -> str:
    conn.execute(insert(conn, _T).values(name=name, value=value).on_conflict_do_nothing())
    return str(_get(conn, name))
