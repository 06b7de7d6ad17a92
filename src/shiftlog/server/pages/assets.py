"""What pages load: our own style and scripts, and Vega's. Each has an address that changes with its content, and is kept for ever."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from shiftlog.errors import Missing
from shiftlog.server.services import Services

router = APIRouter(include_in_schema=False)

_OURS = Path(__file__).parent / "static"
_MEDIA = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_VEGA = "vega.js"


@dataclass(frozen=True, slots=True)
class Asset:
    """The bytes of an asset, plain and in gzip."""

    media: str
    plain: bytes
    packed: bytes


def address(name: str) -> str:
    """The path under which one of our own assets is served now."""
    return _address(name, _OURS.joinpath(name).read_bytes())


def vega() -> str | None:
    """The path of Vega's script, by its version, since making it takes seconds; None where the extra `charts` is not installed."""
    if not (find_spec("vl_convert") and find_spec("altair")):
        return None
    return _address(_VEGA, f"{version('vl-convert-python')} {version('altair')}".encode())


def _address(name: str, content: bytes) -> str:
    return f"/static/{sha256(content).hexdigest()[:16]}/{name}"


@cache
def _addresses() -> dict[str, str]:
    """Which asset has which path, for as long as this process lives."""
    found = {address(file.name): file.name for file in _OURS.iterdir()}
    script = vega()
    return found if script is None else {**found, script: _VEGA}


@cache
def _asset(name: str) -> Asset:
    plain = _vega() if name == _VEGA else _OURS.joinpath(name).read_bytes()
    return Asset(_MEDIA[Path(name).suffix], plain, gzip.compress(plain, 9, mtime=0))


def _vega() -> bytes:
    import altair
    import vl_convert

    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=altair.SCHEMA_VERSION.rpartition(".")[0])
    return script.encode()


@router.get("/static/{version}/{name}", name="static")
async def static(request: Request) -> Response:
    """An asset. An old path is not there any more: what it named has changed."""
    name = _addresses().get(request.url.path)
    if name is None:
        raise Missing(f"there is no {request.url.path[:200]} here; reload the page that led here")
    asset = await Services.of(request).threads.fold(_asset, name)
    packed = "gzip" in request.headers.get("accept-encoding", "")
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff"}
    headers |= {"Content-Encoding": "gzip"} if packed else {}
    return Response(asset.packed if packed else asset.plain, media_type=asset.media, headers=headers)
