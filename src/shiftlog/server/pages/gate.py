"""The gate: who looks at a page, and may they; and what a visitor gets when something is wrong, which is a page as well."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from fastapi import Depends
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from shiftlog.catalog import accounts, publishing, trail
from shiftlog.catalog.keys import Key
from shiftlog.catalog.trail import Nonce
from shiftlog.errors import Forbidden, Invalid, Unauthorized
from shiftlog.hours import HOUR
from shiftlog.house import House
from shiftlog.live import LiveViews
from shiftlog.server import problems
from shiftlog.server.pages import cookies, frame
from shiftlog.server.pages.cookies import Ticket
from shiftlog.server.pages.look import Look, Looks
from shiftlog.server.pages.streams import Streams
from shiftlog.server.pages.view import View
from shiftlog.server.services import Services

T = TypeVar("T")

_FORM_BYTES = 16 * 1024
_LOCAL = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]{0,4000}")
_REMEMBERED, _MANY = 1.0, 10_000  # so many sign-ins are known to hold, for so many seconds
_LATE = 2 * HOUR  # a watermark further behind than this, and the grace, is something to say


class Desk:
    """What the pages of one server share: the live views and the looks that are kept, and the open streams.

    Who has signed out, all servers know: the sign-in's nonce is used up in the catalog, as those of OAuth are.
    """

    def __init__(self, services: Services) -> None:
        house = services.house
        self.lives = LiveViews(house, house.settings.view_events // 2)
        self.looks, self.streams = Looks(house, self.lives), Streams(house.settings.live_views)
        self._services = services
        self._holding: dict[str, float] = {}  # sign-ins, and when (monotonic seconds) the catalog knew of no end
        self._kept: dict[type[Any], Any] = {}

    @classmethod
    def of(cls, request: Request) -> Desk:
        found: Desk = request.app.state.desk
        return found

    @property
    def secrets(self) -> list[bytes]:
        """What cookies are signed with (the first), and may be signed with."""
        return self._services.house.vault.derived("pages")

    def kept(self, kind: type[T]) -> T:
        """The one value of a kind that a page keeps for all its visitors."""
        if kind not in self._kept:
            self._kept[kind] = kind()
        found: T = self._kept[kind]
        return found

    async def end(self, ticket: Ticket) -> None:
        """A sign-in is over, though its cookie may still be somewhere."""
        self._holding.pop(ticket.nonce, None)
        await asyncio.wrap_future(self._services.ledger.use(_spent(ticket)))

    async def ticket(self, request: Request) -> Ticket | None:
        """The sign-in that the request's cookie shows, if it is one that still holds: what another server ended, holds a second more."""
        text, now = request.cookies.get(cookies.SESSION, ""), time.time_ns() // 1_000_000
        found = next(filter(None, (cookies.read(text, secret, now) for secret in self.secrets)), None)
        if found is None or time.monotonic() - self._holding.get(found.nonce, -_REMEMBERED) < _REMEMBERED:
            return found
        asked = time.monotonic()
        if await self._services.threads.read(self._has_ended, found):
            self._holding.pop(found.nonce, None)
            return None
        if len(self._holding) >= _MANY:
            self._holding.clear()
        self._holding[found.nonce] = asked
        return found

    def _has_ended(self, ticket: Ticket) -> bool:
        with self._services.house.catalog.read() as conn:
            return trail.was_used(conn, _spent(ticket))


def _spent(ticket: Ticket) -> Nonce:
    """What stands in the catalog for a sign-in that has ended; no signature has this timestamp."""
    return Nonce(ticket.key_id, 0, ticket.nonce, ticket.expires)


@dataclass(frozen=True, slots=True)
class Situation:
    """Where an account stands; times are epoch ms."""

    now: int
    zone: str
    watermark: int | None
    landed: int
    grace: int
    suffix: str  # of the account's files

    @classmethod
    def read(cls, house: House, account: str) -> Situation:
        with house.catalog.read() as conn:
            state = publishing.state(conn, account)
            known = accounts.get(conn, account)
            suffix = "gz" if known.pgp_key is None else "gz.pgp"
            now = house.catalog.now(conn)
        return cls(now, known.time_zone, state.watermark, state.landed, house.settings.grace, suffix)

    @property
    def lag(self) -> int | None:
        return None if self.watermark is None else self.now - self.watermark

    @property
    def late(self) -> bool:
        """Whether publishing is hours behind."""
        return self.lag is not None and self.lag > _LATE + self.grace


@dataclass(frozen=True, slots=True)
class Visitor:
    """Someone who is signed in, and the account that this request is about: the key's own."""

    request: Request
    services: Services
    desk: Desk
    key: Key
    ticket: Ticket
    situation: Situation

    @property
    def account(self) -> str:
        return self.key.account

    @property
    def asked(self) -> dict[str, str]:
        """The query's parameters; of one that is there twice, the last."""
        return dict(self.request.query_params)

    @property
    def form_token(self) -> str:
        return cookies.form_token(self.ticket, self.desk.secrets[0])

    @property
    def url(self) -> str:
        """Scheme and host of this server, as clients use it."""
        return self.services.base_url(self.request.scope)

    def view(self) -> View:
        """The view that the query asks for.

        Raises:
            Invalid: it is none.
        """
        return View.parse(self.asked, self.account, self.situation.zone, self.situation.now)

    async def look(self, view: View, agent: int | None = None) -> Look:
        """The numbers of a view.

        Raises:
            TooLarge: it holds more than pages show.
        """
        return await self.services.threads.fold(self.desk.looks.at, view, agent)

    async def page(self, template: str, status: int = 200, **context: Any) -> Response:
        """A page for this visitor; made beside the event loop, since a long table takes its time."""
        return await self.services.threads.read(lambda: frame.page(self.request, template, status, visitor=self, **context))


# ── who it is ──


async def visitor(request: Request) -> Visitor:
    """A dependency: who is signed in.

    Raises:
        Unauthorized: nobody, or not any more.
        Forbidden: the key may not read.
        Missing: the URL is about another account, which looks as one that is not there.
    """
    services, desk = Services.of(request), Desk.of(request)
    ticket = await desk.ticket(request)
    if ticket is None:
        raise Unauthorized("you are not signed in, or not any more")
    key = await services.keyring.signed_in(ticket.key_id)
    visit = request.scope["shiftlog.visit"]
    visit.identify(key)
    visit.allow(request.query_params.get("account") or key.account, "read")
    situation = await services.threads.read(Situation.read, services.house, key.account)
    return Visitor(request, services, desk, key, ticket, situation)


Visiting = Annotated[Visitor, Depends(visitor)]


async def form(request: Request) -> dict[str, str]:
    """A dependency: the fields of a form that was sent from one of our own pages.

    Raises:
        Forbidden: another site sent it, or it does not carry the token of this sign-in.
        Invalid: it is no form; TooLarge: it is too long; TooSlow: it does not arrive.
    """
    _check_site(request)
    if not request.headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded"):
        raise Invalid("a form is expected, as application/x-www-form-urlencoded")
    body = await Services.of(request).bodies.whole(request, _FORM_BYTES)
    fields = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    desk = Desk.of(request)
    ticket = await desk.ticket(request)
    # The form that begins a sign-in has no sign-in yet whose token it could carry.
    token = fields.get("form_token", "")
    if request.url.path != "/sign-in" and ticket and not any(cookies.is_form_token(token, ticket, secret) for secret in desk.secrets):
        raise Forbidden("the form is not of this sign-in; go back, reload the page, and send it again")
    return fields


Form = Annotated[dict[str, str], Depends(form)]


def _check_site(request: Request) -> None:
    """Browsers say where a request comes from; programs that do not are nobody's browser (MDN: Sec-Fetch-Site, Origin)."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    foreign = site not in (None, "same-origin", "none") or (
        site is None and origin and urlsplit(origin).netloc != request.headers.get("host")
    )
    if foreign:
        raise Forbidden("the form was sent from another site; open this page here and send it again")


def local(path: str | None) -> str | None:
    """The path on this server that someone is to be led to, if it is one."""
    return path if path and _LOCAL.fullmatch(path) else None


# ── what is wrong, as a page ──


class PageRoute(APIRoute):
    """A route whose errors are pages; who is not signed in is led to where one signs in."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await answer(request)
            except Unauthorized as error:
                return sign_in_first(request, error)
            except Exception as error:  # whatever it is, a visitor gets a page; of a fault, the log has where it came from
                return problem(request, error)

        return handle


def sign_in_first(request: Request, error: Unauthorized) -> Response:
    """Where to go for who is not signed in."""
    had = request.cookies.get(cookies.SESSION)
    if not had and request.headers.get("sec-fetch-site") == "cross-site" and request.method == "GET":
        # A link on another site: the cookie is not sent along with it, but it is with the next request, from here.
        return frame.page(request, "again.html")
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    asked = {"next": target if request.method == "GET" else None, "why": "ended" if had else None}
    query = urlencode({name: value for name, value in asked.items() if value}, quote_via=quote)
    response = RedirectResponse(f"/sign-in?{query}" if query else "/sign-in", 303, {"Cache-Control": "no-store"})
    if had:
        response.delete_cookie(cookies.SESSION, path="/")
    return response


def problem(request: Request, error: Exception) -> Response:
    """The page for an error: what was found, what is allowed, and what to do next."""
    branch, message = problems.explained(request, error)
    return frame.page(request, "error.html", branch.status, message=message, branch=branch)


async def not_here(request: Request, error: Exception) -> Response:
    """The answer of paths that nothing serves: a page for a browser, the one shape of errors for all else."""
    wants_page = request.scope.get("shiftlog.visit") and "text/html" in request.headers.get("accept", "")
    return problem(request, error) if wants_page else problems.respond(request, error)
