"""The Data Access API: base resource, list, files, schema (seed: Request, Response)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from shiftlog import hours, schema
from shiftlog.catalog import accounts, parts
from shiftlog.catalog.parts import Part
from shiftlog.errors import Forbidden, Invalid, Missing, NoFiles
from shiftlog.house import House
from shiftlog.names import PartName, split_suffix
from shiftlog.server import files, formats, openapi, parameters, problems, shapes, zips
from shiftlog.server.guard import Reading
from shiftlog.server.parameters import Cursor, Instant, Limit
from shiftlog.server.services import Services

router = APIRouter(prefix="/data_access_le/account/{account}/le", tags=["Data Access API"], dependencies=[Depends(parameters.once)])

COVERED = "Shiftlog-Covered-Until"
_COVERED_DOC = {COVERED: openapi.header("the safe next startTime: nothing more can appear before it", "integer")}
_LINK_DOC = {"Link": openapi.header("the next page, where there is one")}


@router.get("", name="base", responses=openapi.body("Base", *formats.BOTH) | problems.documented(400, 401, 403, 404, 406, 500, 503))
async def base(request: Request, account: Reading) -> Response:
    """Links to what the account has."""
    here = _here(request, account)
    links = [shapes.Link(here, "self"), shapes.Link(f"{here}/agentActivity", "agentActivity"), shapes.Link(f"{here}/schema", "schema")]
    return formats.respond(request, shapes.Base(shapes.Resources(account, links)), offered=formats.BOTH)


def _here(request: Request, account: str) -> str:
    return f"{Services.of(request).base_url(request.scope)}/data_access_le/account/{account}/le"


# ── the list ──


class Window(NamedTuple):
    """What a list is asked for; all in epoch ms."""

    start: int | None
    end: int | None
    scope_from: int | None
    scope_to: int | None
    limit: int | None
    after: tuple[int, int]

    @classmethod
    def of(
        cls, start: int | None, end: int | None, scope_from: int | None, scope_to: int | None, limit: int | None, cursor: str | None
    ) -> Window:
        """
        Raises:
            Invalid: nothing says where to start, or a range ends before it starts.
        """
        if start is None and scope_from is None and scope_to is None:
            raise Invalid("startTime is missing; epoch milliseconds are expected, such as the last answer's Shiftlog-Covered-Until, or 0")
        parameters.ordered("startTime", start, "endTime", end)
        parameters.ordered("scopeFrom", scope_from, "scopeTo", scope_to)
        return cls(start, end, scope_from, scope_to, limit, parameters.after(cursor))


class Found(NamedTuple):
    """What a list answers."""

    parts: Sequence[Part]
    covered_until: int
    more: bool
    time_zone: str
    suffix: str


@router.get(
    "/agentActivity",
    name="list",
    responses=openapi.body("FileList", *formats.BOTH, headers=_COVERED_DOC | _LINK_DOC)
    | problems.documented(400, 401, 403, 404, 406, 500, 503),
)
async def list_files(
    request: Request,
    account: Reading,
    startTime: Instant = None,
    endTime: Instant = None,
    scopeFrom: Instant = None,
    scopeTo: Instant = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """The files that were generated in [startTime, endTime), in that order; scopeFrom and scopeTo filter by the hour covered."""
    services, here = Services.of(request), f"{_here(request, account)}/agentActivity"
    formats.acceptable(request, formats.BOTH)
    window = Window.of(startTime, endTime, scopeFrom, scopeTo, limit, cursor)
    found = await services.threads.read(_find_all, services.house, account, window)
    headers = {COVERED: str(found.covered_until)}
    if not found.parts:
        return _nothing(request, account, headers)
    if found.more:
        last = found.parts[-1]
        headers |= parameters.next_link(here, request, cursor=parameters.cursor(last.generated, last.seq))
    return formats.respond(request, _listed(account, here, found), offered=formats.BOTH, headers=headers)


def _nothing(request: Request, account: str, headers: dict[str, str]) -> Response:
    return problems.respond(request, NoFiles(f"No Available Files: nothing of account {account} was generated in the range"), headers)


def _find_all(house: House, account: str, window: Window) -> Found:
    with house.catalog.read() as conn:
        known = accounts.get(conn, account)
        found = parts.listing(
            conn,
            account,
            now=house.catalog.now(conn),
            start=window.start or 0,
            end=window.end,
            scope_from=window.scope_from,
            scope_to=window.scope_to,
            after=window.after,
            limit=window.limit,
        )
    # A page that is cut covers only what comes before its last part: who forgets the next page loses nothing.
    covered = min(found.covered_until, found.parts[-1].generated) if found.more else found.covered_until
    return Found(found.parts, covered, found.more, known.time_zone, "gz" if known.pgp_key is None else "gz.pgp")


def _listed(account: str, here: str, found: Found) -> shapes.FileList:
    iso = cache(lambda instant: hours.iso(instant, found.time_zone))  # an hour ends where the next one begins
    file = [
        shapes.File(str(part.name), iso(part.scope_start), iso(part.scope_end), f"{here}/{part.name}.{found.suffix}")
        for part in found.parts
    ]
    return shapes.FileList(shapes.Files(account, shapes.Link(here, "self"), file))


# ── the window as one archive ──


@router.get(
    "/agentActivity.zip",
    name="archive",
    responses=openapi.binary("the files, as one archive", files.MEDIA["zip"], headers=_COVERED_DOC)
    | problems.documented(400, 401, 403, 404, 406, 500, 503),
)
async def archive(
    request: Request,
    account: Reading,
    startTime: Instant = None,
    endTime: Instant = None,
    scopeFrom: Instant = None,
    scopeTo: Instant = None,
) -> Response:
    """The files that the list has for the same parameters, as one archive: entries `{part}.json` with the lines of the `.gz`."""
    services = Services.of(request)
    window = Window.of(startTime, endTime, scopeFrom, scopeTo, None, None)
    found = await services.threads.read(_find_all, services.house, account, window)
    headers = {COVERED: str(found.covered_until)}
    if not found.parts:
        return _nothing(request, account, headers)
    if found.suffix != "gz":
        raise Forbidden(f"files of account {account} are encrypted; allowed: NAME.gz.pgp, one by one, as the list has them")
    return files.stream(services.threads, zips.Archive(services.house.store, found.parts), headers)


# ── the files ──

_VALIDATORS = {
    "ETag": openapi.header("the SHA-256 of the bytes"),
    "Last-Modified": openapi.header("the generated time"),
    "Accept-Ranges": openapi.header("bytes"),
}
_LOCATION = {"Location": openapi.header("a URL that needs no key, and is good for this file and some time")}


@router.get(
    "/agentActivity/{name}",
    name="download",
    responses=openapi.binary("the file", *files.MEDIA.values(), headers=_VALIDATORS)
    | openapi.binary("a range of the file", *files.MEDIA.values(), status=206, headers=_VALIDATORS)
    | {304: {"description": "the client has it", "headers": _VALIDATORS}}
    | {307: {"description": "the file is to be had there", "headers": _LOCATION}}
    | problems.documented(400, 401, 403, 404, 406, 410, 416, 500, 503),
)
async def download(
    request: Request,
    account: Reading,
    name: Annotated[str, Path(description="a part's name; with .gz or without, .gz.pgp, .parquet, .avro or .zip")],
) -> Response:
    """One published file. It never changes."""
    wanted, suffix = split_suffix(name)
    services = Services.of(request)
    run = services.threads.read if suffix in ("gz", "parquet") else services.threads.fold
    return files.respond(request, services.threads, await run(_open, services.house, account, wanted, suffix))


def _open(house: House, account: str, name: PartName, suffix: str) -> files.Content:
    with house.catalog.read() as conn:
        part = parts.find(conn, account, name, house.catalog.now(conn))
    if part is None:
        raise Missing(f"account {account} has no file {name}; the list names those it has")
    return files.content(house, account, part, suffix)


# ── the schema ──


@router.get(
    "/schema",
    name="schema",
    responses=openapi.plain("the Avro schema", formats.JSON, {"type": "object"}) | problems.documented(400, 401, 403, 404, 406, 500, 503),
)
async def avro_schema(
    request: Request, account: Reading, schemaId: Annotated[str, Query(description="latest, or a version such as 1.0.0.4")] = "latest"
) -> Response:
    """The Avro schema of the documents in files."""
    return Response(schema.source(schemaId), media_type=formats.acceptable(request, (formats.JSON,)))
