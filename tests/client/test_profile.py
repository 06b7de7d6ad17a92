"""Profiles: whole or refused, private, and overridden by the environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftlog.client import Profile
from shiftlog.errors import Invalid, Missing, Unusable

OAUTH = {"consumer_key": "ck", "consumer_secret": "cs-hidden", "token": "to", "token_secret": "ts-hidden"}
WHOLE = {"version": 1, "url": "https://da.example.net", "account": "A", **OAUTH, "bearer": "be-hidden"}


def written(path: Path, **members: object) -> Path:
    path.write_text(json.dumps(members))
    path.chmod(0o600)
    return path


@given(st.text("abcdefABCDEF0123456789", min_size=1, max_size=32))
def test_what_is_saved_is_loaded(tmp_path_factory: pytest.TempPathFactory, secret: str):
    """A profile comes back as it was written."""
    path = tmp_path_factory.mktemp("profile") / "p.json"
    profile = Profile("https://da.example.net:8443/shiftlog", "A_1", "ck", secret, "to", secret, secret)
    profile.save(path)
    assert Profile.load(path, {}) == profile


def test_a_profile_is_its_owners_alone(tmp_path: Path):
    """The file is readable by nobody else, also where it replaces one that was."""
    path = tmp_path / "p.json"
    path.write_text("{}")
    path.chmod(0o644)
    Profile("https://da.example.net", "A", bearer="x").save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_secrets_are_not_shown(tmp_path: Path):
    """Neither a profile nor its credentials print what is secret."""
    profile = Profile.load(written(tmp_path / "p.json", **WHOLE), {})
    assert "hidden" not in f"{profile!r} {profile} {profile.credentials!r}"


def test_the_environment_overrides_the_file(tmp_path: Path):
    """Member by member."""
    path = written(tmp_path / "p.json", **WHOLE)
    profile = Profile.load(path, {"SHIFTLOG_URL": "http://127.0.0.1:8080", "SHIFTLOG_TOKEN_SECRET": "other"})
    assert (profile.url, profile.account, profile.token_secret) == ("http://127.0.0.1:8080", "A", "other")


def test_the_environment_can_stand_for_the_file():
    """Where there is no file to keep secrets in."""
    environment = {"SHIFTLOG_URL": "https://da.example.net", "SHIFTLOG_ACCOUNT": "A", "SHIFTLOG_BEARER": "x"}
    assert Profile.load(None, environment) == Profile("https://da.example.net", "A", bearer="x")


def test_a_bearer_token_of_the_environment_wins_over_the_files_signature(tmp_path: Path):
    """Who sets another key means it."""
    profile = Profile.load(written(tmp_path / "p.json", **WHOLE), {"SHIFTLOG_BEARER": "mine"})
    assert (profile.credentials, profile.bearer) == (None, "mine")


def test_members_that_are_not_known_are_ignored(tmp_path: Path):
    """A later version of this version may add some."""
    assert Profile.load(written(tmp_path / "p.json", **WHOLE, endpoint={"a": 1}), {}).account == "A"


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"url": "ftp://da.example.net"}, "http or https"),
        ({"url": "https://user:secret@da.example.net"}, "'https://da.example.net' is not"),
        ({"url": "https://da.example.net?x=1"}, "http or https"),
        ({"account": "no/account"}, "is not an account"),
        ({"url": ""}, "url is missing"),
        ({"token_secret": ""}, "not token_secret"),
        ({**dict.fromkeys(OAUTH, ""), "bearer": ""}, "no key"),
        ({"version": None}, "version None; 1 is expected"),
        ({"account": 7}, "is not a profile"),
    ],
)
def test_what_is_not_a_whole_profile_is_refused(tmp_path: Path, members: dict[str, object], said: str):
    """The message says what is wrong, and no secret."""
    with pytest.raises(Invalid, match=said) as caught:
        Profile.load(written(tmp_path / "p.json", **{**WHOLE, **members}), {})
    assert "hidden" not in str(caught.value)


def test_a_file_that_is_no_json_is_refused_without_its_text(tmp_path: Path):
    """It may hold a secret."""
    path = tmp_path / "p.json"
    path.write_text("bearer: be-hidden")
    with pytest.raises(Invalid, match="is not a profile") as caught:
        Profile.load(path, {})
    assert "hidden" not in str(caught.value)


def test_a_newer_version_is_refused(tmp_path: Path):
    """And a file that is not there is missing."""
    with pytest.raises(Unusable, match="use a newer one"):
        Profile.load(written(tmp_path / "p.json", **{**WHOLE, "version": 2}), {})
    with pytest.raises(Missing, match="keys create --profile"):
        Profile.load(tmp_path / "none.json", {})


def test_a_profile_that_cannot_be_written_is_said(tmp_path: Path):
    """Nothing is left of it."""
    with pytest.raises(Unusable, match="cannot be written"):
        Profile("https://da.example.net", "A", bearer="x").save(tmp_path / "no" / "p.json")
