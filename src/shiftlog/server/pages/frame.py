"""Pages as HTML: the templates, what they know, and the headers that keep a page to itself."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

from shiftlog import metrics, quality
from shiftlog.hours import iso
from shiftlog.server.pages import assets, cookies, words

#: Scripts, styles and data come from this server and nothing else does; no inline script, no eval, no framing.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
THEMES = ("light", "dark")

#: What a page may be: its path, its name in the navigation.
PAGES = (("/now", "Now"), ("/day", "Day"), ("/compare", "Compare"), ("/files", "Files"), ("/quality", "Quality"), ("/docs", "Docs"))

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.globals |= {
    "asset": assets.address,
    "vega": assets.vega,
    "pages": PAGES,
    "definitions": metrics.DEFINITIONS,
    "codes": quality.CODES,
    "words": words,
    "iso": iso,
    "states": words.STATES,
}
_templates.filters |= {
    name: getattr(words, name) for name in ("duration", "share", "count", "number", "size", "value", "moment", "clock", "day", "state")
}
_templates.filters["plain"] = lambda text: text.replace("`", "")  # definitions are written in Markdown
_templates.filters["epoch"] = lambda moment: round(moment.timestamp() * 1000) if isinstance(moment, datetime) else moment


def page(request: Request, template: str, status: int = 200, *, visitor: Any = None, **context: Any) -> Response:
    """A page; `visitor` is who is signed in, if anyone is."""
    return Response(html(request, template, visitor=visitor, **context), status, HEADERS, "text/html")


def html(request: Request, template: str, *, visitor: Any = None, **context: Any) -> str:
    """A page's HTML, or a piece of one."""
    theme = chosen_theme(request)
    path = request.scope["path"]
    here = path + (f"?{request.url.query}" if request.url.query else "")
    return _templates.get_template(template).render(visitor=visitor, theme=theme, path=path, here=here, **context)


def chosen_theme(request: Request) -> str | None:
    """The theme that was chosen; without a choice it is the system's."""
    theme = request.cookies.get(cookies.THEME)
    return theme if theme in THEMES else None
