"""The Data Access API: base resource, list, files, schema (seed: Request, Response)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Path, Query
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from shiftlog import hours, schema
from shiftlog.catalog import accounts, parts
from shiftlog.catalog.accounts import Account
from shiftlog.catalog.parts import Listing, Part
from shiftlog.errors import Forbidden, Invalid, NoFiles
from shiftlog.house import House
from shiftlog.names import split_suffix
from shiftlog.server import files, formats, openapi, parameters, problems, shapes, zips
from shiftlog.server.guard import Reading
from shiftlog.server.lists import Page
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

    def asked(self) -> dict[str, Any]:
        """All but the limit, as `catalog.parts` takes it."""
        return {"start": self.start or 0, "end": self.end, "scope_from": self.scope_from, "scope_to": self.scope_to, "after": self.after}


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
    media = formats.acceptable(request, formats.BOTH)
    window = Window.of(startTime, endTime, scopeFrom, scopeTo, limit, cursor)
    page, covered = await services.threads.read(_page, services, account, window, here, media)
    headers = {COVERED: str(covered)}
    if page.last is None:
        return _nothing(request, account, headers)
    if page.more:
        headers |= parameters.next_link(here, request, cursor=parameters.cursor(*page.last))
    return formats.written(page.body, media, headers)


def _nothing(request: Request, account: str, headers: dict[str, str]) -> Response:
    return problems.respond(request, NoFiles(f"No Available Files: nothing of account {account} was generated in the range"), headers)


def _page(services: Services, account: str, window: Window, here: str, media: str) -> tuple[Page, int]:
    """The list as it is sent, and up to which instant it covers; blocks."""
    house = services.house
    with house.catalog.read() as conn:
        now = house.catalog.now(conn)
        covered, edition = parts.standing(conn, account, now=now, end=window.end)
        of = (account, window, here, media, edition)
        page = None if edition is None else services.lists.get(of)
        if page is None:
            known, found = accounts.get(conn, account), parts.listing(conn, account, now=now, limit=window.limit, **window.asked())
    if page is None:
        body = formats.render(_listed(account, here, found.parts, known), media)
        page = Page(body, (found.parts[-1].generated, found.parts[-1].seq) if found.parts else None, found.more)
        if edition is not None:
            services.lists.keep(of, page)
    # A page that is cut covers only what comes before its last part: who forgets the next page loses nothing.
    return page, min(covered, page.last[0]) if page.more and page.last else covered


def _listed(account: str, here: str, found: Sequence[Part], known: Account) -> shapes.FileList:
    iso = cache(lambda instant: hours.iso(instant, known.time_zone))  # an hour ends where the next one begins
    suffix = _suffix(known)
    file = [shapes.File(str(part.name), iso(part.scope_start), iso(part.scope_end), f"{here}/{part.name}.{suffix}") for part in found]
    return shapes.FileList(shapes.Files(account, shapes.Link(here, "self"), file))


def _suffix(known: Account) -> str:
    return "gz" if known.pgp_key is None else "gz.pgp"


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
    known, found = await services.threads.read(_find_all, services.house, account, window)
    headers = {COVERED: str(found.covered_until)}
    if not found.parts:
        return _nothing(request, account, headers)
    if _suffix(known) != "gz":
        raise Forbidden(f"files of account {account} are encrypted; allowed: NAME.gz.pgp, one by one, as the list has them")
    return files.stream(services.threads, zips.Archive(services.house.store, found.parts), headers)


def _find_all(house: House, account: str, window: Window) -> tuple[Account, Listing]:
    with house.catalog.read() as conn:
        return accounts.get(conn, account), parts.listing(conn, account, now=house.catalog.now(conn), **window.asked())


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
    return await run(files.answer, request, services.threads, services.house, account, wanted, suffix)


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


#: The routes of those who pull: one list, and then file after file.
OFTEN = [route for route in router.routes if isinstance(route, APIRoute) and route.name in ("list", "download")]
