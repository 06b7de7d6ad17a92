"""The audit log on the command line, and what the command line leaves in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from shell import Shell


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_what_is_done_by_hand_is_recorded(shiftlog: Shell, data: Path, tmp_path: Path):
    """Keys, settings, names, schedules, events and parts: in order, by whom, and without a secret."""
    made = shiftlog("keys", "create", "--data", data, "--account", "A", "--expires", "2040-01-01", "--format", "json").json
    names, plan, events = tmp_path / "names.csv", tmp_path / "plan.csv", tmp_path / "events.ndjson"
    names.write_text("kind,id,name\nagent,1,Ann\n")
    plan.write_text("agent,start,end,state\n1,2026-03-02T08:00,2026-03-02T16:00,online\n")
    events.write_text('{"agentID": 1, "timestamp": 1465992202047, "type": 3}\n{"agentID": 1, "timestamp": 1465992302047, "type": 4}\n')
    for command in (
        ("accounts", "set", "A", "--time-zone", "UTC"),
        ("accounts", "set", "A"),
        ("names", "import", "A", names),
        ("schedule", "import", "A", plan),
        ("ingest", events, "--account", "A"),
        ("publish",),
        ("keys", "revoke", made["token"]),
    ):
        assert shiftlog(*command, "--data", data).code == 0
    key = f"key {made['consumer_key']}"
    lines = shiftlog("audit", "--data", data, "--account", "A", "--format", "json").json
    assert [(line["action"], line["target"], line["status"]) for line in lines] == [
        ("key-create", f"{key}: read, until 2040-01-01T00:00:00+00:00", 0),
        ("account-set", "time_zone UTC", 0),
        ("names-import", "1 names", 0),
        ("schedule-import", "1 rows", 0),
        ("ingest", "2 events", 0),
        ("publish", "1 parts", 0),
        ("key-revoke", key, 0),
    ]
    assert {line["who"].split(":")[0] for line in lines} == {"cli"}
    assert not any(made[name] in str(lines) for name in ("consumer_secret", "token_secret", "bearer", "token"))


def test_lines_are_chosen_and_shown(shiftlog: Shell, data: Path):
    """By action and time, as a table, JSON or CSV."""
    shiftlog("keys", "create", "--data", data, "--account", "A")
    shiftlog("keys", "create", "--data", data, "--account", "B")
    assert [line["account"] for line in shiftlog("audit", "--data", data, "--format", "json").json] == ["A", "B"]
    assert "key-create" in shiftlog("audit", "--data", data, "--account", "A").text
    assert shiftlog("audit", "--data", data, "--format", "csv").text.startswith("at,account,who,action,target,status,address,times\n")
    assert shiftlog("audit", "--data", data, "--action", "denied", "--format", "json").json == []
    assert shiftlog("audit", "--data", data, "--since", "2000-01-01", "--until", "2001-01-01", "--format", "json").json == []


def test_what_cannot_be_shown_is_one_clear_error(shiftlog: Shell, data: Path):
    """An account that is not there, a time that is none."""
    shiftlog("keys", "create", "--data", data, "--account", "A")
    missing = shiftlog("audit", "--data", data, "--account", "nowhere")
    assert (missing.code, missing.err) == (2, "shiftlog: there is no account nowhere\n")
    assert shiftlog("audit", "--data", data, "--since", "yesterday").code == 2
