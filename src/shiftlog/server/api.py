"""Beyond the seed: taking events in, and the manifest, the freshness and the open sessions of an account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import polars as pl
import sqlalchemy as sa
from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from shiftlog import container, events, pgp
from shiftlog.catalog import accounts, chained, parts, publishing
from shiftlog.catalog.chained import Head, SigningKey
from shiftlog.catalog.parts import Part
from shiftlog.catalog.publishing import State
from shiftlog.chain import ERASURE
from shiftlog.errors import Forbidden, Invalid
from shiftlog.hours import HOUR
from shiftlog.house import House
from shiftlog.pending import Pending, gather, pending
from shiftlog.server import bodies, formats, openapi, parameters, problems, shapes
from shiftlog.server.guard import AUDITED, Reading, Writing
from shiftlog.server.parameters import After, Limit
from shiftlog.server.services import Services
from shiftlog.sessions import refold

router = APIRouter(prefix="/api/v1/accounts/{account}", tags=["shiftlog"], dependencies=[Depends(parameters.once)])


# ── events in ──

_EVENTS = {
    "requestBody": {
        "required": True,
        "description": "one JSON object a line, an array of them, or a CloudEvents batch with the event in `data`; gzip is understood",
        "content": {
            events.NDJSON: {"schema": {"type": "string"}},
            events.JSON: {"schema": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["agentID", "timestamp"]}}},
            events.CLOUDEVENTS: {"schema": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["data"]}}},
        },
    }
}


@router.post(
    "/events",
    name="ingest",
    openapi_extra=_EVENTS,
    responses=openapi.body("Accepted", formats.JSON) | problems.documented(400, 401, 403, 404, 406, 408, 413, 415, 500, 503),
)
async def ingest(request: Request, account: Writing) -> Response:
    """Take events in: all of them are durable when the answer is sent, or none was taken."""
    services, visit = Services.of(request), request.scope["shiftlog.visit"]
    key = visit.key
    services.limits.check_events(key.id)
    formats.acceptable(request, (formats.JSON,))
    form, encoding = bodies.form(request.headers), bodies.encoding(request.headers)
    async with services.bodies.receive(request, key.id) as body:
        frame = await services.threads.parse(_parse, services.house, account, body, form, encoding)
        # One commit for both: the line in the audit log costs no wait of its own.
        accepted = await asyncio.wrap_future(services.landing.submit(account, frame, visit.line(AUDITED["ingest"], 200)))
        visit.recorded = 200
    services.limits.count_events(key.id, accepted)
    services.monitor.accepted.inc(accepted)
    return formats.respond(request, shapes.Accepted(accepted))


def _parse(house: House, account: str, body: bytes, form: str, encoding: str) -> pl.DataFrame:
    settings = house.settings
    text = bodies.unpack(body, encoding, settings.body_bytes)
    return events.parse(text, form, account=account, now=house.catalog.now(), max_events=settings.request_events)


# ── the manifest ──


class Page(NamedTuple):
    """A page of the manifest; `scopes` of the whole account, on the last page only; the rest as of now."""

    now: int
    parts: Sequence[Part]
    more: bool
    watermark: int | None
    scopes: Iterable[int]
    erased: int
    head: Head | None
    keys: Sequence[SigningKey]
    pgp_key: str | None


@router.get(
    "/manifest",
    name="manifest",
    responses=openapi.body("Manifest", formats.JSON, headers={"Link": openapi.header("the next page, where there is one")})
    | problems.documented(400, 401, 403, 404, 406, 500, 503),
)
async def manifest(request: Request, account: Reading, after: After = 0, limit: Limit = None) -> Response:
    """Every part ever published, in the order of publication; on the last page the hours without any."""
    services = Services.of(request)
    formats.acceptable(request, (formats.JSON,))
    most = services.house.settings.page_parts
    if limit is not None and limit > most:
        raise Invalid(f"limit: found {limit}; allowed: at most {most}")
    page = await services.threads.read(_page, services.house, account, after, limit or most)
    headers = {}
    if page.more:
        here = f"{services.base_url(request.scope)}/api/v1/accounts/{account}/manifest"
        headers = parameters.next_link(here, request, after=page.parts[-1].seq, limit=limit or most)
    described = shapes.Manifest(
        accountId=account,
        watermark=page.watermark,
        parts=[_described(part, page.now) for part in page.parts],
        emptyHours=_gaps(page.scopes, page.watermark),
        erased=page.erased,
        head=None if page.head is None else shapes.Head(page.head.sequence, page.head.link, page.head.key, page.head.signature),
        keys=_keys(page.keys),
        encryptedTo=None if page.pgp_key is None else pgp.fingerprint(page.pgp_key),
    )
    return formats.respond(request, described, headers=headers)


def _page(house: House, account: str, after: int, limit: int) -> Page:
    with house.catalog.read() as conn:
        now = house.catalog.now(conn)
        watermark = visible_watermark(conn, account, publishing.state(conn, account), now)
        found = parts.manifest(conn, account, now=now, after=after, limit=limit + 1)
        more = len(found) > limit
        scopes = () if more else _scopes(conn, account, watermark)
        erased, head = chained.erased(conn, account, now), chained.head(conn, account, now)
        return Page(
            now, found[:limit], more, watermark, scopes, erased, head, chained.keys(conn, account), accounts.get(conn, account).pgp_key
        )


def _scopes(conn: sa.Connection, account: str, watermark: int | None) -> Iterable[int]:
    """The starts of the hours before the watermark that have parts."""
    first = parts.first_scope(conn, account)
    return () if first is None or watermark is None else parts.revisions(conn, account, list(range(first, watermark, HOUR)))


def visible_watermark(conn: sa.Connection, account: str, state: State, now: int) -> int | None:
    """The watermark as a reader may take it at `now`.

    It moves in the commit, and the parts of that commit are visible a moment later: until then, their hours are not
    complete to anyone who looks.
    """
    if state.watermark is None or state.last_generated < now:
        return state.watermark
    hidden = parts.listing(conn, account, now=events.INT64_MAX, start=now).parts
    return min([state.watermark, *(part.scope_start for part in hidden if part.revision == 0)])


def _described(part: Part, now: int) -> shapes.ManifestPart:
    # A part that was erased is there for all who look, until what stands in its place is.
    gone = part.gz_gone is not None and (part.removed_reason != ERASURE or part.gz_gone < now)
    return shapes.ManifestPart(
        sequence=part.seq,
        name=str(part.name),
        scopeStart=part.scope_start,
        scopeEnd=part.scope_end,
        part=part.part,
        revision=part.revision,
        generated=part.generated,
        schemaVersion=part.schema_version,
        bytes=part.gz_bytes,
        sha256=part.gz_sha256,
        sessions=part.sessions,
        withdrawals=part.withdrawals,
        events=part.events,
        minTimestamp=part.min_timestamp,
        maxTimestamp=part.max_timestamp,
        deleted=part.gz_gone if gone else None,
        parquetSha256=part.twin_sha256,
        link=part.link,
        removed=_removed(part) if gone else None,
    )


def _removed(part: Part) -> shapes.Removed | None:
    if part.removed_reason is None or part.removed_by is None or part.removed_signature is None:
        return None
    return shapes.Removed(part.removed_reason, part.removed_by, part.removed_signature)


def _gaps(scopes: Iterable[int], watermark: int | None) -> list[shapes.Stretch]:
    """The stretches from the first of the scopes (their starts, before the watermark) to the watermark that lie in none of them."""
    if watermark is None:
        return []
    ends = [*sorted(scopes), watermark]
    return [shapes.Stretch(scope + HOUR, following) for scope, following in pairwise(ends) if scope + HOUR < following]


# ── the keys that sign it ──


@router.get(
    "/signing-keys",
    name="signing-keys",
    responses=openapi.body("SigningKeys", formats.JSON) | problems.documented(400, 401, 403, 404, 406, 500, 503),
)
async def signing_keys(request: Request, account: Reading) -> Response:
    """The public keys that have signed the account's chain, in their order; each signs the next."""
    services = Services.of(request)
    formats.acceptable(request, (formats.JSON,))
    found = await services.threads.read(_signing_keys, services.house, account)
    return formats.respond(request, shapes.SigningKeys(account, _keys(found)))


def _signing_keys(house: House, account: str) -> Sequence[SigningKey]:
    with house.catalog.read() as conn:
        return chained.keys(conn, account)


def _keys(found: Iterable[SigningKey]) -> list[shapes.SigningKey]:
    return [shapes.SigningKey(key.id, key.public, key.created, key.signed_by, key.signature) for key in found]


# ── the status ──


@router.get(
    "/status", name="status", responses=openapi.body("Status", formats.JSON) | problems.documented(400, 401, 403, 404, 406, 500, 503)
)
async def status(request: Request, account: Reading) -> Response:
    """How fresh the account's data is."""
    services = Services.of(request)
    formats.acceptable(request, (formats.JSON,))
    return formats.respond(request, await services.threads.read(_status, services.house, account))


def _status(house: House, account: str) -> shapes.Status:
    with house.catalog.read() as conn:
        now, state = house.catalog.now(conn), publishing.state(conn, account)
        watermark = visible_watermark(conn, account, state, now)
        run, aside = publishing.last_run(conn, account), publishing.set_aside(conn, account)
    return shapes.Status(
        accountId=account,
        now=now,
        watermark=watermark,
        lagMs=None if watermark is None else now - watermark,
        lastRun=None if run is None else _run(run),
        open=shapes.Open(state.carry_sessions, state.carry_events),
        setAside=aside,
        repeats=state.repeats,
        batches=shapes.Batches(state.landed, state.consumed),
    )


def _run(row: dict[str, Any]) -> shapes.Run:
    return shapes.Run(**{name: row["set_aside" if name == "setAside" else name] for name in shapes.Run.__struct_fields__})


# ── open sessions ──


class Open(NamedTuple):
    """What an account's open sessions are folded from, in so many shares of its agents; `now` is epoch ms."""

    now: int
    pending: Pending
    schema_version: str
    shares: int


@router.get(
    "/open",
    name="open",
    responses=openapi.binary("one document a line", formats.NDJSON) | problems.documented(400, 401, 403, 404, 406, 500, 503),
)
async def open_sessions(request: Request, account: Reading) -> Response:
    """The sessions that are not closed, of all events that were accepted so far: one document a line."""
    services = Services.of(request)
    media, house = formats.acceptable(request, (formats.NDJSON,)), services.house
    found = await services.threads.read(_open, house, account)
    first = await services.threads.fold(_documents, house, found, 0)
    if found.shares == 1:
        return Response(first, media_type=media)

    async def all_shares() -> AsyncIterator[bytes]:
        yield first
        for share in range(1, found.shares):
            yield await services.threads.fold(_documents, house, found, share)

    return StreamingResponse(all_shares(), media_type=media)


def _open(house: House, account: str) -> Open:
    with house.catalog.read() as conn:
        now, state = house.catalog.now(conn), publishing.state(conn, account)
        found = pending(conn, account, state, house.settings.session_timeout)
        known = accounts.get(conn, account)
    if known.pgp_key is not None:
        raise Forbidden(f"files of account {account} are encrypted, and open sessions cannot be; they come with their files")
    version = known.schema_version
    return Open(now, found, version, found.shares(house.settings.fold_events))


def _documents(house: House, found: Open, share: int) -> bytes:
    """The open sessions of one share of the agents as lines."""
    account, timeout = found.pending.account, found.pending.timeout
    gathered = gather(house.store, found.pending, share=share, shares=found.shares)
    folded = refold(gathered.fresh, gathered.prior, account=account, timeout=timeout, until=found.now + 1, taken=gathered.taken)
    return container.encode(folded.waiting, account=account, version=found.schema_version)


#: The route of those who send.
OFTEN = [route for route in router.routes if isinstance(route, APIRoute) and route.name == "ingest"]
