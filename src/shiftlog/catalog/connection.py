"""Opening a catalog, and its two kinds of transactions: `read` (a snapshot) and `write` (takes the write lock at once).

Where the catalog is a database server, it may be gone for a while, or be gone in the middle of anything (docs/decisions/0010).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import sqlalchemy as sa

from shiftlog.catalog import migrate
from shiftlog.errors import Damaged, Later, Unusable

T = TypeVar("T", covariant=True)
U = TypeVar("U")

_BUSY_SECONDS = 30
_PAUSES = (0.05, 0.1, 0.2, 0.5)  # seconds between attempts at a catalog that does not answer; the last one from then on
# A connection whose other end has vanished without a word is given up after so many seconds.
_SCRUB_PAUSES = (0.1, 0.5, 1.0, 2.0, 5.0)  # seconds to wait for those who are reading in SQLite's log
_WATCHED = {"keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": _BUSY_SECONDS * 1000}
# What SQLite says of a file whose bytes are not those that it wrote.
_ROTTEN = ("malformed", "Could not decode")
_RESTORE = "stop its servers, and go on with the last back-up (shiftlog restore)"
_UNFIT = ("25006", "25P03")  # SQLSTATEs: a server that was demoted to a standby; a transaction that idled for too long
# Older ones, Debian's among them, can lose a committed row in WAL mode with two connections. The wheel brings a newer one.
SAFE_WAL = (3, 51, 3)


class Attempt(Protocol[T]):
    """What is to be done in a write transaction. With `again`, an attempt before may have been committed: look first, under a
    lock that it held, too."""

    def __call__(self, conn: sa.Connection, *, again: bool) -> T: ...


class Catalog:
    """One open catalog. Safe to use from several threads; each transaction has a connection of its own."""

    def __init__(self, engine: sa.Engine, patience: float = 0.0) -> None:
        self.engine = engine
        self.one_machine = engine.dialect.name == "sqlite"
        self._patience = patience
        self._silence: tuple[float, float] | None = None  # since when nothing was answered, and when that was last noticed
        # SQLite's transactions see one state by themselves. A writer of PostgreSQL sees what others have committed once it has the lock.
        snapshot = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._reading = engine if self.one_machine else engine.execution_options(**snapshot)
        # SQLite has one writer. Waiting here is fair and prompt; waiting in SQLite is polling.
        self._writing = threading.RLock() if self.one_machine else None

    @classmethod
    def open(cls, url: str, *, create: bool = True, connections: int = 20, patience: float = 0.0) -> Catalog:
        """The catalog at a database URL or a SQLite file's path, its tables made or brought up to date.

        Of a database server, at most `connections` are used at once, and `persist` tries for `patience` seconds.

        Raises:
            Unusable: it cannot be reached or written, is not there (and `create` is false), or is of a newer version.
            Damaged: SQLite's file is not what was written.
        """
        path = _sqlite_path(url)
        if path and not create and not path.exists():
            raise Unusable(
                f"there is no shiftlog catalog at {path}; make one with: shiftlog keys create --data {path.parent} --account NAME"
            )
        catalog = cls(_sqlite(path) if path else _server(url, connections), patience)
        try:
            if not create and migrate.version(catalog.engine) is None:
                raise Unusable(f"there is no shiftlog catalog in {_shown(url)}; it comes with the first key: shiftlog keys create")
            migrate.upgrade(catalog.engine)
        except UnicodeDecodeError as error:  # in the names of SQLite's tables
            raise _damaged(error) from None
        except sa.exc.DatabaseError as error:
            if _is_rotten(error):
                raise _damaged(error) from None
            if isinstance(error, sa.exc.OperationalError):
                raise Unusable(f"the catalog {_shown(url)} cannot be opened: {_said(error)}") from None
            raise Unusable(f"{_shown(url)} is not a shiftlog catalog: {_said(error)}; if it was one, {_RESTORE}") from None
        return catalog

    def close(self) -> None:
        self.engine.dispose()

    def now(self, conn: sa.Connection | None = None) -> int:
        """The catalog's clock in epoch ms: this machine's for SQLite, the database server's otherwise.

        In a `read`, the instant at which it began. What a read does not see was committed after it, and stamped with a later time,
        or else the floor tells (docs/decisions/0003).
        """
        if self.one_machine:
            return time.time_ns() // 1_000_000
        if conn is None:
            return self._patiently(self._ask_clock)
        return _clock(conn, "clock_timestamp()" if _is_write(conn) else "transaction_timestamp()")

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state, as of its first look, and changes nothing."""
        with _translated(), self._reading.begin() as conn:
            yield conn

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that may change things; all of it is durable when the block ends, or none.

        A COMMIT that was cut off may have come through: where that matters, use `persist`.
        """
        with _translated(), self._write() as conn:
            yield conn

    def persist(self, attempt: Attempt[T]) -> T:
        """A write transaction that is tried again while the database server does not answer, until it is known what came of it.

        Raises:
            Later: it still does not answer; the message says so where it is not known whether the transaction was committed.
        """
        uncertain = False

        def once() -> T:
            nonlocal uncertain
            done = False
            try:
                with self._write() as conn:
                    result = attempt(conn, again=uncertain)
                    done = True
            except sa.exc.SQLAlchemyError:
                uncertain |= done and not self.one_machine
                raise
            return result

        return self._patiently(once, lambda: "; it is not known whether this was done" if uncertain else "")

    def scrub(self) -> bool:
        """Leave nothing in the catalog's files of what was deleted before; False where others are in the way for long.

        A database server has ways of its own (docs/deploy.md): here it is only asked to reuse the room of deleted rows.
        """
        if self._writing is None:
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
                conn.exec_driver_sql("VACUUM names, schedules, session_ids, asides, batches")
            return True
        with self._writing:
            return any(map(self._scrub_file, _SCRUB_PAUSES))

    def copy(self, target: Path) -> None:
        """Write what SQLite's file holds at one moment to a new file, durably; others go on reading and writing meanwhile.

        Raises:
            Later: there is no space for it, or the file cannot be written.
            Damaged: SQLite's file is not what was written.
        """
        conn = self.engine.raw_connection()  # this cannot be done in a transaction
        try:
            conn.cursor().execute("VACUUM INTO ?", (str(target),))
        except self.engine.dialect.loaded_dbapi.OperationalError as error:
            raise Later(f"the catalog cannot be copied to {target}: {error}", retry_after=60) from None
        except self.engine.dialect.loaded_dbapi.DatabaseError as error:
            raise _damaged(error) from None
        finally:
            conn.close()

    def check(self) -> None:
        """Return if SQLite's file is whole: all of it is read. Others go on meanwhile. A database server looks after its own.

        Raises:
            Damaged: it is not.
        """
        if not self.one_machine:
            return
        with self.read() as conn:
            found = [" ".join(str(row[0]).split()) for row in conn.execute(sa.text("PRAGMA integrity_check(3)"))]
        if found != ["ok"]:
            raise _damaged("; ".join(found))

    def _scrub_file(self, pause: float) -> bool:
        """Write SQLite's file anew, and what is in its log into it, whereby the log is emptied; else wait (s)."""
        conn = self.engine.raw_connection()  # these cannot be done in a transaction
        try:
            cursor = conn.cursor()
            cursor.execute("VACUUM")
            busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except self.engine.dialect.loaded_dbapi.OperationalError:
            busy = True
        finally:
            conn.close()
        if busy:
            time.sleep(pause)
        return not busy

    def _patiently(self, once: Callable[[], U], remark: Callable[[], str] = lambda: "") -> U:
        for pause in chain(_PAUSES, repeat(_PAUSES[-1])):
            try:
                result = once()
            except sa.exc.SQLAlchemyError as error:
                if _is_rotten(error):
                    raise _damaged(error) from error
                if not _passing(error):
                    raise
                if self.one_machine or self._gives_up():
                    raise _later(error, remark()) from error
            else:
                self._silence = None
                return result
            time.sleep(pause)
        raise AssertionError

    def _gives_up(self) -> bool:
        """Whether the server has been silent for longer than anyone is to wait; whoever comes then is told so at once."""
        now = time.monotonic()
        since, last = self._silence or (now, now)
        if now - last > max(self._patience, 1.0):
            since = now  # that was another silence, which nobody saw end
        self._silence = since, now
        return now - since >= self._patience

    def _ask_clock(self) -> int:
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            return _clock(conn, "clock_timestamp()")

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        lock = self._writing
        if lock is not None and not lock.acquire(timeout=_BUSY_SECONDS):
            raise Later("the catalog is busy", retry_after=1)
        try:
            with self.engine.connect().execution_options(shiftlog_write=True) as conn, conn.begin():
                yield conn
        finally:
            if lock is not None:
                lock.release()


@contextmanager
def looking(path: Path) -> Iterator[sa.Connection]:
    """A look into a copy of SQLite's file, of which not a byte is changed.

    Raises:
        Damaged: it is not one.
    """
    from pysqlite3 import dbapi2

    engine = sa.create_engine(f"sqlite+pysqlite:///file:{quote(str(path))}?mode=ro&immutable=1&uri=true", module=dbapi2)
    try:
        with engine.connect() as conn:
            yield conn
    except sa.exc.DatabaseError as error:
        raise Damaged(f"{path} is not a shiftlog catalog: {_said(error)}") from None
    finally:
        engine.dispose()


def _is_write(conn: sa.Connection) -> bool:
    return bool(conn.get_execution_options().get("shiftlog_write", False))


def _clock(conn: sa.Connection, function: str) -> int:
    return int(conn.scalar(sa.text(f"SELECT floor(extract(epoch FROM {function}) * 1000)::bigint")))  # noqa: S608 (one of two words)


def insert(conn: sa.Connection, table: sa.Table) -> Any:
    """The dialect's own INSERT, which knows `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return insert_of(conn.dialect.name, table)


def insert_of(dialect: str, table: sa.Table) -> Any:
    """`insert`, for a statement that is made once for all connections."""
    from sqlalchemy.dialects import postgresql, sqlite

    return (sqlite if dialect == "sqlite" else postgresql).insert(table)


def pairs_of(dialect: str) -> sa.FromClause:
    """Texts and whole numbers as rows (`key`, `value`), for any number of them, which are given by the parameters of `paired`."""
    from sqlalchemy.dialects.postgresql import ARRAY

    if dialect == "sqlite":
        given = sa.func.json_each(sa.bindparam("pairs", type_=sa.String))
        return given.table_valued(sa.column("key", sa.String), sa.column("value", sa.BigInteger))
    given = sa.func.unnest(sa.bindparam("texts", type_=ARRAY(sa.Text)), sa.bindparam("numbers", type_=ARRAY(sa.BigInteger)))
    return given.table_valued(sa.column("key", sa.Text), sa.column("value", sa.BigInteger)).render_derived()


def paired(dialect: str, found: Mapping[str, int]) -> dict[str, Any]:
    """The parameters of a statement with `pairs_of`."""
    return {"pairs": json.dumps(found)} if dialect == "sqlite" else {"texts": list(found), "numbers": list(found.values())}


def unlocked(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """The rows that meet the conditions, but for those that another transaction is at: who deletes many rows waits for nobody."""
    key = [*table.primary_key]
    rows = sa.select(*key).where(*conditions).with_for_update(skip_locked=True)
    return sa.tuple_(*key).in_(rows)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        if _is_rotten(error):
            raise _damaged(error) from error
        if not _passing(error):
            raise
        raise _later(error) from error


def _passing(error: sa.exc.SQLAlchemyError) -> bool:
    """Whether it may go well next time."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    return isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError | sa.exc.TimeoutError) or state in _UNFIT


def _is_rotten(error: sa.exc.SQLAlchemyError) -> bool:
    """Whether SQLite's file is not what was written: to try again would not help."""
    return isinstance(error, sa.exc.DatabaseError) and any(sign in str(error.orig) for sign in _ROTTEN)


def _damaged(found: Exception | str) -> Damaged:
    said = _said(found) if isinstance(found, sa.exc.SQLAlchemyError) else str(found)
    return Damaged(f"the catalog is damaged ({said}): {_RESTORE}")


def _later(error: sa.exc.SQLAlchemyError, remark: str = "") -> Later:
    return Later(f"the catalog does not answer: {_said(error)}{remark}", retry_after=1)


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
    _set_journal(dbapi_connection, journal)
    # What is deleted is overwritten: the names of a forgotten agent must not stay in free pages.
    for pragma in ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
        dbapi_connection.execute(f"PRAGMA {pragma}")


def _set_journal(dbapi_connection: Any, journal: str) -> None:
    """Of several processes that open a new file at once, SQLite tells all but one that it is locked, whatever its time-out."""
    from pysqlite3 import dbapi2

    until = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            dbapi_connection.execute(f"PRAGMA journal_mode = {journal}")
            return
        except dbapi2.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
        time.sleep(0.01)


def _begin(conn: sa.Connection) -> None:
    conn.exec_driver_sql("BEGIN IMMEDIATE" if _is_write(conn) else "BEGIN")


def _server(url: str, connections: int) -> sa.Engine:
    try:
        if not url.startswith("postgresql"):
            raise sa.exc.ArgumentError
        usual = {"connect_timeout": 10, "application_name": "shiftlog", "options": f"-c lock_timeout={_BUSY_SECONDS}s", **_WATCHED}
        given = sa.make_url(url).query
        engine = sa.create_engine(
            url,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=_BUSY_SECONDS,
            pool_use_lifo=True,  # what a peak needed goes unused afterwards, and is closed by the server or by nobody
            pool_pre_ping=True,  # after a restart of the server, connections that it cut off are replaced and not used
            isolation_level="READ COMMITTED",
            connect_args={name: value for name, value in usual.items() if name not in given},
        )
    except ModuleNotFoundError as error:
        raise Unusable(f"the catalog {_shown(url)} needs a driver: pip install 'shiftlog[postgresql]' ({error.name} is missing)") from None
    except sa.exc.ArgumentError:
        raise Unusable(f"{_shown(url)} is not a database URL; a file's path or postgresql+psycopg://… is expected") from None
    sa.event.listen(engine, "connect", _ensure_durable)
    return engine


def _ensure_durable(dbapi_connection: Any, _record: Any) -> None:
    # A server that acknowledges before its disk does would make our own acknowledgement untrue. Other values say how many must have it.
    with dbapi_connection.cursor() as cursor:
        cursor.execute("SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
    dbapi_connection.commit()


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
