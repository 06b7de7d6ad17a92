"""Every error has one shape, the right status, and a message that helps."""

from __future__ import annotations

from datetime import datetime
from xml.etree import ElementTree

import pytest
import structlog
from callers import EVENTS, LE, LIST, Caller, calling, error
from starlette.exceptions import HTTPException

from shiftlog import errors
from shiftlog.catalog.keys import NewKey
from shiftlog.house import House
from shiftlog.server import problems
from shiftlog.server.app import create_app


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (errors.Invalid("x"), 400, 1),
        (errors.BadEvent("line 1", "state", "9", "2"), 400, 1),
        (errors.TooLarge("x"), 413, 30),
        (errors.Unsupported("x"), 415, 5),
        (errors.Unauthorized("x"), 401, 10),
        (errors.Forbidden("x"), 403, 11),
        (errors.Missing("x"), 404, 20),
        (errors.NoFiles("x"), 404, 21),
        (errors.Gone("x"), 410, 22),
        (errors.Later("x"), 503, 50),
        (errors.Overtaken("x"), 503, 50),
        (errors.Damaged("x"), 500, 99),
        (errors.Unusable("x"), 500, 99),
        (ValueError("x"), 500, 99),
        (HTTPException(404), 404, 20),
        (HTTPException(405), 405, 5),
        (HTTPException(406), 406, 5),
        (HTTPException(416), 416, 23),
    ],
)
def test_each_branch_has_its_status_and_code(failure: Exception, status: int, code: int):
    """The tree of errors maps to HTTP in one place."""
    assert problems.of(failure)[:2] == (status, code)


def test_every_branch_of_the_tree_is_answered():
    """None is a fault of the server, but for those that are, and two that are never raised themselves."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ShiftlogError)]
    faults = {kind.__name__ for kind in kinds if not issubclass(kind, tuple(problems.BRANCHES))}
    assert faults == {"Damaged", "Unusable", "ShiftlogError", "Denied"}


def test_an_error_says_when_in_iso_with_an_offset(call: Caller):
    """The time of an error can be read by anyone."""
    moment = datetime.fromisoformat(call.get("/nowhere").json()["error"]["time"])
    assert moment.tzinfo is not None


def test_an_error_comes_in_xml_where_that_is_preferred(call: Caller):
    """The same three members, as elements in the same order."""
    answer = call.get(f"{LIST}?startTime=<%26>", Accept="application/xml")
    root = ElementTree.fromstring(answer.content)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/xml")
    assert (root.tag, [child.tag for child in root]) == ("error", ["time", "message", "internalCode"])
    assert "'<&>'" in (root.findtext("message") or "")


@pytest.mark.parametrize(
    "path", ["/nowhere", f"{LE}/", f"{LE}/webSession", f"{LIST}/", f"{LIST}/a/b", "/api/v1", "/api/v1/accounts/A", f"{EVENTS}/x"]
)
def test_what_is_not_there_is_one_shape(call: Caller, path: str):
    """Unknown paths, and paths with a slash too much, are errors as all others."""
    status, code, message = error(call.get(path))
    assert (status, code) == (404, 20)
    assert path in message


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("POST", LIST, "GET, HEAD"), ("DELETE", LE, "GET, HEAD"), ("GET", EVENTS, "POST"), ("BREW", "/healthz", "GET, HEAD")],
)
def test_a_method_that_is_not_spoken_is_405_with_those_that_are(call: Caller, method: str, path: str, allowed: str):
    """The header Allow and the message say which."""
    answer = call(method, path)
    assert error(answer)[:2] == (405, 5)
    assert answer.headers["allow"] == allowed
    assert method in error(answer)[2]


@pytest.mark.parametrize("path", [LE, f"{LIST}?startTime=0", f"{LE}/schema", "/api/v1/accounts/A/status", "/api/v1/accounts/A/open"])
def test_an_accept_header_that_excludes_all_is_406(call: Caller, path: str):
    """Code 5, as the original has it, and what is offered."""
    status, code, message = error(call.get(path, Accept="text/csv"))
    assert (status, code) == (406, 5)
    assert "text/csv" in message
    assert "application/" in message


def test_a_head_request_gets_the_error_without_its_body(call: Caller):
    """Status and headers are those of GET."""
    asked, got = call("HEAD", "/nowhere"), call("GET", "/nowhere")
    assert (asked.status_code, asked.content) == (404, b"")
    assert asked.headers["content-length"] == str(len(got.content))


def test_later_says_when(house: House, keys: NewKey):
    """503 has Retry-After."""
    app = create_app(house, publish=False)

    @app.get("/busy")
    async def busy() -> None:
        raise errors.Later("the store is full", retry_after=60)

    with calling(app, keys.bearer) as call:
        answer = call.get("/busy")
    assert error(answer) == (503, 50, "the store is full")
    assert answer.headers["retry-after"] == "60"


def test_a_fault_tells_nothing_but_the_id_under_which_it_is_logged(house: House, keys: NewKey):
    """No traceback and no text of an unexpected error reaches a client."""
    app = create_app(house, publish=False)

    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError("secret detail")

    with calling(app, keys.bearer) as call, structlog.testing.capture_logs() as lines:
        answer = call.get("/broken", X_Request_Id="mine-1")
    status, code, message = error(answer)
    assert (status, code) == (500, 99)
    assert "mine-1" in message
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] == "mine-1"
    assert isinstance(next(line["exc_info"] for line in lines if line["id"] == "mine-1"), ZeroDivisionError)
