"""JSON and XML of the documents in `shapes`, and which of them an Accept header asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

JSON, XML, TEXT_XML, NDJSON = "application/json", "application/xml", "text/xml", "application/x-ndjson"
BOTH = (JSON, XML, TEXT_XML)

# What XML 1.0 (§2.2) has no way to write.
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WEIGHT = re.compile(r"[0-9]{0,3}\.?[0-9]{0,9}")


def respond(
    request: Request, document: msgspec.Struct, *, offered: Sequence[str] = (JSON,), headers: Mapping[str, str] | None = None
) -> Response:
    """The document in the form that the request prefers.

    Raises:
        HTTPException: 406, the request excludes all that is offered.
    """
    media = acceptable(request, offered)
    return written(render(document, media), media, headers)


def written(body: bytes, media: str, headers: Mapping[str, str] | None = None) -> Response:
    """A document that is written already, in a form that the request may have."""
    return Response(body, media_type=_typed(media), headers={**(headers or {}), "Vary": "Accept"})


def acceptable(request: Request, offered: Sequence[str]) -> str:
    """The offered media type that the request prefers.

    Raises:
        HTTPException: 406, it excludes all of them.
    """
    accept = accepted(request)
    media = choose(accept, offered)
    if media is None:
        raise HTTPException(406, f"found Accept: {accept[:200]}; allowed: {', '.join(offered)}")
    return media


def accepted(request: Request) -> str:
    """The request's Accept header; several are one."""
    return ", ".join(request.headers.getlist("accept"))


def choose(accept: str, offered: Sequence[str]) -> str | None:
    """The offered media type that an Accept header prefers, the first of equals; None if it excludes all (RFC 9110 §12.5.1)."""
    ranges = [_range(item) for item in accept.split(",") if item.strip()]
    if not ranges:
        return offered[0]
    quality = {media: _quality(media, ranges) for media in offered}
    best = max(offered, key=quality.__getitem__)
    return best if quality[best] > 0 else None


def render(document: msgspec.Struct, media: str) -> bytes:
    """The document in a media type of `BOTH`."""
    return msgspec.json.encode(document) if media == JSON else xml(document)


def xml(document: msgspec.Struct) -> bytes:
    """A document of one member as its element: `@` members are attributes, arrays are elements in a row."""
    [(name, value)] = msgspec.to_builtins(document).items()
    return _element(name, value).encode()


def _typed(media: str) -> str:
    return f"{media}; charset=utf-8" if media == TEXT_XML else media


def _range(item: str) -> tuple[str, float]:
    """A media range and its quality; `*` alone, as old Java clients send it, is all."""
    media, *parameters = (piece.strip().lower() for piece in item.split(";"))
    quality = next((text.partition("=")[2].strip() for text in parameters if text.partition("=")[0].strip() == "q"), "1")
    weight = min(float(quality), 1.0) if _WEIGHT.fullmatch(quality) and quality.strip(".") else 0.0
    return ("*/*" if media == "*" else media), weight


def _quality(media: str, ranges: Sequence[tuple[str, float]]) -> float:
    """The weight of the most specific range that holds the media type."""
    for holding in (media, f"{media.partition('/')[0]}/*", "*/*"):
        found = [weight for name, weight in ranges if name == holding]
        if found:
            return max(found)
    return 0.0


def _element(name: str, value: Any) -> str:
    if isinstance(value, list):
        return "".join(_element(name, item) for item in value)
    if not isinstance(value, dict):
        return f"<{name}>{escape(_written(value))}</{name}>"
    attributes = "".join(f" {key[1:]}={quoteattr(_written(text))}" for key, text in value.items() if key.startswith("@"))
    children = "".join(_element(key, child) for key, child in value.items() if not key.startswith("@"))
    return f"<{name}{attributes}>{children}</{name}>" if children else f"<{name}{attributes}/>"


def _written(value: Any) -> str:
    return _UNWRITABLE.sub("\ufffd", str(value))
