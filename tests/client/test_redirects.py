"""Files from the bucket itself: the server sends those who ask there, by an address that is theirs alone, and every reader follows."""

from __future__ import annotations

import hashlib
import logging
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import duckdb
import httpx
import polars as pl
import pyarrow.parquet as pq
import pytest

from client.servers import hasty, profile, running
from readers import all_parts, land, publish_at
from s3 import Server
from scenes import HOUR, MINUTE, T0, event, login, logout, sent
from shiftlog import lake
from shiftlog.catalog import accounts
from shiftlog.catalog import keys as catalog_keys
from shiftlog.catalog.keys import NewKey
from shiftlog.catalog.parts import Part
from shiftlog.client import Client, verify
from shiftlog.client.pull import Options, pull
from shiftlog.errors import Later, Missing, Unusable
from shiftlog.house import House
from shiftlog.server import downloads
from shiftlog.server.app import create_app
from shiftlog.settings import Settings
from weather import Weather, before


@dataclass(frozen=True)
class Site:
    """A server that sends its clients to a bucket, behind a proxy that sees what they ask there."""

    house: House
    key: NewKey
    url: str
    weather: Weather
    log: Path

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key.bearer}"}

    @property
    def parts(self) -> list[Part]:
        return all_parts(self.house)

    def file(self, part: Part, suffix: str = "gz") -> str:
        return f"{self.url}/data_access_le/account/A/le/agentActivity/{part.name}.{suffix}"

    def client(self) -> Client:
        return Client(profile(self.key, self.url), patience=hasty())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, s3_server: Server) -> Iterator[Site]:
    """Two hours published."""
    scratch = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as monkeypatch, before(s3_server.endpoint) as weather:
        variables = s3_server.environment | {"AWS_ENDPOINT_URL": weather.url, "SHIFTLOG_STORE": s3_server.place()}
        for name, value in {**variables, "SHIFTLOG_DOWNLOADS": "redirect", "SHIFTLOG_LEAD_MILLISECONDS": "0"}.items():
            monkeypatch.setenv(name, value)
        house = House.open(scratch / "data", create=True)
        with house.catalog.write() as conn:
            accounts.ensure(conn, "A", house.catalog.now(), house.settings)
            key = catalog_keys.create(conn, house.vault, "A", ["read", "write"], house.catalog.now())
        for start in (T0, T0 + HOUR):
            agents = [
                (login(start, agentID=n), event(start + MINUTE, agentID=n, state=2), logout(start + 2 * MINUTE, agentID=n))
                for n in range(999)
            ]
            land(house, sent(*(made for events in agents for made in events)))
        publish_at(house, T0 + 4 * HOUR)
        with running(house, log=scratch / "log") as url:
            yield Site(house, key, url, weather, scratch / "log")
        house.close()


def asked(site: Site, function: object) -> list[tuple[str, str, dict[str, str]]]:
    """What was asked of the bucket while a function ran."""
    site.weather.seen.clear()
    function()
    return list(site.weather.seen)


def location(site: Site, suffix: str = "gz") -> str:
    """An address that the server gives."""
    answer = httpx.get(site.file(site.parts[0], suffix), headers=site.bearer)
    assert answer.status_code == 307
    return answer.headers["Location"]


# ── what the server answers ──


def test_a_file_is_to_be_had_from_the_bucket(site: Site):
    """By an address that lives as long as the setting says, and is kept by nobody on the way."""
    answer = httpx.get(site.file(site.parts[0]), headers=site.bearer)
    assert (answer.status_code, answer.content, answer.headers["Cache-Control"]) == (307, b"", "no-store")
    target = urlsplit(answer.headers["Location"])
    assert (target.netloc, parse_qs(target.query)["X-Amz-Expires"]) == (urlsplit(site.weather.url).netloc, ["3600"])


def test_the_address_lives_as_long_as_a_slow_download():
    """Of that very file, at the slowest rate; and no longer than services sign."""
    settings = Settings(download_seconds=60, download_bytes_per_second=1_000)
    assert [downloads.life(settings, size) for size in (0, 60_000, 60_001, 10**6, 10**12)] == [60, 60, 61, 1_000, 604_800]


def test_what_the_server_knows_it_answers_itself(site: Site):
    """HEAD, a file that the client has, a range that is none, and who may not ask: nothing of it needs the bucket."""
    part = site.parts[0]
    url, etag = site.file(part), {"If-None-Match": f'"{part.gz_sha256}"'}

    def ask() -> None:
        head = httpx.head(url, headers=site.bearer)
        assert (head.status_code, head.headers["Content-Length"], head.headers["ETag"]) == (200, str(part.gz_bytes), etag["If-None-Match"])
        assert head.headers["Accept-Ranges"] == "bytes"
        assert httpx.get(url, headers=site.bearer | etag).status_code == 304
        assert httpx.get(url, headers=site.bearer | {"Range": f"bytes={part.gz_bytes}-"}).status_code == 416
        assert httpx.get(url).status_code == 401

    assert asked(site, ask) == []


@pytest.mark.parametrize("suffix", ["zip", "avro"])
def test_what_is_made_is_sent_from_here(site: Site, suffix: str):
    """It lies in no bucket."""
    assert httpx.get(site.file(site.parts[0], suffix), headers=site.bearer).status_code == 200


def test_a_store_that_signs_nothing_is_refused_at_the_start(tmp_path: Path):
    """With what to do."""
    house = House.open(tmp_path / "data", create=True, settings=Settings(downloads="redirect"), store=str(tmp_path / "objects"))
    with pytest.raises(Unusable, match=r"needs a store that signs addresses .*; found the directory .*: set SHIFTLOG_DOWNLOADS=stream"):
        create_app(house)
    house.close()


# ── readers ──


def test_httpx_follows(site: Site):
    """And does not show the key to the bucket."""
    part = site.parts[0]
    answer = httpx.get(site.file(part), headers=site.bearer, follow_redirects=True)
    assert hashlib.sha256(answer.content).hexdigest() == part.gz_sha256
    assert answer.headers["Content-Type"] == "application/gzip"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{part.name}.gz"'
    assert "Content-Encoding" not in answer.headers
    assert "authorization" not in site.weather.seen[-1][2]


def test_curl_follows(site: Site, tmp_path: Path):
    """Also from where a download was broken off."""
    part = site.parts[0]
    (tmp_path / "file").write_bytes(site.house.store.get(part.gz_key)[:100])
    header = f"Authorization: {site.bearer['Authorization']}"
    for command in (["--output", tmp_path / "whole"], ["--continue-at", "-", "--output", tmp_path / "file"]):
        subprocess.run(
            ["curl", "--fail", "--silent", "--show-error", "--location", "--header", header, *command, site.file(part)], check=True
        )
    for name in ("whole", "file"):
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == part.gz_sha256


def test_pyarrow_follows_by_fsspec(site: Site):
    """Range by range, and the columns that it needs."""
    fsspec = pytest.importorskip("fsspec")
    pytest.importorskip("aiohttp")
    part = site.parts[0]

    def read() -> None:
        with fsspec.filesystem("http", client_kwargs={"headers": site.bearer}).open(site.file(part, "parquet"), block_size=2_000) as file:
            assert pq.read_table(file, columns=["agentID"]).num_rows == part.events

    ranges = [headers["range"] for _, _, headers in asked(site, read)]
    assert len(ranges) > 1
    assert all(headers.get("authorization") is None for _, _, headers in site.weather.seen)


def test_a_reader_that_knows_no_key_reads_by_the_address(site: Site):
    """As Polars, and everything else that reads Parquet by URL."""
    part = site.parts[0]
    assert pl.read_parquet(location(site, "parquet"), columns=["agentID"]).height == part.events


def test_duckdb_follows(site: Site):
    """Where its httpfs extension is installed as a package of the same version."""
    package = Path(pytest.importorskip("duckdb_extension_httpfs").__file__).parent
    extension = package / "extensions" / f"v{duckdb.__version__}" / "httpfs.duckdb_extension"
    if not extension.exists():
        pytest.skip("it is of another version")
    connection = duckdb.connect()
    connection.execute(f"LOAD '{extension}'")
    connection.execute(f"CREATE SECRET (TYPE http, BEARER_TOKEN '{site.key.bearer}')")
    found = connection.execute(f"SELECT count(*) FROM read_parquet('{site.file(site.parts[0], 'parquet')}')").fetchone()
    assert found == (site.parts[0].events,)


# ── addresses that are not good ──


def test_an_address_expires(site: Site):
    """Then it opens nothing."""
    url = site.house.store.signed(site.parts[0].gz_key, 3)
    assert httpx.get(url).status_code == 200
    time.sleep(4)
    assert httpx.get(url).status_code == 403


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("X-Amz-Expires=3600", "X-Amz-Expires=36000"),
        ("part-00000", "part-00001"),
        ("/parts/A/", "/parts/B/"),
        ("Signature=", "Signature=0"),
    ],
)
def test_an_address_is_for_what_it_was_made_for(site: Site, old: str, new: str):
    """Neither for longer, nor for another object, nor for other methods."""
    url = location(site)
    assert old in url
    assert httpx.get(url.replace(old, new)).status_code == 403
    assert [httpx.request(method, url).status_code for method in ("PUT", "DELETE")] == [403, 403]


# ── our own client ──


def test_the_client_follows_and_shows_nothing(site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Neither OAuth's signature to the bucket, nor the address to the log."""
    caplog.set_level(logging.INFO)
    part = site.parts[0]

    def download() -> None:
        with site.client() as client:
            [first, _] = client.list(0).files
            assert hashlib.sha256(client.download(first, tmp_path).read_bytes()).hexdigest() == part.gz_sha256

    [(method, path, headers)] = asked(site, download)
    assert (method, "authorization" in headers) == ("GET", False)
    assert "X-Amz-Signature" in path
    assert "X-Amz-Signature" not in caplog.text
    assert urlsplit(path).path in caplog.text


def test_a_pull_is_proved_by_the_manifest(site: Site, tmp_path: Path):
    """The bytes are the same, wherever they come from."""
    with site.client() as client:
        summary = pull(client, tmp_path / "lake", Options(), now=site.house.catalog.now())
        assert (summary.new, summary.failed) == (2, {})
        assert verify.against(lake.read(tmp_path / "lake"), client.manifest()).wrong == []


@pytest.mark.parametrize("befalls", ["expired", "slow down", "lost", "cut"])
def test_a_download_goes_on_after(site: Site, tmp_path: Path, befalls: str):
    """The server is asked for another address, and what came is not asked for again."""
    site.weather.coming.append(befalls)
    with site.client() as client:
        [first, _] = client.list(0).files
        assert hashlib.sha256(client.download(first, tmp_path).read_bytes()).hexdigest() == site.parts[0].gz_sha256
    _, _, headers = site.weather.seen[-1]
    assert ("range" in headers) == (befalls == "cut")


def test_a_bucket_that_refuses_for_good(site: Site, tmp_path: Path):
    """Ends with an error that names the two, and no address."""
    site.weather.coming.extend(["expired"] * 4)
    with site.client() as client:
        [first, _] = client.list(0).files
        with pytest.raises(Later, match=r"127.0.0.1, to which 127.0.0.1 sends for Agent\.\S+, answered 403") as refusal:
            client.download(first, tmp_path)
    assert "X-Amz" not in str(refusal.value)


def test_an_object_that_is_gone(site: Site, tmp_path: Path):
    """As if the server had said it."""
    with site.client() as client:
        land(site.house, sent(login(T0 + 2 * HOUR, agentID=5), logout(T0 + 2 * HOUR + 1, agentID=5)))
        [part] = publish_at(site.house, T0 + 5 * HOUR)
        site.house.store.delete([part.gz_key])
        file = client.list(part.generated).files[0]
        with pytest.raises(Missing, match="it is not there"):
            client.download(file, tmp_path)


def test_the_server_logs_no_address(site: Site):
    """Of all that was asked here."""
    location(site)
    lines = site.log.read_text()
    assert '"status": 307' in lines
    assert "X-Amz" not in lines
