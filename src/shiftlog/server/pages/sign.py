"""Signing in and out, and the theme: what changes a cookie."""

from __future__ import annotations

import time
from contextlib import suppress
from urllib.parse import urlsplit

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from shiftlog.errors import Forbidden, Invalid, Unauthorized
from shiftlog.hours import HOUR
from shiftlog.server.pages import cookies, frame
from shiftlog.server.pages.cookies import Ticket
from shiftlog.server.pages.gate import Desk, Form, PageRoute, Visiting, local, visitor
from shiftlog.server.services import Services

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_YEAR = 365 * 24 * 3600
_WHY = {
    "ended": "Your sign-in has ended: its time is over, or its key was revoked. Sign in again to go on where you were.",
    "out": "You are signed out.",
}


@router.get("/", name="home")
async def home(request: Request) -> Response:
    """Where to begin."""
    return _led("/now" if await _is_signed_in(request) else "/sign-in")


@router.get("/sign-in", name="sign-in-form")
async def sign_in_form(request: Request) -> Response:
    """The form; who is signed in already may use another key."""
    return _form(request, _WHY.get(request.query_params.get("why", "")), target=request.query_params.get("next"))


@router.post("/sign-in", name="sign-in")
async def sign_in(request: Request, fields: Form) -> Response:
    """Sign in with a bearer token that may read."""
    services, desk = Services.of(request), Desk.of(request)
    token, target = fields.get("token", "").strip(), fields.get("next")
    if not token:
        return _form(request, "The token is missing; paste the bearer token of a key.", 400, target)
    try:
        key, _ = await services.keyring.authenticate([f"Bearer {token}"], "POST", "")
    except Unauthorized as error:
        text = str(error)
        return _form(request, f"{text[:1].upper()}{text[1:]}.", 401, target)
    request.scope["shiftlog.visit"].identify(key)
    if not key.may("read"):
        raise Forbidden(f"the key has the permission {', '.join(sorted(key.permissions))}; pages need read: sign in with another key")
    now = time.time_ns() // 1_000_000
    lasting = now + int(services.house.settings.sign_in_hours * HOUR)
    ticket = Ticket.new(key.id, lasting if key.expires is None else min(lasting, key.expires))
    response = _led(local(target) or "/now")
    _set(request, response, cookies.SESSION, cookies.write(ticket, desk.secrets[0]), (ticket.expires - now) // 1000)
    return response


@router.get("/sign-out", name="sign-out-form")
async def sign_out_form(request: Request, visiting: Visiting) -> Response:
    """Asks first: a link must not sign anyone out."""
    return await visiting.page("sign_out.html")


@router.post("/sign-out", name="sign-out")
async def sign_out(request: Request, fields: Form) -> Response:
    """Sign out; this sign-in's cookie is worth nothing from now on, on any server."""
    desk = Desk.of(request)
    ticket = await desk.ticket(request)
    if ticket is not None:
        await desk.end(ticket)
        with suppress(Unauthorized):
            request.scope["shiftlog.visit"].key = await Services.of(request).keyring.signed_in(ticket.key_id)
    response = _led("/sign-in?why=out")
    response.delete_cookie(cookies.SESSION, path="/")
    return response


@router.post("/theme", name="theme")
async def theme(request: Request, fields: Form) -> Response:
    """Choose a theme: light, dark, or (empty) the system's."""
    chosen = fields.get("theme", "")
    if chosen and chosen not in frame.THEMES:
        raise Invalid(f"theme {chosen[:20]!r} is not known; allowed: {', '.join(frame.THEMES)}")
    response = _led(local(fields.get("next")) or "/")
    if chosen:
        _set(request, response, cookies.THEME, chosen, _YEAR)
    else:
        response.delete_cookie(cookies.THEME, path="/")
    return response


async def _is_signed_in(request: Request) -> bool:
    try:
        await visitor(request)
    except Unauthorized:
        return False
    return True


def _form(request: Request, notice: str | None = None, status: int = 200, target: str | None = None) -> Response:
    return frame.page(request, "sign_in.html", status, notice=notice, wrong=status != 200, next=local(target))


def _led(path: str) -> RedirectResponse:
    return RedirectResponse(path, 303, {"Cache-Control": "no-store"})


def _set(request: Request, response: Response, name: str, value: str, seconds: int) -> None:
    secure = urlsplit(Services.of(request).base_url(request.scope)).scheme == "https"
    response.set_cookie(name, value, max_age=max(0, seconds), path="/", secure=secure, httponly=True, samesite="strict")
