"""Deleting what is too old: files and twins when their time is over, consumed landing batches, and what nobody names.

The catalog is changed first and the bytes go afterwards: a crash in between leaves bytes without a name, which the next
sweep deletes. Garbage collection cannot meet an object that is about to be named: it takes only objects older than
`safety_hours`, and a commit refuses objects older than an hour. The one age is told by the store's clock, the other by the catalog's:
there is always an hour between the two limits, by which the clocks may differ.
"""

from __future__ import annotations

from dataclasses import dataclass

from shiftlog import chain
from shiftlog.catalog import accounts, batches, chained, encrypted, parts, sweeping, trail
from shiftlog.catalog.publishing import OBJECT_AGE
from shiftlog.hours import DAY, HOUR
from shiftlog.house import House

_CLOCKS = HOUR  # ms by which the clocks of store and catalog may differ; services refuse those who differ by a quarter of it
UNNAMED_AGE = OBJECT_AGE + _CLOCKS  # ms: an object that nobody has named by then, nobody can name any more


@dataclass(frozen=True, slots=True)
class Swept:
    """How many objects of each kind a sweep deleted."""

    files: int
    twins: int
    landing: int
    unnamed: int


def sweep(house: House) -> Swept:
    """Delete what is too old. May be run at any time, by several at once."""
    now = house.catalog.now()
    files: list[str] = []
    twins: list[str] = []
    with house.catalog.write() as conn:
        for account in accounts.every(conn):
            expired = sweeping.expire_parts(conn, "gz", account.account, now - account.retention_days * DAY, now)
            if expired:
                chained.sign_removals(conn, house.vault, account.account, chain.RETENTION, now)
            files += expired
            twins += sweeping.expire_parts(conn, "twin", account.account, now - house.settings.history_days * DAY, now)
        for name in chained.unsigned(conn):
            chained.complete(conn, house.vault, name, now)
        landed = batches.forget(conn, now - house.settings.safety)
        messages = encrypted.forget(conn)
        sweeping.forget_session_ids(conn, now - house.settings.history_days * DAY)
        trail.expire(conn, now)
        trail.forget(conn, now - house.settings.audit_days * DAY)
        if files:
            parts.mark_removed(conn)
    house.store.delete([*files, *messages, *twins, *landed])
    return Swept(len(files), len(twins), len(landed), collect(house, now - max(house.settings.safety, UNNAMED_AGE)))


def collect(house: House, before: int, prefix: str = "") -> int:
    """Delete objects that nobody names: of attempts that failed, and of carried sessions that were carried on.

    They are as old as `before` (epoch ms), which has to be `UNNAMED_AGE` ago, or of an account whose lease is held.
    """
    old = [found.key for found in house.store.list(prefix) if found.modified < before]
    if not old:
        return 0
    # Names are read after the listing: an object that was named in between is kept.
    with house.catalog.read() as conn:
        named = sweeping.named_objects(conn)
    unnamed = [key for key in old if key not in named]
    house.store.delete(unnamed)
    return len(unnamed)
