"""Numbers over the API: the worked hour, in every form, live and published; and limits that are named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any
from urllib.parse import quote

import polars as pl
import pyarrow as pa
import pytest
from callers import API, Caller, calling, error

from readers import land, publish_at
from scenes import DAY, HOUR, MINUTE, T0, event, login, logout, sent
from shiftlog.catalog import keys as catalog_keys
from shiftlog.catalog import schedules
from shiftlog.catalog.keys import NewKey
from shiftlog.hours import iso
from shiftlog.house import House
from shiftlog.metrics import DEFINITIONS
from shiftlog.schedules import Planned
from shiftlog.server.app import create_app
from worked import numbers, worked_hour

WINDOW = f"from={iso(T0)[:19]}Z&to={iso(T0 + HOUR)[:19]}Z"
ARROW = "application/vnd.apache.arrow.stream"


@pytest.fixture
def worked(house: House, account: str) -> House:
    """The worked hour, published."""
    land(house, sent(*({"eventId": f"e{i}", "agentNickname": "Ada", **fields} for i, fields in enumerate(worked_hour()))))
    publish_at(house, T0 + 3 * HOUR)
    return house


@pytest.fixture
def limited(house: House, keys: NewKey) -> Iterator[Callable[..., Caller]]:
    """Callers of a deployment with other limits."""
    started = []

    def make(**limits: int) -> Caller:
        changed = replace(house, settings=house.settings.model_copy(update=limits))
        context = calling(create_app(changed, publish=False), keys.bearer)
        started.append(context)
        return context.__enter__()

    yield make
    for context in started:
        context.__exit__(None, None, None)


def rows(call: Caller, question: str) -> list[dict[str, Any]]:
    answer = call.get(f"{API}/{question}")
    assert answer.status_code == 200, answer.text
    return answer.json()["rows"]


# ── the worked hour ──


@pytest.mark.usefixtures("worked")
def test_the_worked_hour(call: Caller):
    """To the digit, with every definition, the window and the watermark."""
    answer = call.get(f"{API}/metrics?{WINDOW}&tz=Europe/Berlin")
    [row] = answer.json().pop("rows")
    assert {name: row[name] for name in numbers()} == numbers()
    assert list(row)[:3] == ["agent_id", "bucket_start", "bucket_ms"]
    assert set(row) == {"agent_id", "bucket_start", "bucket_ms", *DEFINITIONS}
    about = {name: value for name, value in answer.json().items() if name != "rows"}
    assert about == {
        "accountId": "A",
        "watermark": T0 + 2 * HOUR,
        "timeZone": "Europe/Berlin",
        "from": iso(T0, "Europe/Berlin"),
        "to": iso(T0 + HOUR, "Europe/Berlin"),
    }
    assert answer.headers["Shiftlog-Watermark"] == str(T0 + 2 * HOUR)


def test_the_worked_hour_of_an_open_session(call: Caller, house: House):
    """It counts at once, and not up to the watermark, of which there is none yet."""
    start = house.catalog.now() - HOUR
    land(house, sent(*({"eventId": f"e{i}", **fields} for i, fields in enumerate(worked_hour(start)[:-1]))))
    window = f"from={quote(iso(start))}&to={quote(iso(start + HOUR))}"
    [row] = rows(call, f"metrics?{window}")
    assert {name: row[name] for name in numbers()} == numbers()
    assert row["open_ms"] == 5 * MINUTE
    answer = call.get(f"{API}/metrics?{window}&until=watermark")
    assert (answer.json()["rows"], answer.json()["watermark"], "Shiftlog-Watermark" in answer.headers) == ([], None, False)


@pytest.mark.parametrize("question", ["metrics?every=15m", "timeline?agent=1", "quality?findings=true", "quality"])
def test_every_form_says_the_same(call: Caller, worked: House, question: str):
    """JSON, CSV and Arrow by Accept, all with the watermark."""
    url = f"{API}/{question}"
    csv, arrow, json = (call.get(url, Accept=media) for media in ("text/csv", ARROW, "application/json"))
    assert csv.headers["content-type"].startswith("text/csv")
    assert arrow.headers["content-type"] == ARROW
    assert {answer.headers["Shiftlog-Watermark"] for answer in (csv, arrow, json)} == {str(T0 + 2 * HOUR)}
    table = pa.ipc.open_stream(arrow.content).read_all()
    assert table.num_rows == len(json.json()["rows"]) == pl.read_csv(BytesIO(csv.content)).height
    assert csv.text.splitlines()[0].split(",") == table.column_names
    for row, same in zip(json.json()["rows"], table.to_pylist(), strict=True):
        assert {name: value for name, value in row.items() if not isinstance(value, str)}.items() <= same.items()


# ── the questions ──


@pytest.mark.usefixtures("worked")
def test_rows_by_key_bucket_and_column(call: Caller):
    """As on the command line."""
    found = rows(call, f"metrics?{WINDOW}&by=group&every=30m&columns=occupancy,name&tz=UTC")
    assert found == [
        {"group_id": 7, "name": None, "bucket_start": iso(T0), "occupancy": 1.0},
        {"group_id": 7, "name": None, "bucket_start": iso(T0 + 30 * MINUTE), "occupancy": 0.1},
    ]


def test_a_number_leads_to_its_events(call: Caller, worked: House):
    """Intervals name session, event and part, and the part can be fetched."""
    found = rows(call, f"timeline?{WINDOW}&agent=1")
    assert sum(row["length_ms"] for row in found if row["state_name"] == "online") == 50 * MINUTE
    assert found[-1]["eventId"] == "e10"
    assert call.get(f"/data_access_le/account/A/le/agentActivity/{found[-1]['part']}.gz").status_code == 200


def test_quality_in_one_document(call: Caller, house: House, account: str):
    """Counts, shares, and the findings if they are asked for."""
    land(house, sent(login(T0), event(T0 + MINUTE, state=2)))
    publish_at(house, T0 + 3 * DAY)
    found = call.get(f"{API}/quality?findings=true&tz=UTC").json()
    assert (found["counts"]["missing_logout"], found["login_ms"], found["shares"]["inferred"]) == (1, MINUTE, 1.0)
    assert [(row["code"], row["agent_id"], row["time"]) for row in found["rows"]] == [("missing_logout", 1, iso(T0 + MINUTE))]


def test_a_schedule_is_used_without_asking(call: Caller, worked: House):
    """Adherence is there as soon as one is imported."""
    with worked.catalog.write() as conn:
        schedules.replace(conn, "A", [Planned(1, T0, T0 + HOUR, 2)], T0, T0 + HOUR)
    [row] = rows(call, f"metrics?{WINDOW}")
    assert (row["adherence"], row["conformance"]) == (50 / 60, 50 / 60)
    assert "planned" in call.get(f"{API}/charts/timeline.svg?{WINDOW}").text


@pytest.mark.usefixtures("worked")
@pytest.mark.parametrize(
    ("name", "accept", "media", "begins"),
    [
        ("staffing.png", "*/*", "image/png", b"\x89PNG"),
        ("states", "image/svg+xml", "image/svg+xml", b"<svg"),
        ("timeline", "application/json", "application/json", b'{"'),
        ("occupancy.json", "*/*", "application/json", b'{"'),
    ],
)
def test_charts_by_suffix_or_accept(call: Caller, name: str, accept: str, media: str, begins: bytes):
    """A picture, or a specification that a page can draw."""
    answer = call.get(f"{API}/charts/{name}?{WINDOW}", Accept=accept)
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, media)
    assert answer.content.startswith(begins)


@pytest.mark.usefixtures("worked")
def test_a_plus_sign_may_stand_bare(call: Caller):
    """In a query it is a space, and means what was meant."""
    start = iso(T0, "Europe/Berlin")
    assert "+" in start
    assert call.get(f"{API}/metrics?from={start}").json()["from"] == iso(T0, "America/New_York")


# ── what is refused ──


@pytest.mark.usefixtures("worked")
@pytest.mark.parametrize(
    ("question", "status", "says"),
    [
        ("metrics?tz=Mars/Base", 400, "time zone 'Mars/Base' is not known"),
        ("metrics?every=2h", 400, "bucket '2h' is not known"),
        ("metrics?by=team", 400, "rows by 'team' are not known"),
        ("metrics?columns=idle", 400, "column 'idle' is not known"),
        ("metrics?from=yesterday", 400, "'yesterday' is not a time"),
        ("metrics?from=2026-03-02&to=2026-03-02", 400, "the window is empty"),
        ("metrics?until=tomorrow", 400, "until 'tomorrow' is not known"),
        ("timeline?agent=99", 400, "agent 99 is not known"),
        ("timeline?agent=Ada", 400, "agent: found 'Ada'"),
        ("quality?findings=yes", 400, "findings: found 'yes'"),
        ("charts/staffing.png?from=2020-01-01&to=2020-01-02", 400, "nothing to draw"),
        ("charts/staffing?by=agent", 400, "does not take"),
        ("charts/pie", 404, "there is no chart 'pie'"),
        ("charts/staffing.gif", 404, "there is no chart"),
    ],
)
def test_a_mistake_is_named(call: Caller, question: str, status: int, says: str):
    """In the one shape of errors."""
    found, _, message = error(call.get(f"{API}/{question}"))
    assert found == status
    assert says in message


def test_other_accounts_and_keys_are_kept_out(call: Caller, worked: House):
    """Numbers need the permission to read, in this account."""
    with worked.catalog.write() as conn:
        writer = catalog_keys.create(conn, worked.vault, "A", ["write"], worked.catalog.now())
    for question in ("metrics", "timeline", "quality", "charts/staffing.png"):
        assert call.without_key().get(f"{API}/{question}").status_code == 401
        assert call.as_(writer).get(f"{API}/{question}").status_code == 403
        assert call.get(f"/api/v1/accounts/B/{question}").status_code == 404


@pytest.mark.usefixtures("worked")
def test_what_cannot_be_sent_is_said(call: Caller):
    """An Accept header that excludes all forms."""
    assert call.get(f"{API}/metrics", Accept="image/png").status_code == 406
    assert call.get(f"{API}/charts/staffing.png", Accept="text/csv").status_code == 406


@pytest.mark.parametrize(
    ("limits", "question", "says"),
    [
        ({"answer_rows": 3}, "metrics?every=15m", "1 agents times 5 buckets are 5; at most 3"),
        ({"answer_rows": 3}, f"metrics?{WINDOW}&every=5m", "1 agents times 12 buckets are 12"),
        ({"answer_rows": 3}, "timeline", "the answer has 8 rows; at most 3 are sent"),
        ({"answer_events": 11}, "quality", "the window has about 12 events; at most 11"),
    ],
)
def test_too_much_is_refused(limited: Callable[..., Caller], worked: House, limits: dict[str, int], question: str, says: str):
    """Before it is computed, and with what to do."""
    status, _, message = error(limited(**limits).get(f"{API}/{question}"))
    assert status == 413
    assert says in message
    assert "shorter" in message


def test_events_beyond_the_watermark_count_towards_the_limit(limited: Callable[..., Caller], house: House, keys: NewKey):
    """Only where they would be read."""
    land(house, sent(login(T0), logout(T0 + HOUR)))
    call = limited(answer_events=1)
    assert error(call.get(f"{API}/metrics"))[0] == 413
    assert call.get(f"{API}/metrics?until=watermark").status_code == 200
