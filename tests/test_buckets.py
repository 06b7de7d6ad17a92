"""Buckets: where they are, who may enter, and what they do to those who ask."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from s3 import Server
from shiftlog.errors import Invalid, Later, Missing, Unusable
from shiftlog.store import Bucket, bucket, open_store, places
from shiftlog.store.bucket import Patience
from weather import Weather, before

SECRET = "a-secret-that-is-never-told"
KEY = "parts/A/2026-01-01/Agent.0.3600000.part-00000-0.0123456789ab.gz"


@pytest.fixture
def weather(s3_server: Server, s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Weather]:
    """A proxy before the server, to which the variables lead; nothing befalls so far."""
    with before(s3_server.endpoint) as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.url)
        yield found


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores that do not wait for long."""
    monkeypatch.setattr(bucket, "STEADY", Patience(read=1, retries=2, total=2))
    monkeypatch.setattr(bucket, "QUICK", Patience(read=1, retries=1, total=1))


# ── at the start: what is wrong with where it is, and who asks ──


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
            r"does not answer: the connection was refused; is that where it is\? AWS_ENDPOINT_URL",
        ),
        ({"AWS_ENDPOINT_URL": "http://nowhere.localhost:1"}, r"does not answer: (the connection was refused|there is no such host)"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "answered 403 InvalidAccessKeyId: the key is refused; set AWS_ACCESS_KEY_ID and"),
        ({"AWS_SECRET_ACCESS_KEY": SECRET}, "answered 403 SignatureDoesNotMatch: the key is refused; set AWS_ACCESS_KEY_ID and"),
        ({"AWS_ENDPOINT_URL": "nonsense"}, "AWS_ENDPOINT_URL is nonsense; an address such as https://"),
        ({"AWS_ENDPOINT_URL": f"https://me:{SECRET}@s3.example.net"}, "AWS_ENDPOINT_URL is https://…@s3.example.net; an address such as"),
        ({"AWS_ENDPOINT_URL": "http://s3.example.net"}, "http is for this machine only, .* or set AWS_ALLOW_HTTP=true"),
        ({"AWS_CONDITIONAL_PUT": "nonsense"}, 'Failed to parse "nonsense"'),
    ],
)
def test_what_is_wrong_is_said_at_the_start(s3: str, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str):
    """With the place and the variable to look at, and without a secret."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Unusable, match=message) as refusal:
        open_store(s3)
    assert SECRET not in str(refusal.value)
    assert len(str(refusal.value)) < 400


def test_tls_where_there_is_none(s3: str, monkeypatch: pytest.MonkeyPatch, s3_server: Server):
    """A plain server that is called by https."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint.replace("http:", "https:"))
    with pytest.raises(Unusable, match="it does not speak TLS; is it http://"):
        open_store(s3)


def test_a_bucket_that_is_not_there(s3: str):
    """It is named; nobody makes it by mistake."""
    with pytest.raises(
        Unusable, match=r"s3://nobody-made-me/x at http://127\S+ answered 404 NoSuchBucket: there is no such bucket; make it"
    ):
        open_store("s3://nobody-made-me/x")


def test_no_key_at_all(s3: str, monkeypatch: pytest.MonkeyPatch):
    """Then the machine's role is asked for, and there is none."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(Unusable, match="found no key, and no role of this machine; set AWS_ACCESS_KEY_ID"):
        open_store(s3)


@pytest.mark.parametrize(
    "url", ["s3://", "s3:///prefix", "s3://b", "s3://bu cket/x", "s3://bucket/a//b", "s3://bucket/a?x=1", "s3://k:s@bucket"]
)
def test_a_url_that_names_no_bucket(url: str):
    """What is expected is said."""
    with pytest.raises(Invalid, match="s3://BUCKET or s3://BUCKET/PREFIX is expected"):
        open_store(url)


def test_a_service_that_does_not_answer(s3: str, s3_server: Server, hasty: None):
    """Is not waited for for long."""
    with s3_server.stopped(), pytest.raises(Unusable, match="does not answer: it did not answer in time; is that where it is"):
        open_store(s3)


# ── under way ──


def test_a_short_trouble_is_not_noticed(s3: str, weather: Weather):
    """What may help is tried again."""
    store = open_store(s3)
    weather.coming.extend(["slow down", "slow down", "lost"])
    store.put(KEY, b"abc")
    weather.coming.extend(["lost", "slow down"])
    assert store.get(KEY) == b"abc"
    weather.coming.extend(["slow down"])
    assert [found.key for found in store.list()] == [KEY]


def test_a_put_whose_answer_was_lost(s3: str, weather: Weather):
    """It was done; to ask again says that it is there, which is what was wanted."""
    store = open_store(s3)
    weather.coming.extend(["lost"])
    try:
        store.put(KEY, b"abc")
    except Later:
        store.put(KEY, b"abc")
    assert store.get(KEY) == b"abc"


def test_a_long_trouble_is_for_later(s3: str, weather: Weather, hasty: None):
    """With what the service says, and when to come again."""
    store = open_store(s3)
    weather.coming.extend(["slow down"] * 3)
    with pytest.raises(Later, match="answered 503 SlowDown; it is busy or in trouble") as busy:
        store.put(KEY, b"abc")
    assert busy.value.retry_after == 5
    with pytest.raises(Missing):
        store.get(KEY)


def test_a_service_that_is_slow(s3: str, weather: Weather, hasty: None):
    """Slower than is waited for."""
    store = open_store(s3)
    store.put(KEY, b"abc")
    weather.coming.extend([3.0, 3.0, 3.0])
    with pytest.raises(Later, match="does not answer: it did not answer in time"):
        store.get(KEY)
    assert store.get(KEY) == b"abc"


def test_a_service_that_is_gone_and_comes_back(s3: str, s3_server: Server, hasty: None):
    """Everything that asks is told to come later; what was acknowledged is there afterwards."""
    store = open_store(s3)
    store.put(KEY, b"abc")
    with s3_server.killed():
        for ask in (
            lambda: store.get(KEY),
            lambda: store.put("b", b"x"),
            lambda: store.chunks(KEY, 0, 1),
            lambda: list(store.list()),
            store.reach,
        ):
            with pytest.raises(Later, match="does not answer: the connection was refused"):
                ask()
        with pytest.raises(Later, match="does not answer"), store.batch() as put:
            put("c", b"x")
    assert store.get(KEY) == b"abc"


def test_a_bucket_that_is_not_there_any_more(s3: str, monkeypatch: pytest.MonkeyPatch):
    """Is no object that is missing: an operator has to act."""
    store = places.s3("s3://nobody-made-me/x")
    for ask in (lambda: store.get(KEY), lambda: store.put(KEY, b"x"), lambda: list(store.list())):
        with pytest.raises(Unusable, match="there is no such bucket"):
            ask()


def test_a_service_without_conditional_puts(s3: str, weather: Weather):
    """Is written without them: keys are unique anyway."""
    weather.unconditional = True
    store = open_store(s3)
    store.put(KEY, b"abc")
    assert store.get(KEY) == b"abc"


def test_what_is_read_slowly_is_asked_for_slowly(s3: str, weather: Weather):
    """A piece when it is wanted: a slow reader holds one in memory, and no connection."""
    store, data = open_store(s3), bytes(range(256)) * 40_000
    store.put(KEY, data)
    weather.seen.clear()
    asked = [(len(piece), len(weather.seen)) for piece in store.chunks(KEY, 5, len(data))]
    assert [count for _, count in asked] == list(range(1, 6))
    assert max(size for size, _ in asked) == 2 << 20
    assert {method for method, _, _ in weather.seen} == {"GET"}


# ── addresses for others ──


def test_a_signed_address_opens_one_object(s3: str):
    """For whoever has it, and no other object; with its type and name."""
    store = open_store(s3)
    store.put(KEY, b"abc")
    url = store.signed(KEY, 60)
    answer = httpx.get(url)
    assert (answer.content, answer.headers["Content-Type"]) == (b"abc", "application/gzip")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="Agent.0.3600000.part-00000-0.gz"'
    assert httpx.get(url.replace("part-00000", "part-00001")).status_code == 403
    assert httpx.get(url.partition("?")[0]).status_code == 403


# ── Google's and Azure's: what can be seen without them ──


@pytest.fixture
def google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket that is opened with a service account's key, which nobody knows."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    account = {"type": "service_account", "client_email": "a@b.example", "private_key": pem.decode(), "private_key_id": "1"}
    (tmp_path / "account.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "account.json"))
    return places.gcs("gs://my-bucket/a/b")


def test_google_signs_addresses(google: Bucket):
    """By the account's key alone."""
    assert google.label == "gs://my-bucket/a/b at Google"
    assert google.signed(KEY, 60).startswith("https://storage.googleapis.com/my-bucket/a/b/parts/A/")


def test_a_key_file_that_is_not_there(monkeypatch: pytest.MonkeyPatch):
    """It is named."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json")
    with pytest.raises(Unusable, match=r"gs://my-bucket at Google: Unable to open service account file from /nowhere.json"):
        open_store("gs://my-bucket")


def test_azure_signs_addresses(monkeypatch: pytest.MonkeyPatch):
    """By the account's key alone."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "me")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "bm9ib2R5J3M=")
    store = places.azure("az://my-container/a/b")
    assert store.label == "az://my-container/a/b at Azure"
    assert store.signed(KEY, 60).startswith("https://me.blob.core.windows.net/my-container/a/b/parts/A/")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "az://my-container at Azure: Account must be specified; set AZURE_STORAGE_ACCOUNT_NAME"),
        ({"AZURE_STORAGE_ACCOUNT_NAME": "me", "AZURE_STORAGE_ACCOUNT_KEY": f"*{SECRET}"}, "Invalid Access Key"),
    ],
)
def test_azure_without_an_account(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str):
    """The variables are named, and no secret is told."""
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Unusable, match=message) as refusal:
        open_store("az://my-container")
    assert SECRET not in str(refusal.value)
