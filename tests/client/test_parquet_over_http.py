"""A part's Parquet is read where it lies, by URL: its length is told, and readers fetch the ranges they need."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import duckdb
import httpx
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from client.servers import running
from readers import all_parts, land, publish_at
from scenes import HOUR, MINUTE, T0, event, login, logout, sent
from shiftlog.catalog import accounts
from shiftlog.catalog import keys as catalog_keys
from shiftlog.house import House
from shiftlog.settings import Settings

Part = tuple[str, dict[str, str], pl.DataFrame]


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Part]:
    """The URL of a part on a running server, the headers that open it, and its rows."""
    house = House.open(tmp_path_factory.mktemp("served") / "data", create=True, settings=Settings(lead_milliseconds=0))
    with house.catalog.write() as conn:
        accounts.ensure(conn, "A", house.catalog.now(), house.settings)
        key = catalog_keys.create(conn, house.vault, "A", ["read"], house.catalog.now())
    agents = [(login(T0, agentID=n), event(T0 + MINUTE, agentID=n, state=2), logout(T0 + 2 * MINUTE, agentID=n)) for n in range(3000)]
    land(house, sent(*(made for events in agents for made in events)))
    publish_at(house, T0 + 3 * HOUR)
    [made] = all_parts(house)
    with running(house) as url:
        headers = {"Authorization": f"Bearer {key.bearer}"}
        yield (
            f"{url}/data_access_le/account/A/le/agentActivity/{made.name}.parquet",
            headers,
            pl.read_parquet(house.store.source(made.twin_key)),
        )
    house.close()


class Ranges(io.RawIOBase):
    """A file at a URL, read by ranges as object stores are."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._url, self._http, self._at, self.fetched = url, httpx.Client(headers=headers), 0, 0
        self._size = int(self._http.head(url).headers["Content-Length"])

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: bytearray) -> int:
        if self._at >= self._size or not len(buffer):
            return 0
        answer = self._http.get(self._url, headers={"Range": f"bytes={self._at}-{min(self._at + len(buffer), self._size) - 1}"})
        assert answer.status_code == 206
        buffer[: len(answer.content)] = answer.content
        self._at, self.fetched = self._at + len(answer.content), self.fetched + len(answer.content)
        return len(answer.content)


def test_pyarrow_fetches_the_ranges_it_needs(part: Part):
    """One column of many, and less than the file."""
    url, headers, rows = part
    file = Ranges(url, headers)
    found = pq.read_table(file, columns=["timestamp"], pre_buffer=False)
    assert found["timestamp"].to_pylist() == rows["timestamp"].to_list()
    assert file.fetched < file._size


def test_pandas_reads_a_url(part: Part):
    """With the key in a header."""
    url, headers, rows = part
    assert pd.read_parquet(url, storage_options=headers)["agentID"].tolist() == rows["agentID"].to_list()


def test_fsspec_reads_a_url(part: Part):
    """Where it is installed."""
    fsspec = pytest.importorskip("fsspec")
    pytest.importorskip("aiohttp")
    url, headers, rows = part
    with fsspec.filesystem("http", client_kwargs={"headers": headers}).open(url, block_size=2_000) as file:
        assert pq.read_table(file).num_rows == rows.height


def test_duckdb_reads_a_url(part: Part):
    """Where its httpfs extension is installed as a package of the same version."""
    package = Path(pytest.importorskip("duckdb_extension_httpfs").__file__).parent
    extension = package / "extensions" / f"v{duckdb.__version__}" / "httpfs.duckdb_extension"
    if not extension.exists():
        pytest.skip("it is of another version")
    url, headers, rows = part
    connection = duckdb.connect()
    connection.execute(f"LOAD '{extension}'")
    connection.execute(f"CREATE SECRET (TYPE http, BEARER_TOKEN '{headers['Authorization'].removeprefix('Bearer ')}')")
    assert connection.execute(f"SELECT count(*), sum(agentID) FROM read_parquet('{url}')").fetchone() == (
        rows.height,
        rows["agentID"].sum(),
    )
