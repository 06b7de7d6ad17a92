"""Docs: the protocol, the definitions of all numbers, and the API, as pages that need no key."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from shiftlog import metrics
from shiftlog.errors import Missing, Unauthorized
from shiftlog.server import openapi
from shiftlog.server.pages import frame
from shiftlog.server.pages.gate import PageRoute, Visitor, visitor

router = APIRouter(route_class=PageRoute, include_in_schema=False)

#: The documents: their file, and what they are called.
DOCUMENTS = {"protocol": ("PROTOCOL.md", "The protocol"), "metrics": ("metrics.md", "The numbers")}
TABLES = (("Shares and averages", metrics.RATIOS), ("Numbers of agents", metrics.HEADCOUNTS), ("Sums", metrics.MEASURES))
# Where links between the documents lead here; whatever else they lead to lies in the repository.
_HERE = {"PROTOCOL.md": "/docs/protocol", "metrics.md": "/docs/metrics", "docs/metrics.md": "/docs/metrics"}


@router.get("/docs", name="docs")
async def docs(request: Request) -> Response:
    """What can be read, and every definition."""
    return frame.page(request, "docs.html", visitor=await _visitor(request), documents=DOCUMENTS, tables=TABLES)


@router.get("/docs/api", name="docs-api")
async def api(request: Request) -> Response:
    """What requests there are."""
    described = openapi.describe(request.app)
    return frame.page(
        request, "api.html", visitor=await _visitor(request), operations=_operations(described), version=described["info"]["version"]
    )


@router.get("/docs/{name}", name="document")
async def document(request: Request, name: str) -> Response:
    """One document."""
    if name not in DOCUMENTS:
        raise Missing(f"there is no document {name[:60]!r}; those there are: {', '.join(DOCUMENTS)}")
    file, title = DOCUMENTS[name]
    return frame.page(request, "document.html", visitor=await _visitor(request), title=title, text=_html(file))


async def _visitor(request: Request) -> Visitor | None:
    """Who is signed in, if anyone is: documents are for all."""
    try:
        return await visitor(request)
    except Unauthorized:
        return None


def _operations(described: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(method.upper(), path, operation) for path, of in described["paths"].items() for method, operation in of.items()]


# ── Markdown ──


@cache
def _html(file: str) -> Markup:
    """A document as HTML; raw HTML in it stays text."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse((Path(__file__).parent / "documents" / file).read_text(encoding="utf-8"))
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", _anchor(tokens[place + 1].content))
        for child in token.children or ():
            _lead_here(child)
        if token.type == "th_open":
            token.attrSet("scope", "col")
        # Nobody's style may stand in the page itself: how cells are aligned is said by a class.
        if token.attrs.pop("style", None) == "text-align:right":
            token.attrSet("class", "n")
    html: str = parser.renderer.render(tokens, parser.options, {})
    # What may be wider than the page is scrolled, also by keyboard.
    html = html.replace("<pre>", '<pre tabindex="0">')
    html = html.replace("<table>", '<div class="scroll" tabindex="0" role="region" aria-label="a table"><table>').replace(
        "</table>", "</table></div>"
    )
    return Markup(html)  # noqa: S704 (our own text, whose HTML the parser escaped)


def _anchor(heading: str) -> str:
    """As GitHub makes them, so that links within documents lead to the same place here."""
    kept = [letter for letter in heading.lower().replace("`", "") if letter.isalnum() or letter in " -_"]
    return "".join(kept).replace(" ", "-")


def _lead_here(token: Token) -> None:
    target = str(token.attrs.get("href", ""))
    if token.type != "link_open" or "://" in target or target.startswith("#"):
        return
    path, _, anchor = target.removeprefix("../").partition("#")
    token.attrSet("href", _HERE.get(path, "/docs") + (f"#{anchor}" if anchor and path in _HERE else ""))
