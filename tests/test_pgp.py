"""Files of an account with an OpenPGP key: GnuPG reads what is served, nobody else can, and they stay as immutable as others."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import polars as pl
import pytest

from client.servers import Bridge, shiftlog_client
from database import Postgresql
from readers import all_parts, at, land, publish_at
from scenes import DAY, HOUR, T0, login, logout, sent
from shiftlog import pgp
from shiftlog.catalog import accounts, sweeping
from shiftlog.catalog.keys import NewKey
from shiftlog.client.pull import Options, pull
from shiftlog.erasure import forget
from shiftlog.errors import Damaged, Invalid, Unusable
from shiftlog.house import House
from shiftlog.lease import Worker
from shiftlog.proof import prove
from shiftlog.retention import sweep
from shiftlog.server.app import create_app
from shiftlog.settings import Settings

pytestmark = pytest.mark.skipif(not shutil.which("gpg"), reason="GnuPG is not installed")


class Gnupg:
    """A key ring of GnuPG."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *words: object, given: bytes = b"", passphrase: str = "") -> bytes:
        command = ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", passphrase, *map(str, words)]
        return subprocess.run(command, input=given, capture_output=True, check=True, env={**os.environ, "GNUPGHOME": str(self.home)}).stdout

    def make(self, who: str, kind: str, passphrase: str = "") -> None:
        """A key that signs, with a subkey for encryption; `signs` has none."""
        first, second = {"rsa": ("rsa4096", "rsa4096"), "ed25519": ("ed25519", "cv25519"), "signs": ("ed25519", "")}[kind]
        self("--quick-gen-key", who, first, "cert,sign", "1y", passphrase=passphrase)
        if second:
            listed = self("--with-colons", "--list-keys", who).decode().splitlines()
            fingerprint = next(line.split(":")[9] for line in listed if line.startswith("fpr"))
            self("--quick-add-key", fingerprint, second, "encr", "1y", passphrase=passphrase)

    def public(self, who: str, place: Path) -> Path:
        place.write_bytes(self("--armor", "--export", who))
        return place

    def private(self, who: str, place: Path, passphrase: str = "") -> Path:
        place.write_bytes(self("--armor", "--export-secret-keys", who, passphrase=passphrase))
        return place


@pytest.fixture
def gnupg() -> Iterator[Gnupg]:
    """An empty key ring, whose agent ends with the test."""
    with tempfile.TemporaryDirectory(prefix="gpg-") as home:  # a socket's path is short
        yield Gnupg(Path(home))
        subprocess.run(["gpgconf", "--kill", "all"], env={**os.environ, "GNUPGHOME": home}, capture_output=True)


@pytest.fixture
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """An empty deployment: in a directory, or with its catalog in PostgreSQL and its objects on S3."""
    with ExitStack() as stack:
        elsewhere: dict[str, str] = {}
        if getattr(request, "param", "directory") == "elsewhere":
            server: Postgresql = request.getfixturevalue("postgresql")
            elsewhere = {"catalog": stack.enter_context(server.database()), "store": request.getfixturevalue("s3")}
        opened = House.open(tmp_path / "data", create=True, settings=Settings(lead_milliseconds=0), **elsewhere)
        stack.callback(opened.close)
        yield opened


EVERYWHERE = pytest.mark.parametrize("house", ["directory", "elsewhere"], indirect=True)


@pytest.fixture
def published(house: House, account: str) -> House:
    """Two parts; the first was there before there was a key."""
    for hour in range(2):
        begin = T0 - 9 * DAY + hour * HOUR
        land(house, sent(login(begin, agentNickname="Ada"), logout(begin + 1)))
        publish_at(house, begin + 2 * HOUR)
    return house


def give(house: House, public: bytes | None) -> None:
    with house.catalog.write() as conn:
        accounts.update(conn, "A", {"pgp_key": None if public is None else pgp.public_key(public, "key")})


@pytest.fixture
def web(published: House, keys: NewKey) -> Iterator[httpx.Client]:
    """A client with the account's bearer token."""
    app = create_app(published, publish=False)
    app.state.services.start()
    bridge = Bridge(app)
    with httpx.Client(transport=bridge, base_url="http://da.example.net", headers={"Authorization": f"Bearer {keys.bearer}"}) as client:
        yield client
    app.state.services.stop()


LE = "/data_access_le/account/A/le/agentActivity"


@EVERYWHERE
@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_gnupg_reads_what_is_served(published: House, web: httpx.Client, gnupg: Gnupg, tmp_path: Path, kind: str):
    """Each part as the list names it, AES-256, the plain bytes in it; and the same message every time, in ranges, too."""
    gnupg.make("client@example.net", kind)
    give(published, gnupg.public("client@example.net", tmp_path / "public.asc").read_bytes())
    listed = web.get(LE, params={"startTime": 0}).json()["dataAccessFiles"]["file"]
    assert len(listed) == 2
    for part, file in zip(all_parts(published), listed, strict=True):
        assert file["@href"].endswith(f"{part.name}.gz.pgp")
        answer = web.get(file["@href"])
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pgp-encrypted")
        assert gnupg("--decrypt", given=answer.content) == published.store.get(part.gz_key)
        packets = subprocess.run(
            ["gpg", "--batch", "-v", "--list-packets"],
            input=answer.content,
            capture_output=True,
            env={**os.environ, "GNUPGHOME": str(gnupg.home)},
        )
        assert b"AES256" in packets.stderr
        again = web.get(file["@href"], headers={"Range": "bytes=10-99", "If-Range": answer.headers["etag"]})
        assert (again.status_code, again.content) == (206, answer.content[10:100])
        assert web.get(file["@href"], headers={"If-None-Match": answer.headers["etag"]}).status_code == 304


def test_no_other_form_is_served(published: House, web: httpx.Client, gnupg: Gnupg, tmp_path: Path):
    """Nor is the whole window, nor what is open; each is refused with what is allowed. Without a key there is no encrypted form."""
    name = str(all_parts(published)[0].name)
    assert web.get(f"{LE}/{name}.gz.pgp").status_code == 404
    gnupg.make("client@example.net", "ed25519")
    give(published, gnupg.public("client@example.net", tmp_path / "public.asc").read_bytes())
    for path in (*(f"{LE}/{name}{suffix}" for suffix in ("", ".gz", ".parquet", ".avro", ".zip")), f"{LE}.zip", "/api/v1/accounts/A/open"):
        answer = web.get(path, params={"startTime": 0} if path == f"{LE}.zip" else {})
        assert answer.status_code == 403, path
        assert "encrypted" in answer.json()["error"]["message"]
        assert b"Ada" not in answer.content
    give(published, None)
    assert web.get(f"{LE}/{name}.gz").status_code == 200


def test_a_key_that_has_expired_since(published: House, web: httpx.Client, gnupg: Gnupg):
    """Nothing is served unencrypted instead; the answer says who has to do what."""
    gnupg("--faked-system-time", "20200101T000000!", "--quick-gen-key", "old@example.net", "rsa2048", "default", "1d")
    with published.catalog.write() as conn:
        accounts.update(conn, "A", {"pgp_key": gnupg("--armor", "--export", "old@example.net").decode()})
    answer = web.get(f"{LE}/{all_parts(published)[0].name}.gz.pgp")
    assert (answer.status_code, "prolong" in answer.json()["error"]["message"]) == (503, True)


@EVERYWHERE
def test_encrypted_files_that_are_not_what_was_made(published: House, web: httpx.Client, gnupg: Gnupg, tmp_path: Path):
    """One in which a bit has flipped and one that is gone are named; the parts are right."""
    gnupg.make("client@example.net", "ed25519")
    give(published, gnupg.public("client@example.net", tmp_path / "public.asc").read_bytes())
    for file in web.get(LE, params={"startTime": 0}).json()["dataAccessFiles"]["file"]:
        assert web.get(file["@href"]).status_code == 200
    assert prove(published, "A").wrong == []
    first, second = sorted(found.key for found in published.store.list("pgp"))
    data = bytearray(published.store.get(first))
    data[100] ^= 1
    published.store.delete([first, second])
    published.store.put(first, bytes(data))
    assert prove(published, "A").wrong == [
        f"{first} of A was changed: it has another SHA-256 than was written",
        f"{second} of A was removed",
    ]


@EVERYWHERE
def test_encrypted_files_go_with_their_parts(published: House, web: httpx.Client, gnupg: Gnupg, tmp_path: Path):
    """With retention, when an agent is forgotten, and with the key; what is left is named by the catalog."""
    gnupg.make("client@example.net", "ed25519")
    key = gnupg.public("client@example.net", tmp_path / "public.asc").read_bytes()

    def kept() -> set[str]:
        return {found.key for found in published.store.list("pgp")}

    def fetch() -> None:
        for file in web.get(LE, params={"startTime": 0}).json()["dataAccessFiles"]["file"]:
            assert web.get(file["@href"]).status_code == 200

    give(published, key)
    fetch()
    assert len(kept()) == 2
    with published.catalog.read() as conn:
        assert kept() <= sweeping.named_objects(conn)
    before = kept()
    with Worker(published) as worker:
        forget(worker, "A", 1)
    assert kept() == set()
    fetch()
    assert len(kept()) > 0
    assert not kept() & before
    give(published, None)
    sweep(published)
    assert kept() == set()
    give(published, key)
    fetch()
    sweep(at(published, published.catalog.now() + 40 * DAY))
    assert kept() == set()


# ── pulling ──


@EVERYWHERE
@pytest.mark.parametrize("by", ["file", "passphrase", "agent"])
def test_pull_decrypts(published: House, keys: NewKey, gnupg: Gnupg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str):
    """By a private key in a file, with a passphrase or without, or by GnuPG; the lake is that of a plain account, and can be repaired."""
    secret = "sesame" if by == "passphrase" else ""
    gnupg.make("client@example.net", "ed25519", secret)
    give(published, gnupg.public("client@example.net", tmp_path / "public.asc").read_bytes())
    monkeypatch.setenv("GNUPGHOME", str(gnupg.home))
    monkeypatch.setenv("SHIFTLOG_PGP_PASSPHRASE", secret)
    file = None if by == "agent" else gnupg.private("client@example.net", tmp_path / "private.asc", secret)
    with shiftlog_client(published, keys) as client:
        options = Options(decrypt=pgp.decryptor(file))
        summary = pull(client, tmp_path / "lake", options, now=published.catalog.now())
        assert (summary.new, summary.failed) == (2, {})
        files = sorted((tmp_path / "lake" / "events").rglob("*.parquet"))
        assert pl.concat([pl.read_parquet(path) for path in files])["agentNickname"].drop_nulls().to_list().count("Ada") == 2
        files[0].write_bytes(b"rotten")
        repaired = pull(client, tmp_path / "lake", Options(repair=True, decrypt=options.decrypt), now=published.catalog.now())
        assert (repaired.repaired, repaired.failed) == (1, {})


def test_the_wrong_key(published: House, gnupg: Gnupg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Another private key, a wrong passphrase, a public one, and a message that was changed: each is told apart, and no secret is shown."""
    monkeypatch.setenv("GNUPGHOME", str(gnupg.home))
    gnupg.make("client@example.net", "ed25519")
    gnupg.make("other@example.net", "ed25519", "sesame")
    public = gnupg.public("client@example.net", tmp_path / "public.asc")
    message = pgp.encrypt(pgp.public_key(public.read_bytes(), "key"), b"plain" * 100)
    other, mine = (
        gnupg.private("other@example.net", tmp_path / "other.asc", "sesame"),
        gnupg.private("client@example.net", tmp_path / "mine.asc"),
    )
    with pytest.raises(Invalid, match="SHIFTLOG_PGP_PASSPHRASE"):
        pgp.decryptor(other)
    with pytest.raises(Invalid, match="passphrase") as refused:
        pgp.decryptor(other, lambda: "wrong one")
    assert "wrong one" not in str(refused.value)
    with pytest.raises(Unusable, match="not encrypted to the key"):
        pgp.decryptor(other, lambda: "sesame")(message, "name")
    with pytest.raises(Invalid, match="private key"):
        pgp.decryptor(public)
    with pytest.raises(Damaged, match="name"):
        pgp.decryptor(mine)(message[:-40] + bytes([message[-40] ^ 1]) + message[-39:], "name")
    assert pgp.decryptor(mine)(message, "name") == pgp.decryptor(None)(message, "name") == b"plain" * 100
    with tempfile.TemporaryDirectory(prefix="gpg-") as empty:
        monkeypatch.setenv("GNUPGHOME", empty)
        with pytest.raises(Unusable, match="--pgp-key"):
            pgp.decryptor(None)(message, "name")
        subprocess.run(["gpgconf", "--kill", "all"], capture_output=True)


def test_keys_that_are_refused(gnupg: Gnupg, tmp_path: Path):
    """What is private, for signing only, expired, no key, or several."""
    gnupg.make("client@example.net", "ed25519")
    gnupg.make("signs@example.net", "signs")
    gnupg("--faked-system-time", "20200101T000000!", "--quick-gen-key", "old@example.net", "rsa2048", "default", "1d")
    both = gnupg("--export", "client@example.net", "signs@example.net")
    for data, said in (
        (gnupg.private("client@example.net", tmp_path / "a").read_bytes(), "private key"),
        (gnupg("--export-secret-keys", "client@example.net"), "private key"),
        (gnupg("--export", "signs@example.net"), "no subkey for encryption"),
        (gnupg("--export", "old@example.net"), "expire"),
        (b"junk", "no OpenPGP public key"),
        (both, "holds 2 public keys"),
    ):
        with pytest.raises(Invalid, match=said):
            pgp.public_key(data, "key.asc")
