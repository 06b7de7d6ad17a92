"""The scene that most tests begin with: an empty deployment, an account, its key."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from database import Postgresql
from s3 import Server
from shiftlog.catalog import accounts
from shiftlog.catalog import keys as catalog_keys
from shiftlog.catalog.keys import NewKey
from shiftlog.house import House
from shiftlog.settings import Settings


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgresql]:
    """A PostgreSQL server, which stops when the process's tests are done."""
    # Not in pytest's own directory, which the user that PostgreSQL runs as may not enter.
    with tempfile.TemporaryDirectory(prefix="shiftlog-postgresql-") as scratch:
        Path(scratch).chmod(0o755)
        server = Postgresql.start(Path(scratch) / "server")
        yield server
        server.remove()


@pytest.fixture(autouse=True)
def log() -> Iterator[None]:
    """The log goes where each test has it go, and not to what an earlier test read."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """An empty deployment in a directory; parts are visible as soon as they are committed."""
    opened = House.open(tmp_path / "data", create=True, settings=Settings(lead_milliseconds=0))
    yield opened
    opened.close()


@pytest.fixture
def account(house: House) -> str:
    """An account without a key."""
    with house.catalog.write() as conn:
        accounts.ensure(conn, "A", house.catalog.now(), house.settings)
    return "A"


@pytest.fixture
def keys(house: House, account: str) -> NewKey:
    """A key of the account with all permissions."""
    with house.catalog.write() as conn:
        return catalog_keys.create(conn, house.vault, account, ["read", "write", "admin"], house.catalog.now())


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    """The S3 server of this run."""
    mine = tmp_path_factory.getbasetemp()
    return Server.start((mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine) / "server")


@pytest.fixture
def s3(s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty store on S3; the variables that lead to it are set."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server.place()
