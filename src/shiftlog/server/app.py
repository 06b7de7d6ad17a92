"""The application, and the server that runs it: Granian, with one worker in this process."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
from anyio import to_thread
from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from shiftlog.errors import Invalid, Unusable
from shiftlog.house import House
from shiftlog.server import answers, api, audit, data_access, monitor, openapi, problems
from shiftlog.server.direct import Direct
from shiftlog.server.guard import Guard
from shiftlog.server.pages import routes as pages
from shiftlog.server.services import Services
from shiftlog.settings import Settings

log = structlog.get_logger()

_DRAIN_SECONDS = 30  # how long a stopped server waits for clients to take the rest of their answers
_BACKLOG = 1024
_RESERVED = 64  # descriptors, at least, for all but connections: the catalog, files, the log
_HEADERS = 64 * 1024  # bytes of a request's headers that are read at all; what the guard allows is less


class Application(FastAPI):
    """The framework behind the guard. Its own outermost layers are left out: the guard answers faults, and bodies have their limits."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await super().__call__(scope, receive, send)
        if self.middleware_stack is None:
            self.middleware_stack = self.build_middleware_stack()
        scope["app"] = self
        await self.middleware_stack(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        handlers: dict[Any, Any] = {kind: handler for kind, handler in self.exception_handlers.items() if kind not in (500, Exception)}
        framework = ExceptionMiddleware(AsyncExitStackMiddleware(self.router), handlers=handlers)
        return Guard(Direct(framework, [*data_access.OFTEN, *api.OFTEN], handlers[HTTPException]), self.state.services)


def create_app(house: House, *, publish: bool = True) -> Application:
    """The ASGI application of a deployment. Its lifespan runs the writers, and with `publish` the publishing of every hour."""
    services = Services(house, publish=publish)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        services.start()
        try:
            yield
        finally:
            await to_thread.run_sync(services.stop)

    app = Application(
        lifespan=lifespan,
        exception_handlers=problems.HANDLERS,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    for router in (data_access.router, api.router, audit.router, answers.router, monitor.router, openapi.router):
        app.include_router(router)
    pages.attach(app, services)
    return app


# ── running it ──


def serve(
    house: House,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    public_url: str | None = None,
    publish: bool = True,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; requests that were accepted by then are answered.

    Raises:
        Unusable: the port or the certificate cannot be used; nothing was started.
        Invalid: `public_url` is not one.
    """
    if public_url is not None:
        house = replace(house, settings=house.settings.model_copy(update={"public_url": public_url}))
    _check_url(house.settings.public_url)
    address = _check_port(host, port)
    app = create_app(house, publish=publish)
    server = _server(app, house.settings, address, port, tls_cert, tls_key)
    server.on_startup(lambda: log.info("server.started", host=host, port=port, tls=tls_cert is not None, publish=publish))
    services: Services = app.state.services
    # Before the server and not by its lifespan: what cannot start is an error here, and nothing was accepted.
    services.start()
    try:
        asyncio.run(_run(server, lambda: pages.stop(app)))
    finally:
        services.stop()


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment):
        raise Invalid(f"the public URL {url!r} is not one; such as https://da.example.net is expected")


def _check_port(host: str, port: int) -> str:
    """The numeric address of a host whose port is free.

    Raises:
        Unusable: there is no such address here, or its port is taken.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            # Connections that others listen for are not ours, even where both would share the port.
            probe.listen(1)
    except OSError as error:
        raise Unusable(f"{host}:{port} cannot be listened on: {error.strerror}; choose others with --host and --port") from None
    return str(address[0])


def _connections(wanted: int) -> int:
    """How many connections there may be at once: each can take a second descriptor, for the file that is sent.

    The process may have more descriptors than it is given at first; it takes what it needs.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = wanted * 2 + _RESERVED
    if soft != resource.RLIM_INFINITY and soft < need:
        soft = need if hard == resource.RLIM_INFINITY else min(need, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, (soft - _RESERVED) // 2))


def _listening(address: str, port: int, patience: float) -> Any:
    """A listening socket, as Granian takes it. A connection whose peer takes nothing for so many seconds is cut off."""
    from granian import net

    holder = net.SocketSpec(address, port, _BACKLOG).build()  # type: ignore[attr-defined]
    # Only the kernel knows: an answer has long left us when its last bytes wait for a client (RFC 5482).
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        with socket.socket(fileno=os.dup(holder.get_fd())) as listening:
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(patience * 1000))
    return holder


def _server(app: FastAPI, settings: Settings, address: str, port: int, tls_cert: Path | None, tls_key: Path | None) -> Any:
    from granian.constants import HTTPModes, Interfaces, SSLProtocols
    from granian.http import HTTP1Settings
    from granian.server.embed import Server

    class Listening(Server):
        """Makes the socket here, whose options its connections inherit."""

        def _init_shared_socket(self) -> None:
            self._shd: Any = _listening(address, port, settings.send_seconds)

    try:
        return Listening(
            app,
            address,
            port,
            interface=Interfaces.ASGI,
            # Where both versions of HTTP are spoken, a connection that says nothing is waited for without end.
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=int(settings.header_seconds * 1000), max_buffer_size=_HEADERS),
            websockets=False,
            backlog=_BACKLOG,
            backpressure=_connections(settings.connections),
            log_enabled=False,
            ssl_cert=tls_cert,
            ssl_key=tls_key,
            ssl_protocol_min=SSLProtocols.tls12,
        )
    except (OSError, ssl.SSLError) as error:
        raise Unusable(f"the certificate {tls_cert} with the key {tls_key} cannot be used: {error}") from None


async def _run(server: Any, on_stop: Callable[[], None]) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    # What lives as long as the process is not looked at again and again: the slowest answers become five times faster.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    serving, asked = asyncio.create_task(server.serve()), asyncio.create_task(stopped.wait())
    await asyncio.wait({serving, asked}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        raise Unusable(f"the server ended by itself: {serving.exception() or 'no reason is known'}")
    on_stop()
    server.stop()
    _, slow = await asyncio.wait({serving}, timeout=_DRAIN_SECONDS)
    if slow:
        log.warning("server.cut", seconds=_DRAIN_SECONDS)
        # What is cut off complains of it, and has nothing to add.
        loop.set_exception_handler(lambda *_: None)
