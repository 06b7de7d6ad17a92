"""The guard: every request passes here. Who is it, may they, what was done; and one log line.

Nothing is answered before the request's audit line is durable, and no fault reaches a client as anything but the one
shape of errors.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

import structlog
from fastapi import Depends, Path
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope, Send

from shiftlog.catalog.keys import Key
from shiftlog.catalog.trail import Entry, Nonce
from shiftlog.errors import Forbidden, Invalid, Missing, ShiftlogError, TooSlow
from shiftlog.server import openapi, problems
from shiftlog.server.direct import Direct
from shiftlog.server.identity import Ended, used
from shiftlog.server.limits import Limits, Place
from shiftlog.server.services import Services

log = structlog.get_logger()

#: What needs a key. Within, even what does not exist is told to nobody else.
GUARDED = ("/data_access_le", "/api/v1")
_PAGES = ("now", "now-events", "day", "agent", "compare", "compare-csv", "files")
#: The routes (by name) that leave an audit line, and what it calls them; what is denied leaves one on every route.
AUDITED = {
    **{name: name for name in ("list", "download", "archive", "ingest", "manifest", "open", "audit", "sign-in", "sign-out")},
    **{name: name for name in ("report", "timeline", "quality", "chart")},
    **dict.fromkeys(_PAGES, "page"),
    "page-download": "download",
}

_HEADER_BYTES = 32 * 1024
_TARGET_BYTES = 8 * 1024
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MENTIONED = 8  # proxies, at most
_CLOSED = 499  # in logs and numbers only: the client went away before it was answered


@dataclass(slots=True)
class Visit:
    """What is known of one request."""

    id: str
    method: str
    target: str
    address: str | None
    started: float
    limits: Limits
    place: Place | None = None
    key: Key | None = None
    nonce: Nonce | None = None  # what has to be taken before the request is answered
    refused: Key | None = None  # one that was shown, and is revoked or has expired
    denied: bool = False
    status: int = _CLOSED
    recorded: int | None = None  # the status of which the audit log has a line already
    sent: int = 0

    @classmethod
    def of(cls, scope: Scope, services: Services) -> Visit:
        given = Headers(scope=scope).get("x-request-id", "")
        return cls(
            id=given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8),
            method=scope["method"],
            # As it was sent, and without the query, which may hold what is nobody's business.
            target=scope.get("raw_path", scope["path"].encode()).decode("latin-1"),
            address=services.origin.of(scope),
            started=time.perf_counter(),
            limits=services.limits,
        )

    def enter(self) -> None:
        """Raises:
        TooMany: too many requests come from this address.
        """
        self.place = self.limits.enter(self.address)

    def identify(self, key: Key) -> None:
        """Whose request it is.

        Raises:
            TooMany: too many come with this key.
        """
        self.key = key
        if self.place is not None:
            self.limits.enter_key(self.place, key.id)

    def line(self, action: str, status: int) -> Entry:
        """What the audit log says of the request."""
        who = self.key or self.refused
        account, key = (who.account, who.id) if who else (None, None)
        return Entry(time.time_ns() // 1_000_000, account, key, action, f"{self.method} {self.target[:300]}", status, self.address)

    def leave(self) -> None:
        if self.place is not None:
            self.place.leave()

    def allow(self, account: str, permission: str) -> None:
        """Return if the key may do this in this account.

        Raises:
            Missing: the account is another's, or is not there: the same answer for both.
            Forbidden: the key has not the permission.
        """
        if self.key is None or self.key.account != account:
            self.denied = True
            raise Missing(f"there is no account {account[:40]}")
        if not self.key.may(permission):
            self.denied = True
            raise Forbidden(f"the key has the permission {', '.join(sorted(self.key.permissions))}; this needs {permission}")


def permitted(permission: str) -> Callable[..., Coroutine[Any, Any, str]]:
    """A dependency: the asked account, which the request's key may do this with."""

    async def account_of(
        request: Request,
        account: Annotated[str, Path(description="the account", json_schema_extra={"pattern": "^[A-Za-z0-9_]{1,20}$"})],
    ) -> str:
        visit: Visit = request.scope["shiftlog.visit"]
        visit.allow(account, permission)
        return account

    return account_of


Reading = Annotated[str, Depends(permitted("read"))]
Writing = Annotated[str, Depends(permitted("write"))]
Administering = Annotated[str, Depends(permitted("admin"))]


class Guard:
    """The outermost of the application's own layers."""

    def __init__(self, app: Direct, services: Services) -> None:
        self._app, self._services = app, services
        self._log = log.bind()  # once, and not for every request
        self._unheard = set[str | None]()  # the proxies that were logged

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        visit = Visit.of(scope, self._services)
        # Routes know GET only: HEAD is the same answer with its body left out.
        method = "GET" if visit.method == "HEAD" else visit.method
        scope = {**scope, "method": method, "shiftlog.visit": visit, "shiftlog.id": visit.id, "shiftlog.method": visit.method}
        answer = _Answer(self._services, visit, scope, receive, send)
        try:
            await self._admit(visit, scope)
            await self._app(scope, receive, answer.send)
        except (ClientDisconnect, _ReplacedError):
            pass
        except Exception as error:
            await answer.fail(error)
        finally:
            visit.leave()
            self._note(visit, scope)

    async def _admit(self, visit: Visit, scope: Scope) -> None:
        if scope["path"] != openapi.ALIVE:
            self._mention_proxy(visit, scope)
            visit.enter()
        _check_size(visit, scope)
        if not any(scope["path"] == prefix or scope["path"].startswith(f"{prefix}/") for prefix in GUARDED):
            return
        query = scope["query_string"].decode("latin-1")
        url = f"{self._services.base_url(scope)}{visit.target}{'?' if query else ''}{query}"
        authorization = Headers(scope=scope).getlist("authorization")
        try:
            key, nonce = await self._services.keyring.authenticate(authorization, visit.method, url)
        except Ended as ended:
            visit.refused = ended.key
            raise
        looking = self._app.answers(scope)
        if nonce is not None and not looking:
            await self._services.keyring.take(nonce)
        visit.identify(key)
        # Who only looks needs no commit of its own for it: it is taken with the audit line, before anything is answered.
        visit.nonce = nonce if looking else None

    def _mention_proxy(self, visit: Visit, scope: Scope) -> None:
        """Say once of a proxy that nothing it says of its clients counts: they all share the limits of one address."""
        if len(self._unheard) < _MENTIONED and visit.address not in self._unheard and self._services.origin.is_unheard(scope):
            self._unheard.add(visit.address)
            log.warning("proxy.untrusted", address=visit.address, advice="if it is a proxy of yours, name it: SHIFTLOG_TRUSTED_PROXIES")

    def _note(self, visit: Visit, scope: Scope) -> None:
        elapsed = time.perf_counter() - visit.started
        self._services.monitor.request(_route(scope), visit.status, elapsed, visit.sent)
        self._log.info(
            "request",
            id=visit.id,
            method=visit.method,
            path=visit.target[:1_000],
            status=visit.status,
            ms=round(elapsed * 1000, 1),
            bytes=visit.sent,
            account=visit.key and visit.key.account,
            key=visit.key and visit.key.id,
            address=visit.address,
        )


def _check_size(visit: Visit, scope: Scope) -> None:
    size = sum(len(name) + len(value) for name, value in scope["headers"])
    if size > _HEADER_BYTES:
        raise Invalid(f"the headers have {size} bytes; at most {_HEADER_BYTES} are allowed")
    size = len(visit.target) + len(scope["query_string"])
    if size > _TARGET_BYTES:
        raise Invalid(f"the path and query have {size} bytes; at most {_TARGET_BYTES} are allowed")


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", "none")


class _ReplacedError(Exception):
    """An answer could not be recorded, and another one was sent in its place: there is nothing left to do."""


class _Answer:
    """The way of an answer to the client: recorded first, then sent, with the request's id, and for HEAD without its body."""

    def __init__(self, services: Services, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        self._services, self._visit, self._scope = services, visit, scope
        self._receive, self._send = receive, send
        self._started = False
        self._length = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            try:
                await self._record(message["status"])
            except ShiftlogError as error:
                await problems.respond(self._request, error)(self._scope, self._receive, self._pass)
                raise _ReplacedError from error
        await self._pass(message)

    async def fail(self, error: Exception) -> None:
        """Answer with an error; where an answer is under way, break off, so that nobody takes it for whole."""
        if self._started:
            if isinstance(error, TooSlow):
                log.warning("request.cut", id=self._visit.id, error=str(error))
            else:
                log.error("request.broken", id=self._visit.id, exc_info=error)
            raise error
        with suppress(_ReplacedError):
            await problems.respond(self._request, error)(self._scope, self._receive, self.send)

    @property
    def _request(self) -> Request:
        return Request(self._scope)

    async def _record(self, status: int) -> None:
        visit = self._visit
        name = getattr(self._scope.get("route"), "name", "")
        denied = visit.denied or status in (401, 403)
        entry, nonce = None, visit.nonce
        if denied or (name in AUDITED and visit.key is not None and status != visit.recorded):
            entry = visit.line("denied" if denied else AUDITED[name], status)
        elif nonce is None:
            return
        # Without a key that holds, anyone could fill the log.
        recorded = self._services.strangers.record(entry) if entry and not visit.key else self._services.ledger.record(entry, nonce)
        if recorded is not None and not await asyncio.wrap_future(recorded):
            visit.key = visit.nonce = None  # nobody's, as all that is denied before a key is known
            await self._record(401)
            raise used()

    async def _pass(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif self._visit.method != "HEAD":
            self._visit.sent += self._length if message["type"] == "http.response.pathsend" else len(message.get("body", b""))
            await self._deliver(message)

    async def _deliver(self, message: Message) -> None:
        """Send a piece of the body; where more is to come, the client has to take what was sent before in good time.

        Raises:
            TooSlow: it does not.
        """
        if not message.get("more_body"):
            return await self._send(message)
        seconds = self._services.house.settings.send_seconds
        try:
            async with asyncio.timeout(seconds):
                await self._send(message)
        except TimeoutError:
            raise TooSlow(f"the client has taken nothing for {seconds:g} s, after {self._visit.sent} bytes of the answer") from None

    async def _begin(self, message: Message) -> None:
        headers = MutableHeaders(raw=list(message.get("headers", [])))
        headers["X-Request-Id"] = self._visit.id
        self._started, self._visit.status, self._length = True, message["status"], int(headers.get("content-length", 0))
        await self._send({**message, "headers": headers.raw})
        if self._visit.method == "HEAD":
            await self._send({"type": "http.response.body", "body": b""})
