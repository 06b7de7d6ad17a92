"""The API as OpenAPI: what the routes say of themselves, with the documents' schemas, the keys, and the one shape of errors."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import msgspec
from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import Response

from shiftlog.server import problems, shapes

_DESCRIPTION = """Agent activity of contact centres: events in, immutable hourly files out.

Times are epoch milliseconds in UTC, ranges are half-open. PROTOCOL.md has all meanings and guarantees."""

SECURITY = {
    "oauth1": {"type": "http", "scheme": "OAuth", "description": "An OAuth 1.0a signature (RFC 5849), HMAC-SHA1 or HMAC-SHA256."},
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key's bearer token."},
}

router = APIRouter(tags=["operation"])

#: What is asked of a server to know whether it lives; no limit may make it look dead.
ALIVE = "/healthz"

Responses = dict[int | str, dict[str, Any]]


def body(name: str, *media: str, headers: dict[str, Any] | None = None) -> Responses:
    """A 200 with one of the documents of `shapes`."""
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {200: {"description": name, "headers": headers or {}, "content": {form: {"schema": schema} for form in media}}}


def binary(description: str, *media: str, status: int = 200, headers: dict[str, Any] | None = None) -> Responses:
    """A status with bytes."""
    schema = {"type": "string", "format": "binary"}
    return {status: {"description": description, "headers": headers or {}, "content": {form: {"schema": schema} for form in media}}}


def plain(description: str, media: str, schema: dict[str, Any]) -> Responses:
    """A 200 with what a schema says."""
    return {200: {"description": description, "content": {media: {"schema": schema}}}}


def header(description: str, type_: str = "string") -> dict[str, Any]:
    """A response header that may be there."""
    return {"description": description, "schema": {"type": type_}}


_LIMITED = problems.documented(429)
_LIMITED[429]["headers"] = {"Retry-After": header("seconds", "integer")}


def describe(app: FastAPI) -> dict[str, Any]:
    """The application's OpenAPI document; made once."""
    if not app.openapi_schema:
        document = get_openapi(title="shiftlog", version=version("shiftlog"), description=_DESCRIPTION, routes=app.routes)
        _, schemas = msgspec.json.schema_components(shapes.ALL, ref_template="#/components/schemas/{name}")
        document["components"] = {"schemas": schemas, "securitySchemes": SECURITY}
        for path, operations in document["paths"].items():
            for operation in operations.values():
                _complete(path, operation)
                if path != ALIVE:
                    operation["responses"] |= _LIMITED
        app.openapi_schema = document
    return app.openapi_schema


def _complete(path: str, operation: dict[str, Any]) -> None:
    operation["responses"].pop("422", None)  # the framework's own shape of errors, which is never answered
    operation["security"] = [{name: []} for name in SECURITY] if "{account}" in path else []


@router.get("/api/openapi.json", name="openapi", responses=plain("this document", "application/json", {"type": "object"}))
async def document(request: Request) -> Response:
    """This API as OpenAPI."""
    return Response(msgspec.json.encode(describe(request.app)), media_type="application/json")
