"""Answers for people: the usual columns, shares as percentages, times as h:mm:ss, and in a line below what it is all about."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TextIO

from shiftlog import hours
from shiftlog.cli import render

if TYPE_CHECKING:
    import polars as pl

    from shiftlog.archive import Archive
    from shiftlog.quality import Summary
    from shiftlog.reports import Window

MOST_ROWS = 2_000  # of a table; who wants more reads a file of them

#: The columns of a timeline as a table.
TIMELINE = ["name", "length_ms", "state_name", "concurrency", "maximum", "open", "agentSessionId", "eventIndex", "eventId", "part"]
#: The columns of findings as a table.
FINDINGS = ["code", "agent_id", "agentSessionId", "eventIndex", "time", "part", "detail"]
_USUAL = ["login_ms", "availability", "occupancy", "utilization", "concurrency", "chats_started", "chat_handle_ms"]
_FOLDED = ("name", "detail")  # ids and times are not: they are looked up and compared
_NOTHING = "–"
_WHOLE_MINUTE = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d):00(?=[+-])")


def usual(by: str, *, scheduled: bool) -> list[str]:
    """The columns of a report as a table."""
    beside = {"agent": ["name"], "account": ["agents"]}.get(by, ["name", "agents"])
    return [*beside, *_USUAL, *(["adherence", "conformance"] if scheduled else [])]


class Shown:
    """The rows that a table shows, and how many there are."""

    def __init__(self, batches: Iterable[pl.DataFrame]) -> None:
        import polars as pl

        kept, self.total = list[pl.DataFrame](), 0
        for rows in batches:
            kept.append(rows.head(max(0, MOST_ROWS - self.total)))
            self.total += rows.height
        self.rows = pl.concat(kept)

    @property
    def remark(self) -> str:
        """What there is to say where not all is shown."""
        return f"{MOST_ROWS} of {self.total} rows; --format csv has all of them" if self.total > self.rows.height else ""


def table(rows: pl.DataFrame, target: TextIO | None = None) -> None:
    """The rows as a table, each number in its unit, and names only where there are any."""
    from shiftlog import reports
    from shiftlog.metrics import DEFINITIONS

    def unit(name: str) -> str:
        return DEFINITIONS[name].unit if name in DEFINITIONS else "ms" if name.endswith("length_ms") else ""

    if "name" in rows.columns and rows["name"].null_count() == rows.height:
        rows = rows.drop("name")
    units = [unit(name) for name in rows.columns]
    headers = [
        (name.removesuffix("_ms") if of == "ms" else name, dtype.is_numeric())
        for (name, dtype), of in zip(rows.schema.items(), units, strict=True)
    ]
    lines = ([_cell(value, of) for value, of in zip(row, units, strict=True)] for row in reports.text(rows).rows())
    lists = [name for name, dtype in rows.schema.items() if dtype.is_nested()]
    render.columns(headers, lines, target, folded=(*_FOLDED, *lists))


def summary(found: Summary, target: TextIO | None = None) -> None:
    """Findings by code, and what the login time rests on, as a table."""
    counts = [(code, "unknown" if count is None else str(count), "") for code, count in found.counts.items()]
    times = {"login time": found.login_ms, "observed": found.observed_ms, "inferred": found.inferred_ms, "open": found.open_ms}
    shares = {"login time": None, **found.shares()}
    lines = [
        *counts,
        *((name, _cell(ms, "ms"), "" if name == "login time" else _cell(shares[name], "share")) for name, ms in times.items()),
    ]
    render.columns([("finding", False), ("count", True), ("share", True)], lines, target)


def caption(centre: Archive, window: Window) -> str:
    """Source, window, zone and watermark."""
    zone = centre.zone(window["tz"])
    start, end = centre.extent(**window)
    span = "no events" if start is None or end is None else f"{hours.iso(start, zone)} to {hours.iso(end, zone)}"
    known = "" if centre.watermark is None else f" · complete up to {hours.iso(centre.watermark, zone)}"
    return f"{centre.source.label} · {span} · {zone}{known}"


def _cell(value: Any, unit: str) -> str:
    if value is None:
        return _NOTHING
    if unit == "share":
        return f"{100 * value:.1f} %"
    if unit == "ms":
        return _duration(round(value))
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, float):
        return f"{value:.2f}" if unit else f"{value:g}"
    return ",".join(map(str, value)) if isinstance(value, list) else _WHOLE_MINUTE.sub(r"\1", str(value))


def _duration(ms: int) -> str:
    """h:mm:ss, to the nearest second."""
    seconds = (ms + 500) // 1000
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
