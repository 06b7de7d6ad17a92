"""A real PostgreSQL for tests: one server a process, started when it is first asked for; a fresh database for each test."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from shiftlog.catalog import Catalog

SCRIPT = Path(__file__).parents[1] / "scripts" / "postgresql.sh"


@dataclass(frozen=True, slots=True)
class Postgresql:
    """A running server: its directory, and the URL of its first database."""

    directory: Path
    url: str

    @classmethod
    def start(cls, directory: Path) -> Postgresql:
        started = subprocess.run([SCRIPT, "start", directory], capture_output=True, text=True, check=True)
        server = cls(directory, started.stdout.strip())
        # What every catalog begins as: copying it is quicker than making it.
        # Its text is sorted as people sort it, which no query may rely on, nor be harmed by.
        server.run("CREATE DATABASE template_shiftlog TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'")
        Catalog.open(server._of("template_shiftlog")).close()
        return server

    @contextmanager
    def database(self, *, template: str = "template_shiftlog") -> Iterator[str]:
        """The URL of a catalog without a row (with `template0`: of a database without a table), which goes when the block ends."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield self._of(name)
        self.run(f"DROP DATABASE {name} WITH (FORCE)")

    def restart(self) -> None:
        """As after a crash: every connection is cut, and what was committed is there."""
        subprocess.run([SCRIPT, "restart", self.directory], capture_output=True, check=True)

    def stop(self) -> None:
        """As a crash does."""
        subprocess.run([SCRIPT, "crash", self.directory], capture_output=True, check=True)

    def start_again(self) -> None:
        subprocess.run([SCRIPT, "start", self.directory], capture_output=True, check=True)

    def remove(self) -> None:
        subprocess.run([SCRIPT, "remove", self.directory], capture_output=True, check=True)

    def _of(self, name: str) -> str:
        return f"{self.url.rpartition('/')[0]}/{name}"

    def run(self, statement: str) -> None:
        """Do something as the server's owner, in its first database."""
        engine = sa.create_engine(self.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as conn:
            conn.exec_driver_sql(statement)
