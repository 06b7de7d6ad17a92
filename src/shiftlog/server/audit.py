"""An account's audit log, for its administrators."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from shiftlog.catalog import trail
from shiftlog.catalog.trail import Asked
from shiftlog.catalog.vault import Vault
from shiftlog.errors import Invalid, Unusable
from shiftlog.house import House
from shiftlog.server import formats, openapi, parameters, problems, shapes
from shiftlog.server.guard import Administering
from shiftlog.server.parameters import Cursor, Instant, Limit
from shiftlog.server.services import Services

router = APIRouter(prefix="/api/v1/accounts/{account}", tags=["shiftlog"], dependencies=[Depends(parameters.once)])

# Servers stamp lines before they commit them: among several, one can come after others that are a little younger.
_SETTLED = 5_000  # ms


@router.get(
    "/audit",
    name="audit",
    responses=openapi.body("Audit", formats.JSON, headers={"Link": openapi.header("the next page, where there is one")})
    | problems.documented(400, 401, 403, 404, 406, 500, 503),
)
async def log(
    request: Request, account: Administering, since: Instant = None, until: Instant = None, limit: Limit = None, cursor: Cursor = None
) -> Response:
    """Who did what in the account in [since, until), in the order in which it was recorded."""
    services = Services.of(request)
    formats.acceptable(request, (formats.JSON,))
    parameters.ordered("since", since, "until", until)
    most = services.house.settings.page_parts
    if limit is not None and limit > most:
        raise Invalid(f"limit: found {limit}; allowed: at most {most}")
    after = _opened(services.house.vault, account, cursor)
    found = await services.threads.read(_read, services.house, Asked(account, since, until), after, (limit or most) + 1)
    shown, headers = found[: limit or most], {}
    following = _sealed(services.house.vault, account, shown[-1]["id"]) if shown else cursor
    if len(found) > len(shown):
        here = f"{services.base_url(request.scope)}/api/v1/accounts/{account}/audit"
        headers = parameters.next_link(here, request, cursor=following, limit=limit or most)
    return formats.respond(request, shapes.Audit(account, [_described(line) for line in shown], following), headers=headers)


def _read(house: House, asked: Asked, after: int, limit: int) -> list[dict[str, Any]]:
    with house.catalog.read() as conn:
        if not house.catalog.one_machine:
            settled = house.catalog.now(conn) - _SETTLED
            asked = Asked(asked.account, asked.since, settled if asked.until is None else min(asked.until, settled))
        return trail.entries(conn, asked, after=after, limit=limit)


def _described(line: dict[str, Any]) -> shapes.Deed:
    return shapes.Deed(
        at=line["at"],
        action=line["action"],
        target=line["target"],
        status=line["status"],
        key=line["consumer_key"],
        actor=line["actor"],
        address=line["address"],
        times=line["times"],
    )


# ── cursors: lines are numbered across all accounts, so their numbers are nobody's business ──


def _sealed(vault: Vault, account: str, number: int) -> str:
    return vault.encrypt(f"audit {account} {number}")


def _opened(vault: Vault, account: str, cursor: str | None) -> int:
    """The number of the line before the page.

    Raises:
        Invalid: not a cursor of this account.
    """
    if cursor is None:
        return 0
    try:
        what, whose, number = vault.decrypt(cursor).split(" ")
    except (Unusable, UnicodeError, ValueError):
        what, whose, number = "", "", ""
    if (what, whose) != ("audit", account):
        raise Invalid(f"cursor: found {cursor[:60]!r}; allowed: what an answer of this resource gave")
    return int(number)
