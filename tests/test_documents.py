"""Documents one at a time: what may be meant is read, and what may not be is named."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from shiftlog import container, documents
from shiftlog.documents import DECODED, Place
from shiftlog.errors import Damaged
from shiftlog.schema import ACTIVITY, HEADER, META_DATA
from wire import SEED, login


def read(*values: Any) -> pl.DataFrame:
    return documents.read("\n".join(map(json.dumps, values)).encode(), Place("a"))


def document(**fields: Any) -> dict[str, Any]:
    """The seed's document with these fields of its event changed."""
    value: dict[str, Any] = json.loads(container.encode(login(), account="75555851"))
    event_of(value).update(fields)
    return value


def data_of(value: dict[str, Any]) -> Any:
    return value["recordCollection"][0]["body"][ACTIVITY]


def event_of(value: dict[str, Any]) -> Any:
    return data_of(value)["agentSessionsData"]["array"][0]


def complaint(value: Any) -> str:
    with pytest.raises(Damaged) as raised:
        read(value)
    return str(raised.value)


def untagged(value: Any) -> Any:
    """The same without any type's name."""
    if isinstance(value, list):
        return [untagged(item) for item in value]
    if isinstance(value, dict):
        names = {"long", "string", "array", ACTIVITY, HEADER, META_DATA}
        return untagged(next(iter(value.values()))) if names & value.keys() else {name: untagged(inner) for name, inner in value.items()}
    return value


@pytest.mark.parametrize("version", SEED)
def test_the_seeds_text_is_read_as_it_stands(version: str):
    """Two documents over many lines, of one session each."""
    frame = documents.read(SEED[version], Place("seed"))
    about = {"accountId": pl.lit("75555851"), "schemaVersion": pl.lit(version)}
    assert_frame_equal(frame, pl.concat([login(), login()]).with_columns(**about))


def test_values_may_be_bare():
    """Without any type's name, the document means the same."""
    assert untagged(document())["metaData"]["startTime"] == 1465992202047
    assert_frame_equal(read(untagged(document())), read(document()))


def test_values_may_stand_under_another_types_name():
    """What counts is the value: an int is a long, and another namespace is one, too."""
    value = document(agentID={"int": 9}, agentUsername={"text": "CRAgent"}, userProfileIDs={"list": [1]})
    value["recordCollection"] = {"list": [{"body": {"other.Data": data_of(value)}}]}
    assert read(value).row(0, named=True) | {"userProfileIDs": None} == read(document()).row(0, named=True) | {"userProfileIDs": None}


def test_the_tables_spelling_is_understood():
    """agentUserName and its like, where the example's spelling has nothing."""
    value = document(agentUserName={"string": "U"}, agentNickName="N", agentLoginName={"string": "ignored"})
    event_of(value).pop("agentUsername")
    event_of(value)["agentNickname"] = None
    assert read(value).select("agentUsername", "agentNickname", "agentLoginname").row(0) == ("U", "N", "CRAgent@liveperson.com")


@pytest.mark.parametrize(("given", "meant"), [(7, "7"), ({"long": 7}, "7"), ("007", "007"), ({"string": "x"}, "x"), (None, None)])
def test_the_employees_number_is_text(given: Any, meant: str | None):
    """Also where it comes as a number, as in the seed's table."""
    assert read(document(agentEmployeeId=given))["agentEmployeeId"].to_list() == [meant]


@pytest.mark.parametrize("given", [5, "5", "+05", 5.0, {"long": "5"}, {"double": 5.0}])
def test_a_whole_number_may_come_in_other_clothes(given: Any):
    """As long as it is exactly one."""
    assert read(document(agentID=given))["agentID"].to_list() == [5]


@pytest.mark.parametrize(
    "given", [1.5, 1e19, 2**63, -(2**63) - 1, "x", "", " 5", "1e2", "5" * 20, True, [], {}, {"long": 1, "int": 1, "x": 1.5}][:-1]
)
def test_what_is_no_whole_number_of_64_bits_is_damage(given: Any):
    """Nothing is cut, wrapped round or guessed."""
    assert "agentSessionsData[0].agentID: found " in complaint(document(agentID=given))


@pytest.mark.parametrize("given", [5, True, ["x"], {"string": 5}, {}, {"a": "x", "b": "y"}, "\ud800", {"string": "x\udfff"}])
def test_what_is_no_text_is_damage(given: Any):
    """Half of a surrogate pair included, which UTF-8 cannot hold."""
    assert "agentSessionsData[0].agentNickname: found " in complaint(document(agentNickname=given))


@pytest.mark.parametrize("given", [5, "x", {"array": 5}, [1.5], ["x"], {"array": [{"long": "x"}]}, [[1]]])
def test_what_is_no_list_of_whole_numbers_is_damage(given: Any):
    """The list, or a number in it."""
    assert "agentSessionsData[0].userProfileIDs: found " in complaint(document(userProfileIDs=given))


def test_a_complaint_says_what_was_found_and_what_is_allowed():
    """Together with the place where the document begins."""
    with pytest.raises(Damaged) as raised:
        read(document(), document(state={"long": 1.5}))
    begin = len(json.dumps(document())) + 1
    assert str(raised.value) == (
        f"a: line 2, byte {begin} of the text: not a document of agent activity: "
        "agentSessionsData[0].state: found 1.5; allowed: a whole number of 64 bits"
    )


def test_long_values_are_not_repeated_in_full():
    """A complaint stays readable."""
    assert len(complaint(document(agentID="x" * 10_000))) < 300


def test_unknown_codes_are_kept():
    """Reading is lenient where only the meaning is unknown."""
    assert read(document(type={"long": 99}, state={"long": -77})).select("type", "state").row(0) == (99, -77)


def test_what_is_left_out_is_null():
    """A field, the times, the account; and metaData as a whole."""
    value = document()
    event_of(value).clear()
    value["metaData"] = None
    assert read(value).to_dicts() == [dict.fromkeys(DECODED) | {"agentSessionId": "75555851-684867733", "eventIndex": 0}]


def test_a_session_without_events_is_one_row():
    """Withdrawn, by an empty array or null."""
    for events in ({"array": []}, [], None):
        value = document()
        data_of(value)["agentSessionsData"] = events
        assert read(value).select("agentSessionId", "eventIndex", "agentID").rows() == [("75555851-684867733", None, None)]


def test_a_document_may_hold_several_sessions_or_none():
    """Each record is one; all have the document's times."""
    value, empty = document(), document()
    value["recordCollection"] *= 3
    empty["recordCollection"] = []
    frame = read(value, empty)
    assert frame.select("eventIndex", "sessionStartTime").rows() == [(0, 1465992202047)] * 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda value: value.pop("recordCollection"), "recordCollection: found nothing"),
        (lambda value: value.update(recordCollection="x"), 'recordCollection: found "x"; allowed: an array'),
        (lambda value: value.update(metaData=5), "metaData: found 5; allowed: an object"),
        (lambda value: value["metaData"].update(startTime="soon"), 'startTime: found "soon"'),
        (lambda value: value["recordCollection"].append(None), "agentSessionId: found nothing; allowed: text"),
        (lambda value: value["recordCollection"][0].update(body={"WebSession": {"header": None}}), "agentSessionId: found nothing"),
        (lambda value: data_of(value).update(header=[]), "header: found an array; allowed: an object"),
        (lambda value: data_of(value).pop("agentSessionsData"), "agentSessionsData: found nothing; allowed: an array of events"),
        (lambda value: data_of(value).update(agentSessionsData={"array": [{}, 5]}), "agentSessionsData[1].event: found 5"),
    ],
)
def test_a_document_without_its_session_is_damage(change: Any, told: str):
    """Nothing is taken for a session, or for a withdrawal, that is not one."""
    value = document()
    change(value)
    assert told in complaint(value)
