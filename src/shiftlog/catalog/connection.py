"""Opening a catalog, and its two kinds of transactions: `read` (a snapshot) and `write` (takes the write lock at once)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from shiftlog.catalog import migrate
from shiftlog.errors import Later, Unusable

_BUSY_SECONDS = 30
# Older ones, Debian's among them, can lose a committed row in WAL mode with two connections. The wheel brings a newer one.
SAFE_WAL = (3, 51, 3)


class Catalog:
    """One open catalog. Safe to use from several threads; each transaction has a connection of its own."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.one_machine = engine.dialect.name == "sqlite"
        # SQLite's transactions see one state by themselves. A writer of PostgreSQL sees what others have committed once it has the lock.
        snapshot = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._reading = engine if self.one_machine else engine.execution_options(**snapshot)
        # SQLite has one writer. Waiting here is fair and prompt; waiting in SQLite is polling.
        self._writing = threading.RLock() if self.one_machine else None

    @classmethod
    def open(cls, url: str, *, create: bool = True) -> Catalog:
        """The catalog at a database URL or a SQLite file's path, its tables made or brought up to date.

        Raises:
            Unusable: it cannot be reached or written, is not there (and `create` is false), or is of a newer version.
        """
        path = _sqlite_path(url)
        if path and not create and not path.exists():
            raise Unusable(
                f"there is no shiftlog catalog at {path}; make one with: shiftlog keys create --data {path.parent} --account NAME"
            )
        catalog = cls(_sqlite(path) if path else _server(url))
        try:
            migrate.upgrade(catalog.engine)
        except sa.exc.OperationalError as error:
            raise Unusable(f"the catalog {_shown(url)} cannot be opened: {_said(error)}") from None
        except sa.exc.DatabaseError as error:
            raise Unusable(f"{_shown(url)} is not a shiftlog catalog: {_said(error)}") from None
        return catalog

    def close(self) -> None:
        self.engine.dispose()

    def now(self, conn: sa.Connection | None = None) -> int:
        """The catalog's clock in epoch ms: this machine's for SQLite, the database server's otherwise."""
        if self.one_machine:
            return time.time_ns() // 1_000_000
        if conn is None:
            with self.read() as fresh:
                return self.now(fresh)
        return int(conn.scalar(sa.text("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")))

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state, as of its first look, and changes nothing."""
        with _translated(), self._reading.begin() as conn:
            yield conn

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that may change things; all of it is durable when the block ends, or none."""
        lock = self._writing
        if lock is not None and not lock.acquire(timeout=_BUSY_SECONDS):
            raise Later("the catalog is busy", retry_after=1)
        try:
            with _translated(), self.engine.connect().execution_options(shiftlog_write=True) as conn, conn.begin():
                yield conn
        finally:
            if lock is not None:
                lock.release()


def insert(conn: sa.Connection, table: sa.Table) -> Any:
    """The dialect's own INSERT, which knows `on_conflict_do_nothing` and `on_conflict_do_update`."""
    from sqlalchemy.dialects import postgresql, sqlite

    return (sqlite if conn.dialect.name == "sqlite" else postgresql).insert(table)


@contextmanager
def _translated() -> Iterator[None]:
    """What can be tried again, as an error that says so. Whether a COMMIT that was cut off came through is not known: whoever
    commits must be able to repeat it."""
    try:
        yield
    except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError) as error:
        raise Later(f"the catalog does not answer: {_said(error)}", retry_after=1) from error


def _sqlite_path(url: str) -> Path | None:
    if url.startswith("sqlite:///"):
        return Path(url.removeprefix("sqlite:///"))
    return None if "://" in url else Path(url)


def _sqlite(path: Path) -> sa.Engine:
    from pysqlite3 import dbapi2

    engine = sa.create_engine(
        f"sqlite+pysqlite:///{path}",
        module=dbapi2,
        connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
        pool_size=16,
        max_overflow=64,
    )
    sa.event.listen(engine, "connect", _configure)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _configure(dbapi_connection: Any, _record: Any) -> None:
    from pysqlite3 import dbapi2

    dbapi_connection.isolation_level = None  # transactions are begun by `_begin`, not by the driver's guess
    journal = "WAL" if dbapi2.sqlite_version_info >= SAFE_WAL else "DELETE"
    for pragma in (f"journal_mode = {journal}", "synchronous = FULL", "foreign_keys = ON"):
        dbapi_connection.execute(f"PRAGMA {pragma}")


def _begin(conn: sa.Connection) -> None:
    write = conn.get_execution_options().get("shiftlog_write", False)
    conn.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _server(url: str) -> sa.Engine:
    try:
        if not url.startswith("postgresql"):
            raise sa.exc.ArgumentError
        return sa.create_engine(
            url,
            pool_size=16,
            max_overflow=16,
            pool_timeout=_BUSY_SECONDS,
            pool_pre_ping=True,  # after a restart of the server, connections that it cut off are replaced and not used
            isolation_level="READ COMMITTED",
            connect_args={"connect_timeout": 10, "application_name": "shiftlog", "options": f"-c lock_timeout={_BUSY_SECONDS}s"},
        )
    except ModuleNotFoundError as error:
        raise Unusable(f"the catalog {_shown(url)} needs a driver: pip install 'shiftlog[postgresql]' ({error.name} is missing)") from None
    except sa.exc.ArgumentError:
        raise Unusable(f"{_shown(url)} is not a database URL; a file's path or postgresql+psycopg://… is expected") from None


def _said(error: sa.exc.SQLAlchemyError) -> str:
    """What the database said, on one line."""
    lines = str(getattr(error, "orig", None) or error).splitlines()
    return " ".join(line.strip() for line in lines if line.strip())


def _shown(url: str) -> str:
    """The URL without its password."""
    try:
        return sa.make_url(url).render_as_string(hide_password=True) if "://" in url else url
    except sa.exc.ArgumentError:
        return "the catalog"
