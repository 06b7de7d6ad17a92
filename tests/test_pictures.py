"""Pictures: charts as PNG, SVG, HTML and JSON, made without a network, written whole or not at all."""

from __future__ import annotations

import json
import re
import sys
import zlib
from pathlib import Path

import pytest

from oracle import Session, flat
from scenes import DAY, HOUR, T0, event, login, logout
from shiftlog import pictures
from shiftlog.charts import CHARTS, chart
from shiftlog.drawing import Chart
from shiftlog.errors import Invalid, Unusable
from shiftlog.pictures import FORMATS, render, save, to_spec

HOSTILE = "</script><script>alert(1)</script>"


def drawing(name: str = "timeline", theme: str = "light") -> Chart:
    """A chart of two agents, one of whom has a name that breaks pages."""
    sessions = flat(
        *(
            Session(
                [
                    login(T0, agentID=agent, concurrentEng=0, maxConcurrentEng=-9),
                    event(T0 + 1, agentID=agent, state=2, concurrentEng=1, maxConcurrentEng=2),
                    logout(T0 + HOUR, agentID=agent),
                ]
            )
            for agent in (1, 2)
        )
    )
    names = {1: "Łucja O'Neill", 2: HOSTILE}
    return chart(name, sessions, account="A", start=T0, end=T0 + DAY, tz="Europe/Berlin", source="a test", names=names, theme=theme)


def chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    """Kinds and bodies of the chunks of a PNG picture, whose checksums hold."""
    found, at = [], 8
    while at < len(png):
        end = at + 8 + int.from_bytes(png[at : at + 4])
        assert zlib.crc32(png[at + 4 : end]) == int.from_bytes(png[end : end + 4])
        found.append((png[at + 4 : at + 8], png[at + 8 : end]))
        at = end + 4
    return found


def size(png: bytes) -> tuple[int, int]:
    header = dict(chunks(png))[b"IHDR"]
    return int.from_bytes(header[:4]), int.from_bytes(header[4:8])


@pytest.mark.parametrize("name", CHARTS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_png_is_a_picture_of_a_sensible_size(name: str, theme: str) -> None:
    """As wide as a page, twice as many pixels unless asked otherwise, and as small as its pixels pack."""
    png, small = render(drawing(name, theme), "png"), render(drawing(name, theme), "png", scale=1)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert [kind for kind, _ in chunks(png)][-1] == b"IEND"
    (width, height), (half, _) = size(png), size(small)
    assert 900 < half < 1_300
    assert 200 < height < width == pytest.approx(2 * half, abs=2)


def test_packing_again_keeps_every_pixel() -> None:
    """And takes less room."""
    rows = b"".join(b"\0" + bytes([row % 7] * 400) for row in range(300))
    loose = zlib.compress(rows, 1)
    parts = [(b"IHDR", b"\0" * 13), (b"IDAT", loose[:50]), (b"IDAT", loose[50:]), (b"tEXt", b"words"), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4) for kind, body in parts)
    packed = chunks(pictures.repacked(png))
    assert [kind for kind, _ in packed] == [b"IHDR", b"IDAT", b"tEXt", b"IEND"]
    assert zlib.decompress(packed[1][1]) == rows
    assert len(pictures.repacked(png)) < len(png)


@pytest.mark.parametrize("name", ["timeline", "states", "occupancy"])
def test_an_svg_has_title_zone_and_names_as_text(name: str) -> None:
    """So that they can be read and searched."""
    svg = render(drawing(name), "svg").decode()
    assert svg.startswith("<svg")
    for text in ("account A · ", " · Europe/Berlin", "source: a test", "Łucja O'Neill"):
        assert text in svg.replace("&#39;", "'").replace("&apos;", "'")
    assert "<script" not in svg


def test_a_dark_picture_has_a_dark_background() -> None:
    """Also where it is shown on a light page."""
    assert 'fill="#14181D"' in render(drawing(theme="dark"), "svg").decode()
    assert "background: #14181D" in render(drawing(theme="dark"), "html").decode()


def test_a_page_loads_nothing() -> None:
    """Script and rows are in it, and its names stay text."""
    page = render(drawing(), "html").decode()
    assert not re.search(r"(src|href)\s*=\s*[\"']?\s*(https?:)?//|@import|url\(\s*[\"']?https?:|<(link|iframe)\s", page, re.IGNORECASE)
    assert page.count("<script") == page.count("</script>") == 2
    assert HOSTILE not in page
    assert "vegaEmbed" in page
    assert "Agents' time and chats in hand" in page.replace("&#x27;", "'")


def test_a_specification_is_json_with_its_rows_in_it() -> None:
    """No file or server beside it is needed."""
    spec = json.loads(render(drawing(), "json"))
    assert spec == to_spec(drawing())
    assert spec["$schema"].startswith("https://vega.github.io/schema/vega-lite/v6")
    assert "url" not in json.dumps(spec["datasets"])


def test_every_row_of_a_large_chart_is_in_its_specification() -> None:
    """Altair's own limit of 5 000 does not hold."""
    sessions = flat(Session([event(T0 + n * 1_000, state=2 + n % 2, concurrentEng=0) for n in range(7_001)]))
    (rows,) = to_spec(chart("timeline", sessions, account="A"))["datasets"].values()
    assert sum("floor" in row and row["floor"] is not None for row in rows) == 7_000


# ── files ──


@pytest.mark.parametrize("format_", FORMATS)
def test_a_suffix_names_the_format(format_: str, tmp_path: Path) -> None:
    """In small letters or capitals; nothing else is left in the directory."""
    target = tmp_path / f"chart.{format_.upper()}"
    save(drawing(), str(target))
    # Vega counts its clipping paths as long as the process lives.
    assert re.sub(rb"clip\d+", b"", target.read_bytes()) == re.sub(rb"clip\d+", b"", render(drawing(), format_))
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("name", ["chart.gif", "chart", "chart.png.gz", ".png"])
def test_another_suffix_writes_nothing(name: str, tmp_path: Path) -> None:
    """It says which are allowed."""
    with pytest.raises(Invalid, match=r"must end in \.png, \.svg, \.html, \.json"):
        save(drawing(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_another_format_cannot_be_drawn() -> None:
    """It says which can."""
    with pytest.raises(Invalid, match="allowed: png, svg, html, json"):
        render(drawing(), "pdf")


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """One line; what was there stays, and nothing is left beside it."""
    (tmp_path / "taken.svg").mkdir()
    for name in ("taken.svg", "missing/chart.svg"):
        with pytest.raises(Invalid, match="cannot be written"):
            save(drawing(), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.svg"]


def test_without_the_converter_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The specification needs none."""
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(Unusable, match=r"pip install 'shiftlog\[charts\]'"):
        render(drawing(), "png")
    assert render(drawing(), "json")
