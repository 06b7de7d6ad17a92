"""Routes that are asked so often that the framework's way to them would take longer than their answer.

They are declared, documented and reached as all others are. The same declarations are read here once, and then followed without the
framework: tests compare both ways.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from fastapi.params import Depends, Query
from fastapi.routing import APIRoute
from pydantic import BeforeValidator
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from shiftlog.errors import Invalid
from shiftlog.server import parameters

Refuse = Callable[[Request, Exception], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A parameter of a query: what it is without a value, and what reads one."""

    default: Any
    read: Callable[[Any], Any]


class _Route:
    """A route of the framework's, followed without it. Its parameters are those of the path, those of the query, and the account."""

    def __init__(self, route: APIRoute) -> None:
        self.route, self.methods, self._endpoint = route, route.methods or set(), route.endpoint
        self._pattern: re.Pattern[str] = route.path_regex
        self._query: dict[str, _Parameter] = {}
        self._check: Callable[[Request, str], Awaitable[str]] | None = None
        defaults = inspect.signature(route.endpoint).parameters
        for name, hint in get_type_hints(route.endpoint, include_extras=True).items():
            for found in getattr(hint, "__metadata__", ()):
                if isinstance(found, Depends):
                    self._check = found.dependency
                elif isinstance(found, Query):
                    self._query[name] = _Parameter(defaults[name].default, _reader(hint.__metadata__))

    def matched(self, path: str) -> dict[str, str] | None:
        match = self._pattern.match(path)
        return match.groupdict() if match else None

    async def answer(self, request: Request, values: dict[str, str]) -> Response:
        """The answer to a request whose path has these values; what is checked, and in which order, is the framework's.

        Raises:
            ShiftlogError, HTTPException: what the route raises, or the check of its parameters.
        """
        await parameters.once(request)
        if self._check is not None:
            await self._check(request, values["account"])
        response: Response = await self._endpoint(request, **values, **self._read(request.query_params))
        return response

    def _read(self, given: Mapping[str, str]) -> dict[str, Any]:
        found, wrong = {}, []
        for name, parameter in self._query.items():
            try:
                found[name] = parameter.read(given[name]) if name in given else parameter.default
            except ValueError as error:
                wrong.append(f"{name}: {error}")
        if wrong:
            raise Invalid("; ".join(wrong))
        return found


def _reader(metadata: Iterable[Any]) -> Callable[[Any], Any]:
    reader: Any = next((found.func for found in metadata if isinstance(found, BeforeValidator)), str)
    return reader  # type: ignore[no-any-return]


class Direct:
    """Answers these routes, and leaves everything else to the application."""

    def __init__(self, app: ASGIApp, routes: Iterable[APIRoute], refuse: Refuse) -> None:
        self._app, self._routes, self._refuse = app, [_Route(route) for route in routes], refuse

    def answers(self, scope: Scope) -> bool:
        """Whether a request is for one of these routes. They only look."""
        return scope["method"] == "GET" and any(route.matched(scope["path"]) is not None for route in self._routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for route in self._routes:
            values = route.matched(scope["path"]) if scope["method"] in route.methods else None
            if values is not None:
                scope["route"] = route.route
                return await self._answer(route, Request(scope, receive), values, send)
        await self._app(scope, receive, send)

    async def _answer(self, route: _Route, request: Request, values: dict[str, str], send: Send) -> None:
        try:
            response = await route.answer(request, values)
        except HTTPException as error:
            response = await self._refuse(request, error)
        await response(request.scope, request.receive, send)
