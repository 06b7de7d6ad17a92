"""Secrets are changed without a gap, and shown once or not at all."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from shell import Shell

from shiftlog.client import Profile


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def created(shiftlog: Shell, data: Path, *options: object) -> dict[str, Any]:
    return shiftlog("keys", "create", "--data", data, "--account", "A", *options, "--format", "json").json


def listed(shiftlog: Shell, data: Path) -> list[dict[str, Any]]:
    return shiftlog("keys", "list", "--data", data, "--format", "json").json


def test_a_key_gets_a_successor_and_goes_on_for_a_while(shiftlog: Shell, data: Path):
    """With the same permissions; the old one ends when the overlap is over, and both are in the log."""
    old = created(shiftlog, data, "--permission", "read", "--permission", "write")
    new = shiftlog("keys", "rotate", 1, "--data", data, "--overlap", "2h", "--format", "json").json
    assert new["permissions"] == ["read", "write"]
    assert not {old[name] for name in ("token", "bearer", "consumer_secret")} & {str(value) for value in new.values()}
    first, second = listed(shiftlog, data)
    assert (first["token"], second["token"], second["expires"]) == (old["token"], new["token"], None)
    assert first["expires"] == new["old_key_ends"]
    line = shiftlog("audit", "--data", data, "--action", "key-rotate", "--format", "json").json[0]
    assert (old["consumer_key"] in line["target"], new["consumer_key"] in line["target"]) == (True, True)


def test_a_successor_lives_as_long_as_the_key_was_meant_to(shiftlog: Shell, data: Path):
    """Unless told otherwise; an overlap never makes a key live longer."""
    created(shiftlog, data, "--expires", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600)))
    shiftlog("keys", "rotate", 1, "--data", data, "--overlap", "7d")
    first, second = listed(shiftlog, data)
    assert first["expires"][:13] <= second["expires"][:13]
    assert first["expires"] < time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 3700))
    shiftlog("keys", "rotate", 2, "--data", data, "--expires", "2040-01-01")
    assert listed(shiftlog, data)[2]["expires"] == "2040-01-01T00:00:00+00:00"


def test_a_profile_gets_the_new_key(shiftlog: Shell, data: Path, tmp_path: Path):
    """All else in it stays; nothing secret is shown."""
    file = tmp_path / "profile.json"
    created(shiftlog, data, "--profile", file, "--url", "https://da.example.net")
    old = Profile.load(file, {})
    shown = shiftlog("keys", "rotate", old.consumer_key, "--data", data, "--profile", file)
    new = Profile.load(file, {})
    assert (new.url, new.account, file.stat().st_mode & 0o777) == (old.url, "A", 0o600)
    assert new.token == listed(shiftlog, data)[1]["token"] != old.token
    assert not any(secret in shown.text for secret in (new.bearer, new.token_secret, new.consumer_secret))


def test_what_cannot_be_rotated_is_one_clear_error(shiftlog: Shell, data: Path, tmp_path: Path):
    """And changes nothing: no key without its profile, and none of a key that holds no longer."""
    created(shiftlog, data)
    assert shiftlog("keys", "rotate", "nowhere", "--data", data).code == 2
    assert "is not a length of time" in shiftlog("keys", "rotate", 1, "--data", data, "--overlap", "soon").err
    assert shiftlog("keys", "rotate", 1, "--data", data, "--profile", tmp_path / "none.json").code == 2
    shiftlog("keys", "revoke", 1, "--data", data)
    assert "was revoked; make a new one" in shiftlog("keys", "rotate", 1, "--data", data).err
    assert len(listed(shiftlog, data)) == 1


def test_the_secret_key_is_rotated_and_the_old_one_retired(shiftlog: Shell, data: Path):
    """Both are accepted in between; the file stays its owner's."""
    created(shiftlog, data)
    file = data / "secret.key"
    before = file.read_bytes()
    assert "3 secrets are encrypted with the new key" in shiftlog("secrets", "rotate", "--data", data).err
    assert file.read_bytes().split()[1:] == [before.strip()]
    assert "1 old keys are forgotten" in shiftlog("secrets", "retire", "--data", data).err
    assert len(file.read_bytes().split()) == 1
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(listed(shiftlog, data)) == 1
    actions = [line["action"] for line in shiftlog("audit", "--data", data, "--format", "json").json]
    assert actions == ["key-create", "secrets-rotate", "secrets-retire"]


def test_a_key_in_the_environment_is_rotated_there(shiftlog: Shell, data: Path, monkeypatch: pytest.MonkeyPatch):
    """The new one stands first; one alone is nothing to rotate to."""
    old, new = "b" * 43 + "=", "c" * 43 + "="
    monkeypatch.setenv("SHIFTLOG_SECRET_KEY", old)
    created(shiftlog, data)
    assert "holds one key; two are expected" in shiftlog("secrets", "rotate", "--data", data).err
    monkeypatch.setenv("SHIFTLOG_SECRET_KEY", f"{new},{old}")
    assert "a secret" not in shiftlog("secrets", "retire", "--data", data).err
    assert shiftlog("secrets", "rotate", "--data", data).code == 0
    monkeypatch.setenv("SHIFTLOG_SECRET_KEY", new)
    assert shiftlog("keys", "rotate", 1, "--data", data).code == 0
