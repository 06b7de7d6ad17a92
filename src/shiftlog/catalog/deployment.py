"""Which deployment a catalog is of: a mark that its store bears, too."""

from __future__ import annotations

import sqlalchemy as sa

from shiftlog.catalog import tables
from shiftlog.catalog.connection import insert

OBJECT = "deployment"  # the object that holds the mark in the store
_T, _NAME = tables.meta, "deployment"


def mark(conn: sa.Connection) -> str | None:
    """The deployment's mark; None where it has none yet."""
    found = conn.scalar(sa.select(_T.c.value).where(_T.c.name == _NAME))
    return None if found is None else str(found)


def make_mark(conn: sa.Connection, value: str) -> str:
    """Give the deployment a mark, unless somebody was quicker; the mark that it has now."""
    conn.execute(insert(conn, _T).values(name=_NAME, value=value).on_conflict_do_nothing())
    return str(conn.scalar(sa.select(_T.c.value).where(_T.c.name == _NAME)))
