"""Bringing a catalog's tables up to date (Alembic). Versions are numbered; a catalog of a newer version is not touched."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from shiftlog.errors import Unusable

HEAD = "0007"
_LOCK = 0x5348_4946_544C  # "SHIFTL", the name of PostgreSQL's lock under which tables are made
_SCRIPTS = Path(__file__).parent / "migrations"


def upgrade(engine: sa.Engine) -> None:
    """Make or upgrade the tables; cheap where there is nothing to do.

    Raises:
        Unusable: the catalog was written by a newer version.
    """
    found = version(engine)
    if found == HEAD:
        return
    if found is not None and found > HEAD:
        raise Unusable(f"the catalog has version {found}, this shiftlog knows versions up to {HEAD}; use a newer shiftlog")
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    # Two processes may open a new catalog at once: the lock lets one of them make it, the other finds it made.
    with engine.connect().execution_options(shiftlog_write=True) as conn, conn.begin():
        if engine.dialect.name == "postgresql":
            conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        if _version(conn) != HEAD:
            config.attributes["connection"] = conn
            command.upgrade(config, "head")


def version(engine: sa.Engine) -> str | None:
    """The version of a catalog's tables; None where there are none.

    Raises:
        Unusable: a database with tables that are not shiftlog's.
    """
    with engine.connect() as conn:
        return _version(conn)


def _version(conn: sa.Connection) -> str | None:
    tables = set(sa.inspect(conn).get_table_names())
    if {"alembic_version", "session_ids"} <= tables:  # Alembic alone may keep the database for somebody else
        found = conn.scalar(sa.text("SELECT version_num FROM alembic_version"))
        return None if found is None else str(found)
    if tables:
        raise Unusable(f"the database holds other tables ({', '.join(sorted(tables)[:5])}); give shiftlog one of its own")
    return None
