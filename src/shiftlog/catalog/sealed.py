"""What the vault has encrypted in the catalog: encrypting it anew, and knowing with which key it was."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from shiftlog.catalog import deployment, tables
from shiftlog.catalog.vault import Vault


def anew(conn: sa.Connection, vault: Vault) -> int:
    """Encrypt everything with the vault's first key; how many texts there are. All or nothing, with the transaction.

    Raises:
        Unusable: something was encrypted with a key that the vault has not.
    """
    count = 0
    for column in _columns():
        keys = list(column.table.primary_key)
        rows = conn.execute(sa.select(*keys, column).where(column.is_not(None)).with_for_update()).all()
        for *key, text in rows:
            condition = sa.and_(*(part == value for part, value in zip(keys, key, strict=True)))
            conn.execute(sa.update(column.table).where(condition).values({column: vault.encrypt(vault.decrypt(text))}))
        count += len(rows)
    if (seal := deployment.seal(conn)) is not None:
        deployment.seal_anew(conn, vault.encrypt(vault.decrypt(seal)))
        count += 1
    return count


def stale(conn: sa.Connection, vault: Vault) -> int:
    """How many texts are not encrypted with the vault's first key."""
    texts = [text for column in _columns() for text in conn.scalars(sa.select(column).where(column.is_not(None)))]
    texts += [text for text in [deployment.seal(conn)] if text is not None]
    return sum(not vault.is_current(text) for text in texts)


def _columns() -> Iterator[sa.Column[str]]:
    for table in tables.metadata.sorted_tables:
        yield from (column for column in table.columns if column.info.get("encrypted"))
