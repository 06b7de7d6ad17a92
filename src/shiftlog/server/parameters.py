"""Query parameters: strict, and each at most once."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query
from pydantic import BeforeValidator
from starlette.requests import Request

from shiftlog.errors import Invalid
from shiftlog.events import INT64_MAX

_WHOLE = re.compile(r"-?[0-9]{1,30}")
_CURSOR = re.compile(r"([0-9]{1,19})\.([0-9]{1,19})")


def whole(what: str, least: int) -> Callable[[Any], int]:
    """A validator: a whole number of 64 bits from `least`, in digits and nothing else."""

    def check(value: Any) -> int:
        if not _WHOLE.fullmatch(str(value)) or not least <= int(value) <= INT64_MAX:
            raise ValueError(f"found {str(value)[:60]!r}; allowed: {what} from {least} to {INT64_MAX}")
        return int(value)

    return check


_BOUNDS = {"minimum": 0, "maximum": INT64_MAX, "format": "int64"}
Instant = Annotated[
    int | None, BeforeValidator(whole("epoch milliseconds", 0)), Query(json_schema_extra=_BOUNDS, description="epoch milliseconds")
]
After = Annotated[
    int, BeforeValidator(whole("a sequence number", 0)), Query(json_schema_extra=_BOUNDS, description="parts after this sequence number")
]
Limit = Annotated[
    int | None,
    BeforeValidator(whole("a whole number", 1)),
    Query(json_schema_extra=_BOUNDS | {"minimum": 1}, description="at most so many; a Link header leads to the next page"),
]
Cursor = Annotated[str | None, Query(description="where a page begins, from a Link header")]


async def once(request: Request) -> None:
    """A dependency: no parameter is there twice.

    Raises:
        Invalid: one is.
    """
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if names.count(name) > 1:
            raise Invalid(f"{name[:60]} is there {names.count(name)} times; once is allowed")


def ordered(first: str, start: int | None, second: str, end: int | None) -> None:
    """Return if a range does not end before it starts; the names are those of its parameters.

    Raises:
        Invalid: it does.
    """
    if start is not None and end is not None and end < start:
        raise Invalid(f"{second} {end} is before {first} {start}; both are epoch milliseconds")


# ── pages ──


def cursor(generated: int, seq: int) -> str:
    """Where the page after this part begins, as text that means nothing to a client."""
    return urlsafe_b64encode(f"{generated}.{seq}".encode()).decode().rstrip("=")


def after(text: str | None) -> tuple[int, int]:
    """The (generated, seq) of the last part before the page.

    Raises:
        Invalid: not a cursor.
    """
    if text is None:
        return -1, -1
    try:
        match = _CURSOR.fullmatch(urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii"))
    except ValueError:
        match = None
    if match is None or max(map(int, match.groups())) > INT64_MAX:
        raise Invalid(f"cursor: found {text[:60]!r}; allowed: what a Link header of this list gave")
    return int(match[1]), int(match[2])


def next_link(url: str, request: Request, **changes: object) -> dict[str, str]:
    """The header that leads to the next page of `url`: the request's parameters with some changed."""
    query = urlencode({**request.query_params, **{name: str(value) for name, value in changes.items()}})
    return {"Link": f'<{url}?{query}>; rel="next"'}
