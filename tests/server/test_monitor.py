"""What is watched from outside, without a key."""

from __future__ import annotations

import shutil

import pytest
from callers import EVENTS, LIST, Caller, error

from scenes import T0
from shiftlog.house import House


def sample(call: Caller, name: str, **labels: str) -> float | None:
    return call.app.state.services.monitor.registry.get_sample_value(name, labels)


def test_alive_and_ready_need_no_key(call: Caller):
    """A load balancer has none, and asks for all kinds of media types."""
    anyone = call.without_key()
    answers = [anyone.get(path, Accept="text/html") for path in ("/healthz", "/readyz")]
    assert [answer.json() for answer in answers] == [{"status": "alive"}, {"status": "ready"}]


def test_a_store_whose_directory_has_gone_is_not_ready(house: House, call: Caller):
    """An unmounted disk is noticed; being alive goes on."""
    shutil.rmtree(house.directory / "objects")
    assert error(call.get("/readyz"))[:2] == (503, 50)
    assert call.get("/healthz").status_code == 200


@pytest.mark.usefixtures("published")
def test_requests_events_and_bytes_are_counted(call: Caller):
    """By route and status, so that there are few series, whatever is asked for."""
    sent = len(call.get(f"{LIST}?startTime=0").content)
    call.get(f"{LIST}?startTime=1")
    call.get("/nowhere/1")
    call.post(EVENTS, b'{"agentID":1,"timestamp":%d}' % T0)
    route = "/data_access_le/account/{account}/le/agentActivity"
    assert sample(call, "shiftlog_requests_total", route=route, status="200") == 2
    assert sample(call, "shiftlog_requests_total", route="none", status="404") == 1
    assert sample(call, "shiftlog_request_seconds_count", route=route) == 2
    assert sample(call, "shiftlog_events_accepted_total") == 1
    assert (sample(call, "shiftlog_sent_bytes_total") or 0) > sent


@pytest.mark.usefixtures("published")
def test_the_numbers_are_served_for_prometheus_and_name_no_account(house: House, call: Caller):
    """Freshness of the account that lags most; who asks has no key, and is not told who is a customer."""
    answer = call.without_key().get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    assert lines["shiftlog_accounts"] == "1.0"
    assert float(lines["shiftlog_watermark_lag_seconds"]) > 0
    assert '"A"' not in answer.text
