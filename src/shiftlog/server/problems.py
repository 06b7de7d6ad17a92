"""Which error is which answer: the one place that knows status codes and internal codes of errors."""

from __future__ import annotations

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from shiftlog.errors import (
    Damaged,
    Forbidden,
    Gone,
    Invalid,
    Later,
    Missing,
    NoFiles,
    ShiftlogError,
    TooLarge,
    TooMany,
    TooSlow,
    Unauthorized,
    Unsupported,
)
from shiftlog.hours import iso
from shiftlog.server import formats, shapes

log = structlog.get_logger()


class Branch(NamedTuple):
    """What a branch of the error tree is over HTTP."""

    status: int
    code: int
    meaning: str


#: The branches that the caller is told of, the more special ones first; all else is a fault of the server.
BRANCHES: dict[type[ShiftlogError], Branch] = {
    TooLarge: Branch(413, 30, "past a limit; nothing was taken"),
    Unsupported: Branch(415, 5, "a media type or content encoding that is not spoken here"),
    Invalid: Branch(400, 1, "a parameter, a name or an event is wrong"),
    Unauthorized: Branch(401, 10, "no key, or a wrong, revoked or expired one; a bad, stale or repeated signature"),
    Forbidden: Branch(403, 11, "the key has not this permission, or the account's files are encrypted"),
    NoFiles: Branch(404, 21, "No Available Files"),
    Missing: Branch(404, 20, "not there, or another account's"),
    Gone: Branch(410, 22, "deleted when its retention ended"),
    TooMany: Branch(429, 40, "too many requests, or too many at once; nothing was taken"),
    TooSlow: Branch(408, 41, "the body came too slowly; nothing was taken"),
    Later: Branch(503, 50, "cannot be done now; nothing was changed"),
}
FAULT = Branch(500, 99, "a fault of the server")
#: What HTTP itself refuses.
REFUSALS: dict[int, Branch] = {
    404: BRANCHES[Missing],
    405: Branch(405, 5, "a method that is not spoken here"),
    406: Branch(406, 5, "an Accept header that excludes all that is offered"),
    416: Branch(416, 23, "the range lies outside of the file"),
}

CHALLENGES = ('OAuth realm="shiftlog"', 'Bearer realm="shiftlog"')


def of(error: Exception) -> Branch:
    """What an error is over HTTP."""
    if isinstance(error, HTTPException):
        return REFUSALS.get(error.status_code, FAULT)
    return next((branch for kind, branch in BRANCHES.items() if isinstance(error, kind)), FAULT)


def respond(request: Request, error: Exception, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a request that ended in an error, in JSON, or in XML where that is preferred."""
    branch, message = explained(request, error)
    media = formats.choose(formats.accepted(request), formats.BOTH) or formats.JSON
    now = time.time_ns() // 1_000_000
    document = shapes.Error(shapes.Problem(iso(now), message, branch.code))
    response = Response(formats.render(document, media), branch.status, {**_headers(request, error), **(headers or {})}, media)
    if branch.status == 401:
        for challenge in CHALLENGES:
            response.headers.append("WWW-Authenticate", challenge)
    return response


def explained(request: Request, error: Exception) -> tuple[Branch, str]:
    """What an error is over HTTP, and its message; faults of the server are logged."""
    branch = of(error)
    if branch is FAULT:
        log.error("request.failed", id=request.scope.get("shiftlog.id"), exc_info=error)
    # Text that a request brought can hold what UTF-8 cannot.
    return branch, _message(request, error, branch).encode("utf-8", "replace").decode()


def _message(request: Request, error: Exception, branch: Branch) -> str:
    if isinstance(error, HTTPException):
        return _refused(request, error)
    if branch is FAULT and not isinstance(error, Damaged):
        return f"an error in the server; its operator finds it in the log by the request's id {request.scope.get('shiftlog.id', '')}"
    return str(error)


def _refused(request: Request, error: HTTPException) -> str:
    """The message of what HTTP refuses; Starlette's own say no more than the status does."""
    if error.detail != HTTPStatus(error.status_code).phrase:
        return str(error.detail)
    path = request.scope["path"][:200]
    if error.status_code == 405:
        allowed = _allowed(error) or "none"
        return f"found the method {request.scope.get('shiftlog.method', request.method)[:20]} for {path}; allowed: {allowed}"
    return f"there is no {path} here; GET /api/openapi.json says what there is"


def _allowed(error: HTTPException) -> str:
    allowed = (error.headers or {}).get("Allow", "")
    return ", ".join(sorted({*allowed.split(", "), *(["HEAD"] if "GET" in allowed else [])} - {""}))


def _headers(request: Request, error: Exception) -> dict[str, str]:
    if isinstance(error, Later):
        return {"Retry-After": str(error.retry_after or 1)}
    if isinstance(error, HTTPException):
        headers = dict(error.headers or {})
        return headers | ({"Allow": _allowed(error)} if "Allow" in headers else {})
    return {}


# ── for the framework ──


async def _shiftlog_error(request: Request, error: Exception) -> Response:
    return respond(request, error)


async def _validation(request: Request, error: RequestValidationError) -> Response:
    return respond(request, Invalid("; ".join(_explained(found) for found in error.errors())))


def _explained(found: Mapping[str, Any]) -> str:
    name = found["loc"][-1]
    if found["type"] == "missing":
        return f"{name} is missing"
    return f"{name}: {found.get('ctx', {}).get('error') or found['msg']}"


#: Faults that nobody expected are not here: the guard answers and logs them.
HANDLERS: dict[Any, Any] = {ShiftlogError: _shiftlog_error, HTTPException: _shiftlog_error, RequestValidationError: _validation}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These statuses as OpenAPI responses."""
    branches = dict.fromkeys([*BRANCHES.values(), *REFUSALS.values(), FAULT])
    return {
        status: {
            "description": "; or ".join(branch.meaning for branch in branches if branch.status == status),
            "content": {media: {"schema": {"$ref": "#/components/schemas/Error"}} for media in formats.BOTH},
        }
        for status in statuses
    }
