"""The Data Access API as the seed describes it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from datetime import datetime
from xml.etree import ElementTree

import httpx
import pytest
import sqlalchemy as sa
from callers import BASE, LE, LIST, Caller, error

from readers import land, publish_at
from scenes import DAY, HOUR, MINUTE, T0, login, logout, sent
from shiftlog import retention, schema
from shiftlog.catalog import accounts, parts, sweeping, tables
from shiftlog.catalog.parts import Part
from shiftlog.house import House

COVERED = "shiftlog-covered-until"


def names(answer: httpx.Response) -> list[str]:
    return [file["@name"] for file in answer.json()["dataAccessFiles"]["file"]]


# ── base ──


def test_the_base_resource_links_to_what_there_is(call: Caller):
    """Relations self, agentActivity and schema, all of which answer."""
    le = call.get(LE).json()["le"]
    assert le["@accountId"] == "A"
    assert [(link["@rel"], link["@href"]) for link in le["link"]] == [
        ("self", f"{BASE}{LE}"),
        ("agentActivity", f"{BASE}{LIST}"),
        ("schema", f"{BASE}{LE}/schema"),
    ]


# ── the list ──


def test_the_list_is_the_seeds_key_for_key(call: Caller, published: Sequence[Part]):
    """The same members in the same order, no others, and values of the same form."""
    answer = call.get(f"{LIST}?startTime=0")
    first, second = published
    assert answer.headers["content-type"] == "application/json"
    assert json.dumps(answer.json()) == json.dumps(
        {
            "dataAccessFiles": {
                "@id": "A",
                "link": {"@href": f"{BASE}{LIST}", "@rel": "self"},
                "file": [
                    {
                        "@name": f"Agent.{T0 + HOUR}.{T0 + 2 * HOUR}.part-00000-0",
                        "@scopeStartDate": "2026-09-20T21:00:00-04:00",
                        "@scopeEndDate": "2026-09-20T22:00:00-04:00",
                        "@href": f"{BASE}{LIST}/{first.name}.gz",
                    },
                    {
                        "@name": str(second.name),
                        "@scopeStartDate": "2026-09-20T23:00:00-04:00",
                        "@scopeEndDate": "2026-09-21T00:00:00-04:00",
                        "@href": f"{BASE}{LIST}/{second.name}.gz",
                    },
                ],
            }
        }
    )


def test_scope_dates_have_the_offset_of_the_accounts_time_zone(house: House, call: Caller, published: Sequence[Part]):
    """A numeric offset, as in the seed, and never a Z."""
    for zone, offset in (("UTC", "+00:00"), ("Asia/Kolkata", "+05:30")):
        with house.catalog.write() as conn:
            accounts.update(conn, "A", {"time_zone": zone})
        file = call.get(f"{LIST}?startTime=0").json()["dataAccessFiles"]["file"][0]
        assert file["@scopeStartDate"].endswith(offset)
        assert datetime.fromisoformat(file["@scopeStartDate"]).timestamp() * 1000 == published[0].scope_start


@pytest.mark.usefixtures("published")
def test_the_list_comes_in_xml_where_that_is_asked(call: Caller):
    """Attributes for `@`, one element a file."""
    answer = call.get(f"{LIST}?startTime=0", Accept="application/xml")
    root = ElementTree.fromstring(answer.content)
    assert (root.tag, root.attrib, [child.tag for child in root]) == ("dataAccessFiles", {"id": "A"}, ["link", "file", "file"])
    assert list(root[1].attrib) == ["name", "scopeStartDate", "scopeEndDate", "href"]


def test_a_window_is_half_open_over_the_generated_time(call: Caller, published: Sequence[Part]):
    """A part whose generated time is startTime is in, one whose generated time is endTime is not."""
    generated = published[0].generated
    assert len(names(call.get(f"{LIST}?startTime={generated}&endTime={generated + 1}"))) == 2
    assert call.get(f"{LIST}?startTime={generated - 5}&endTime={generated}").status_code == 404
    assert call.get(f"{LIST}?startTime={generated + 1}").status_code == 404


def test_a_window_that_ends_in_the_future_is_covered_until_now(house: House, call: Caller, published: Sequence[Part]):
    """The safe next startTime is never after the clock, and never after endTime."""
    before = house.catalog.now()
    answer = call.get(f"{LIST}?startTime={before - 7 * DAY}&endTime={before + 7 * DAY}")
    assert before <= int(answer.headers[COVERED]) <= house.catalog.now()
    assert call.get(f"{LIST}?startTime=0&endTime={published[0].generated + 1}").headers[COVERED] == str(published[0].generated + 1)


def test_an_empty_window_has_no_available_files(call: Caller, published: Sequence[Part]):
    """404 with the original's words, and the header all the same."""
    answer = call.get(f"{LIST}?startTime=5&endTime=7")
    status, code, message = error(answer)
    assert (status, code, answer.headers[COVERED]) == (404, 21, "7")
    assert "No Available Files" in message
    assert "No Available Files" in call.get(f"{LIST}?startTime=5&endTime=5", Accept="text/xml").text


@pytest.mark.usefixtures("published")
def test_scope_filters_by_the_hour_covered(call: Caller):
    """Half-open over the start of the hour; startTime may then be left out."""
    hours = [f"Agent.{T0 + HOUR}.{T0 + 2 * HOUR}.part-00000-0", f"Agent.{T0 + 3 * HOUR}.{T0 + 4 * HOUR}.part-00000-0"]
    assert names(call.get(f"{LIST}?scopeFrom={T0 + HOUR}&scopeTo={T0 + 3 * HOUR}")) == hours[:1]
    assert names(call.get(f"{LIST}?scopeFrom={T0 + 2 * HOUR}")) == hours[1:]
    assert names(call.get(f"{LIST}?startTime=0&scopeTo={T0 + 4 * HOUR}")) == hours


def test_pages_give_every_part_once_in_order(house: House, call: Caller, published: Sequence[Part]):
    """The links lead through the whole list, and no page claims to cover what the next one holds."""
    land(house, sent(*(e for i in range(5) for e in (login(T0 + (6 + i) * HOUR), logout(T0 + (6 + i) * HOUR + MINUTE)))))
    generated = {str(part.name): part.generated for part in [*published, *publish_at(house, T0 + 12 * HOUR)]}
    whole = call.get(f"{LIST}?startTime=0")
    url, found = f"{LIST}?startTime=0&limit=3", list[str]()
    while url:
        page = call.get(url)
        found += names(page)
        url = page.links.get("next", {}).get("url")
        assert not url or int(page.headers[COVERED]) <= generated[found[-1]]
    assert "link" not in whole.headers
    assert found == names(whole)
    assert len(set(found)) == 7


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "startTime is missing"),
        ("endTime=5", "startTime is missing"),
        ("startTime=", "found ''"),
        ("startTime=abc", "found 'abc'"),
        ("startTime=1.5", "found '1.5'"),
        ("startTime=1e3", "found '1e3'"),
        ("startTime=1_000", "found '1_000'"),
        ("startTime=+5", "found ' 5'"),
        ("startTime=-1", "found '-1'"),
        ("startTime=٣", "found '٣'"),
        ("startTime=9223372036854775808", "to 9223372036854775807"),
        ("startTime=0&endTime=x", "endTime"),
        ("startTime=5&endTime=4", "endTime 4 is before startTime 5"),
        ("startTime=0&startTime=0", "startTime is there 2 times"),
        ("scopeFrom=9&scopeTo=8", "scopeTo 8 is before scopeFrom 9"),
        ("startTime=0&limit=0", "limit"),
        ("startTime=0&limit=-1", "limit"),
        ("startTime=0&limit=1&cursor=%%%", "cursor"),
        ("startTime=0&limit=1&cursor=eA", "cursor"),
        ("startTime=0&cursor=é", "cursor"),
    ],
)
def test_wrong_parameters_are_refused_with_what_is_allowed(call: Caller, query: str, said: str):
    """400, and a message that names the parameter and what was found."""
    status, code, message = error(call.get(f"{LIST}?{query}"))
    assert (status, code) == (400, 1)
    assert said in message


@pytest.mark.usefixtures("published")
def test_parameters_that_are_not_known_are_ignored(call: Caller):
    """Clients of the original send some of their own."""
    assert call.get(f"{LIST}?startTime=0&v=1").status_code == 200


@pytest.mark.usefixtures("published")
def test_a_get_with_a_body_is_answered_as_one_without(call: Caller):
    """Clients send `{}` with a JSON content type; the body is ignored, whatever it is."""
    for body in (b"{}", b"\xff not json"):
        assert call("GET", f"{LIST}?startTime=0", content=body, headers={"Content-Type": "application/json"}).status_code == 200


# ── the files ──


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_file_is_one_gzip_and_never_encoded(house: House, call: Caller, published: Sequence[Part], suffix: str):
    """The bytes that the store holds, with their checksum; both spellings are the same file."""
    answer = call.get(f"{LIST}/{published[0].name}{suffix}")
    assert answer.content == house.store.get(published[0].gz_key)
    assert "content-encoding" not in answer.headers
    assert answer.headers["content-type"] == "application/gzip"
    assert answer.headers["content-length"] == str(published[0].gz_bytes)
    assert answer.headers["etag"] == f'"{published[0].gz_sha256}"'
    [line] = gzip.decompress(answer.content).splitlines()
    assert json.loads(line)["metaData"]["accountId"] == {"string": "A"}


def test_the_twin_is_served_as_it_is(house: House, call: Caller, published: Sequence[Part]):
    """Parquet, with its own checksum."""
    answer = call.get(f"{LIST}/{published[0].name}.parquet")
    assert answer.content == house.store.get(published[0].twin_key)
    assert (answer.headers["etag"], answer.headers["content-type"]) == (
        f'"{published[0].twin_sha256}"',
        "application/vnd.apache.parquet",
    )


@pytest.mark.parametrize("suffix", ["gz", "parquet", "zip", "avro"])
def test_head_is_get_without_the_body(call: Caller, published: Sequence[Part], suffix: str):
    """In every form, with every header."""
    url = f"{LIST}/{published[0].name}.{suffix}"
    head, got = call("HEAD", url), call("GET", url)
    kept = ("etag", "content-length", "content-type", "last-modified", "accept-ranges")
    assert head.content == b""
    assert [head.headers[name] for name in kept] == [got.headers[name] for name in kept]
    assert len(got.content) == int(head.headers["content-length"])


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("Agent.0.3600000.part-00000-0.gz", 404),
        (f"Agent.{T0 + HOUR}.{T0 + 2 * HOUR}.part-00001-0", 404),
        (f"Agent.{T0 + HOUR}.{T0 + 2 * HOUR}.part-00000-1", 404),
        (f"Agent.{T0 + HOUR}.{T0 + 2 * HOUR}.part-00000-0.gz.gz", 400),
        (f"Agent.{T0 + HOUR}.{T0 + 2 * HOUR}.part-00000-0.GZ", 400),
        (f"Agent.{T0 + HOUR}.{T0 + 2 * HOUR}.part-0-0", 400),
        (f"Agent.0{T0 + HOUR}.{T0 + 2 * HOUR}.part-00000-0", 400),
        ("%2e%2e", 400),
        ("..%2f..%2fcatalog.sqlite", 404),
        ("%2e%2e%5csecret.key", 400),
        ("Agent.%00", 400),
        ("x", 400),
    ],
)
@pytest.mark.usefixtures("published")
def test_other_names_are_refused_or_not_there(call: Caller, name: str, status: int):
    """No other spelling leads to a file, and none to anything else."""
    assert error(call.get(f"{LIST}/{name}"))[:2] == (status, 20 if status == 404 else 1)


def test_what_was_deleted_is_gone(house: House, call: Caller, published: Sequence[Part]):
    """After the retention the list has it no more, and its URL says when it went; the twin stays as long as history does."""
    with house.catalog.write() as conn:
        accounts.update(conn, "A", {"retention_days": -1})
    retention.sweep(house)
    assert error(call.get(f"{LIST}?startTime=0"))[:2] == (404, 21)
    for suffix in ("gz", "zip", "avro"):
        assert error(call.get(f"{LIST}/{published[0].name}.{suffix}"))[:2] == (410, 22)
    assert call.get(f"{LIST}/{published[0].name}.parquet").status_code == 200


def test_a_part_is_not_there_before_its_generated_time(house: House, call: Caller, account: str):
    """Neither in the list nor by its name: nobody may see what others cannot."""
    land(house, sent(login(T0), logout(T0 + MINUTE)))
    [part] = publish_at(house, T0 + 5 * HOUR)
    with house.catalog.write() as conn:
        conn.execute(sa.update(tables.parts).values(generated=house.catalog.now() + 60_000))
    assert call.get(f"{LIST}?startTime=0&endTime={house.catalog.now() + DAY}").status_code == 404
    assert call.get(f"{LIST}/{part.name}.gz").status_code == 404


@pytest.mark.parametrize("suffix", ["gz", "parquet", "zip"])
def test_bytes_that_are_not_in_the_store_are_an_error_before_the_answer_begins(
    house: House, call: Caller, published: Sequence[Part], suffix: str
):
    """Never a 200 that breaks off: 500, and words for the operator."""
    house.store.delete([published[0].gz_key, published[0].twin_key])
    status, code, message = error(call.get(f"{LIST}/{published[0].name}.{suffix}"))
    assert (status, code) == (500, 99)
    assert str(published[0].name) in message


# ── the schema ──


@pytest.mark.parametrize(
    ("query", "version"), [("", "latest"), ("?schemaId=latest", "latest"), *((f"?schemaId={v}", v) for v in schema.VERSIONS)]
)
def test_the_schema_of_each_version_is_served(call: Caller, query: str, version: str):
    """As JSON, by version or the latest."""
    assert call.get(f"{LE}/schema{query}").json() == schema.schema(version)


@pytest.mark.parametrize(("version", "status"), [("9.9.9.9", 404), ("newest", 400), ("..%2fx", 400), ("", 400)])
def test_an_unknown_schema_version_is_an_error(call: Caller, version: str, status: int):
    """Not there, or not a version."""
    assert error(call.get(f"{LE}/schema?schemaId={version}"))[0] == status


def test_an_account_without_a_part_has_an_empty_list(call: Caller):
    """A new account's poller gets a startTime to go on from."""
    answer = call.get(f"{LIST}?startTime=0")
    assert error(answer)[:2] == (404, 21)
    assert int(answer.headers[COVERED]) > 0


def test_a_list_that_is_kept_is_the_list(house: House, published: Sequence[Part], call: Caller):
    """What was sent is sent again as it was, until a part comes, or its files go; for others it is another."""
    first = call.get(f"{LIST}?startTime=0")
    again = call.get(f"{LIST}?startTime=0")
    assert again.content == first.content
    assert int(again.headers[COVERED]) >= int(first.headers[COVERED])
    assert call.get(f"{LIST}?startTime=0", Accept="application/xml").headers["content-type"] == "application/xml"
    assert len(call.get(f"{LIST}?startTime=0&limit=1").json()["dataAccessFiles"]["file"]) == 1
    land(house, sent(login(T0 + 6 * HOUR, agentID=3), logout(T0 + 7 * HOUR, agentID=3)))
    [new] = publish_at(house, T0 + 9 * HOUR)
    assert names(call.get(f"{LIST}?startTime=0")) == [str(part.name) for part in (*published, new)]
    with house.catalog.write() as conn:
        sweeping.expire_parts(conn, "gz", "A", new.generated, house.catalog.now())
        parts.mark_removed(conn)
    assert names(call.get(f"{LIST}?startTime=0")) == [str(new.name)]
    with house.catalog.write() as conn:
        accounts.update(conn, "A", {"time_zone": "Asia/Kolkata"})
    assert "+05:30" in call.get(f"{LIST}?startTime=0").text
