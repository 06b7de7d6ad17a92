"""What servers have let in of late, so that they keep to one limit together."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from shiftlog.catalog import tables
from shiftlog.catalog.connection import insert, unlocked

_T = tables.usage
_KEPT = 600_000  # ms: a row of which nothing was said for so long is forgotten


def tell(conn: sa.Connection, server: str, used: Mapping[str, int], now: int) -> None:
    """Add to what a server has let in, by subject; what is long past is forgotten."""
    statement = insert(conn, _T)
    added = statement.on_conflict_do_update(
        index_elements=["server", "subject"], set_={"used": _T.c.used + statement.excluded.used, "at": now}
    )
    conn.execute(added, [{"server": server, "subject": subject, "used": used[subject], "at": now} for subject in sorted(used)])
    conn.execute(sa.delete(_T).where(unlocked(_T, _T.c.at < now - _KEPT)))


def told(conn: sa.Connection, server: str) -> dict[tuple[str, str], int]:
    """What all others have let in, by server and subject, since their rows began."""
    query = sa.select(_T.c.server, _T.c.subject, _T.c.used).where(_T.c.server != server)
    return {(row.server, row.subject): row.used for row in conn.execute(query)}
