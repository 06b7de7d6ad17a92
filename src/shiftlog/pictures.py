"""Pictures: charts as bytes and files, made here without a network (vl-convert brings its own JavaScript engine and fonts)."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shiftlog.errors import Invalid, Unusable

if TYPE_CHECKING:
    from types import ModuleType

    from shiftlog.drawing import Chart

SCALE = 2.0  # pixels of a PNG per pixel of the chart

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body {{ margin: 0; background: {background}; }}</style>
</head>
<body>
<div id="chart"></div>
<script>{bundle}</script>
<script>
const actions = {{export: true, source: false, compiled: false, editor: false}};
vegaEmbed("#chart", {spec}, {{mode: "vega-lite", renderer: "svg", actions}});
</script>
</body>
</html>
"""


def to_spec(chart: Chart) -> dict[str, Any]:
    """The chart as a Vega-Lite specification that has its rows in it."""
    import altair as alt

    # Whatever the notebook uses elsewhere: files and servers beside the picture would not travel with it.
    with alt.data_transformers.enable("default", max_rows=None):
        spec: dict[str, Any] = chart.to_dict()
    return spec


def render(chart: Chart, format_: str, *, scale: float = SCALE) -> bytes:
    """The chart as a picture or page of one of `FORMATS`.

    Raises:
        Invalid: another format.
        Unusable: the extra `charts` is not installed.
    """
    if format_ not in FORMATS:
        raise Invalid(f"a chart has no format {format_!r}; allowed: {', '.join(FORMATS)}")
    return FORMATS[format_](to_spec(chart), scale)


def save(chart: Chart, path: str | Path, *, scale: float = SCALE) -> None:
    """Write the chart to a file, whole or not at all, in the format of its suffix: `.png`, `.svg`, `.html` or `.json`.

    Raises:
        Invalid: another suffix, or a file that cannot be written.
        Unusable: the extra `charts` is not installed.
    """
    target = Path(path)
    if target.suffix[1:].lower() not in FORMATS:
        raise Invalid(f"{target} does not say what to draw; its name must end in {', '.join('.' + name for name in FORMATS)}")
    picture = render(chart, target.suffix[1:].lower(), scale=scale)
    beside = target.with_name(f"{target.name}.partial")
    try:
        beside.write_bytes(picture)
        beside.replace(target)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise Invalid(f"{target} cannot be written: {error.strerror}") from None


def _png(spec: dict[str, Any], scale: float) -> bytes:
    picture: bytes = _converter().vegalite_to_png(spec, vl_version=_version(), scale=scale, allowed_base_urls=[])
    return repacked(picture)


def repacked(png: bytes) -> bytes:
    """The same PNG picture with its pixels packed well: vl-convert packs quickly, into four times the bytes."""
    chunks, at = [], 8
    while at < len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4])
        chunks.append(png[at:end])
        at = end
    pixels = [chunk for chunk in chunks if chunk[4:8] == b"IDAT"]
    body = b"IDAT" + zlib.compress(zlib.decompress(b"".join(chunk[8:-4] for chunk in pixels)), 9)
    packed = (len(body) - 4).to_bytes(4) + body + zlib.crc32(body).to_bytes(4)
    first = chunks.index(pixels[0])
    return b"".join([png[:8], *chunks[:first], packed, *(chunk for chunk in chunks[first:] if chunk not in pixels)])


def _svg(spec: dict[str, Any], scale: float) -> bytes:
    picture: str = _converter().vegalite_to_svg(spec, vl_version=_version(), allowed_base_urls=[])
    return picture.encode()


def _html(spec: dict[str, Any], scale: float) -> bytes:
    # A name may hold "</script>".
    inline = json.dumps(spec).replace("<", "\\u003c")
    bundle = _converter().javascript_bundle(vl_version=_version())
    page = _PAGE.format(title=escape(spec["title"]["text"]), background=escape(spec["background"]), bundle=bundle, spec=inline)
    return page.encode()


def _json(spec: dict[str, Any], scale: float) -> bytes:
    return json.dumps(spec, ensure_ascii=False).encode()


#: What a chart can be made into.
FORMATS: dict[str, Callable[[dict[str, Any], float], bytes]] = {"png": _png, "svg": _svg, "html": _html, "json": _json}


def _converter() -> ModuleType:
    try:
        import vl_convert
    except ImportError as error:
        raise Unusable(f"charts need an extra ({error.name} is missing): pip install 'shiftlog[charts]'") from None
    return vl_convert


def _version() -> str:
    """The Vega-Lite version that Altair writes, as vl-convert calls it."""
    import altair as alt

    return alt.SCHEMA_VERSION.rpartition(".")[0]
