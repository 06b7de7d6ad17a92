"""Settings: one table, read from the environment."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from shiftlog import schema
from shiftlog.errors import Invalid
from shiftlog.settings import Settings, load, table


def test_every_setting_is_explained():
    """Name, environment variable, default and help."""
    rows = table()
    assert [row["name"] for row in rows] == list(Settings.model_fields)
    assert all(row["help"] and row["environment"] == f"SHIFTLOG_{row['name'].upper()}" for row in rows)


def test_the_environment_sets_them(monkeypatch: pytest.MonkeyPatch):
    """By the name in the table."""
    monkeypatch.setenv("SHIFTLOG_GRACE_SECONDS", "60")
    monkeypatch.setenv("SHIFTLOG_SESSION_TIMEOUT_HOURS", "0.5")
    assert (Settings().grace, Settings().session_timeout) == (60_000, 1_800_000)


@pytest.mark.parametrize(
    ("name", "value"), [("grace_seconds", -1), ("part_events", 0), ("lease_seconds", 0), ("safety_hours", 0.5), ("grace_seconds", "x")]
)
def test_a_value_that_cannot_work_is_refused(name: str, value: object):
    """Safety under an hour, say: a commit may name objects of that age."""
    with pytest.raises(ValidationError, match=name):
        Settings(**{name: value})


def test_a_variable_that_cannot_work_is_named(monkeypatch: pytest.MonkeyPatch):
    """All of them at once, without their values."""
    monkeypatch.setenv("SHIFTLOG_DOWNLOADS", "secretly")
    monkeypatch.setenv("SHIFTLOG_GRACE_SECONDS", "x")
    with pytest.raises(
        Invalid,
        match=r"SHIFTLOG_GRACE_SECONDS: input should be a valid integer.*SHIFTLOG_DOWNLOADS: input should be 'stream' or 'redirect'",
    ) as refusal:
        load()
    assert "secretly" not in str(refusal.value)


def test_settings_do_not_change_under_way():
    """They are a value."""
    with pytest.raises(ValidationError, match="frozen"):
        Settings().grace_seconds = 1


def test_new_accounts_publish_the_default_schema():
    """The version that the schema module calls the default."""
    assert Settings.model_fields["schema_version"].default == schema.DEFAULT
