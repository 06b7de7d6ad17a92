"""A deployment that is not where it is said to be: one line that says what was found and what to do, whatever is wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet
from shell import Shell

from database import Postgresql

SECRETS = ("hunter2", "Traceback", "unexpected fault")


@pytest.fixture
def catalog(s3: str, postgresql: Postgresql, monkeypatch: pytest.MonkeyPatch, shiftlog: Shell) -> Iterator[str]:
    """A deployment on PostgreSQL and S3, to which the variables lead: the catalog's URL."""
    with postgresql.database() as url:
        monkeypatch.setenv("SHIFTLOG_CATALOG", url)
        monkeypatch.setenv("SHIFTLOG_STORE", s3)
        monkeypatch.setenv("SHIFTLOG_SECRET_KEY", Fernet.generate_key().decode())
        assert shiftlog("keys", "create", "--account", "A").code == 0
        yield url


def refused(shiftlog: Shell, *words: str) -> str:
    """The line with which a command ends that cannot do its work; it prints nothing else, and exits with 1."""
    done = shiftlog(*(words or ("accounts", "list")))
    assert (done.code, done.out) == (1, b""), done.err
    [line] = done.err.splitlines()
    assert line.startswith("shiftlog: ")
    assert [secret for secret in SECRETS if secret in line] == []
    return line


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"password": "mistaken"}, "password authentication failed"),
        ({"database": "missing"}, "does not exist"),
        ({"port": 1}, "onnection refused"),
        ({"host": "nowhere.invalid"}, "nowhere.invalid"),
    ],
    ids=["password", "database", "port", "host"],
)
def test_a_database_that_cannot_be_had(
    catalog: str, shiftlog: Shell, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str | int], said: str
):
    """Why not, as the server or the network says it."""
    monkeypatch.setenv("SHIFTLOG_CATALOG", sa.make_url(catalog).set(**wrong).render_as_string(hide_password=False))
    found = refused(shiftlog)
    assert "cannot be opened" in found
    assert said in found


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SHIFTLOG_STORE", "s3://nobody-made-me/x", "there is no such bucket; make it, or correct the store's URL"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1", "the connection was refused; is that where it is? AWS_ENDPOINT_URL"),
        ("AWS_SECRET_ACCESS_KEY", "mistaken", "the key is refused"),
    ],
    ids=["bucket", "endpoint", "key"],
)
@pytest.mark.usefixtures("catalog")
def test_a_bucket_that_cannot_be_had(shiftlog: Shell, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str):
    """What was answered, and by which variables it can be set right."""
    monkeypatch.setenv(variable, value)
    assert said in refused(shiftlog)


@pytest.mark.usefixtures("catalog")
def test_a_catalog_with_another_store(s3: str, shiftlog: Shell, monkeypatch: pytest.MonkeyPatch):
    """An empty one, or that of another deployment; the one it belongs to goes on."""
    monkeypatch.setenv("SHIFTLOG_STORE", f"{s3}-empty")
    assert "the store is not the one that the catalog belongs to" in refused(shiftlog)
    assert "the store is not the one that the catalog belongs to" in refused(shiftlog, "serve", "--port", "1")
    monkeypatch.setenv("SHIFTLOG_STORE", s3)
    assert shiftlog("accounts", "list").code == 0


def test_two_deployments_that_were_mixed_up(
    catalog: str, s3: str, postgresql: Postgresql, shiftlog: Shell, monkeypatch: pytest.MonkeyPatch
):
    """Both are named."""
    with postgresql.database() as other:
        monkeypatch.setenv("SHIFTLOG_CATALOG", other)
        monkeypatch.setenv("SHIFTLOG_STORE", f"{s3}-other")
        assert shiftlog("keys", "create", "--account", "B").code == 0
        monkeypatch.setenv("SHIFTLOG_CATALOG", catalog)
        assert "they do not belong together: check the URLs of both" in refused(shiftlog)


def test_a_catalog_of_a_newer_version(catalog: str, shiftlog: Shell):
    """It is left as it is."""
    engine = sa.create_engine(catalog, poolclass=sa.NullPool)
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    assert "the catalog has version 9999, this shiftlog knows versions up to" in refused(shiftlog)
    with engine.connect() as conn:
        assert conn.scalar(sa.text("SELECT version_num FROM alembic_version")) == "9999"


@pytest.mark.usefixtures("catalog")
def test_another_secret_key(shiftlog: Shell, monkeypatch: pytest.MonkeyPatch):
    """Before anything is encrypted with it."""
    monkeypatch.setenv("SHIFTLOG_SECRET_KEY", Fernet.generate_key().decode())
    assert "was encrypted with another key; give back the key" in refused(shiftlog)


@pytest.mark.parametrize(
    ("module", "words", "extra"),
    [
        ("psycopg", ("accounts", "list"), "postgresql"),
        ("pyspark.errors", ("publish", "--engine", "spark", "--spark-master", "spark://127.0.0.1:1"), "spark"),
    ],
)
@pytest.mark.usefixtures("catalog")
def test_what_is_not_installed_is_named(shiftlog: Shell, monkeypatch: pytest.MonkeyPatch, module: str, words: tuple[str, ...], extra: str):
    """By the extra that brings it."""
    with monkeypatch.context() as bare:
        bare.setitem(sys.modules, module, None)
        assert f"pip install 'shiftlog[{extra}]'" in refused(shiftlog, *words)


@pytest.mark.usefixtures("catalog")
def test_a_spark_master_that_does_not_answer(shiftlog: Shell):
    """At once, and not after Spark's own minute; nothing was done."""
    pytest.importorskip("pyspark", reason="scripts/spark.sh install has PySpark installed")
    found = refused(shiftlog, "publish", "--engine", "spark", "--spark-master", "spark://127.0.0.1:1")
    assert "no Spark master answers at spark://127.0.0.1:1; is it running" in found
