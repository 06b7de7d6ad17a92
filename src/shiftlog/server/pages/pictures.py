"""Charts of the pages: specifications for the scripts that draw them, and pictures for browsers that run none."""

from __future__ import annotations

from hashlib import sha256

from fastapi import APIRouter
from starlette.responses import Response

from shiftlog.errors import Missing
from shiftlog.server.pages.frame import THEMES
from shiftlog.server.pages.gate import Visiting
from shiftlog.server.pages.look import Look
from shiftlog.server.pages.view import View, whole

router = APIRouter(include_in_schema=False)

_MEDIA = {"json": "application/json", "svg": "image/svg+xml"}


@router.get("/charts/{name}.{format_}", name="page-chart")
async def chart(visiting: Visiting, name: str, format_: str) -> Response:
    """A chart of the view's window, as a Vega-Lite specification or as SVG; `agent` narrows it to one."""
    if format_ not in _MEDIA:
        raise Missing(f"charts have no form {format_[:20]!r} here; allowed: {', '.join(_MEDIA)}")
    view, asked = visiting.view(), visiting.asked
    theme = asked.get("theme") if asked.get("theme") in THEMES else THEMES[0]
    look = await visiting.look(view, whole("agent", asked["agent"]) if asked.get("agent") else None)
    packed = await visiting.services.threads.fold(_made, look, view, name, theme, format_)
    return _answer(visiting, packed, _MEDIA[format_])


def _made(look: Look, view: View, name: str, theme: str, format_: str) -> bytes:
    return look.chart(view, name, theme, format_)


def _answer(visiting: Visiting, packed: bytes, media: str) -> Response:
    etag = f'"{sha256(packed).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff", "Content-Encoding": "gzip"}
    # An SVG that someone opens by itself must not run anything either.
    headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
    if visiting.request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(packed, media_type=media, headers=headers)
