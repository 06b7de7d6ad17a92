"""Availability and efficiency over HTTP: metrics, timeline, quality and charts, with open sessions unless told otherwise.

Rows are those of `reports`, in JSON, CSV or Arrow by Accept. The watermark of the data that was asked is in every answer.
What would take too much to answer is refused before it is read.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, NamedTuple

import msgspec
import polars as pl
from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from shiftlog import charts, reports
from shiftlog.archive import UNTIL, Archive
from shiftlog.charts import CHARTS
from shiftlog.errors import Invalid, Missing, TooLarge
from shiftlog.events import INT64_MAX, INT64_MIN
from shiftlog.hours import iso
from shiftlog.house import House
from shiftlog.intervals import EVERY
from shiftlog.metrics import KEYS
from shiftlog.reports import Window
from shiftlog.server import formats, openapi, parameters, problems
from shiftlog.server.guard import Reading
from shiftlog.server.services import Services
from shiftlog.sources import HouseSource

router = APIRouter(prefix="/api/v1/accounts/{account}", tags=["analysis"], dependencies=[Depends(parameters.once)])

CSV, ARROW, PNG, SVG = "text/csv", "application/vnd.apache.arrow.stream", "image/png", "image/svg+xml"
ROWS = (formats.JSON, CSV, ARROW)
PICTURES = {"png": PNG, "svg": SVG, "json": formats.JSON}
WATERMARK = "Shiftlog-Watermark"

_HEADERS = {WATERMARK: openapi.header("the end of the last complete hour, in epoch milliseconds, where there is one", "integer")}
_REFUSED = problems.documented(400, 401, 403, 404, 406, 413, 500, 503)


# ── what is asked ──


def _choice(description: str, allowed: tuple[str, ...]) -> Any:
    return Query(description=description, json_schema_extra={"enum": list(allowed)})


_BARE_PLUS = re.compile(r"(?<=\d) (?=\d{2}:?\d{2}$)")


def _time(text: str | None) -> str | None:
    # In a query a plus sign that nobody encoded is a space, and before an offset it can be nothing else.
    return None if text is None else _BARE_PLUS.sub("+", text)


async def _window(
    from_: Annotated[
        str | None, Query(alias="from", description="where the window begins, ISO 8601; without an offset in the zone")
    ] = None,
    to: Annotated[str | None, Query(description="where it ends; this instant is not in it")] = None,
    tz: Annotated[str | None, Query(description="an IANA time zone; left out, the account's")] = None,
    until: Annotated[str, _choice("open sessions count up to now; or nothing that is not published does", UNTIL)] = "now",
) -> Window:
    return {"start": _time(from_), "end": _time(to), "tz": tz, "until": until}


Windowed = Annotated[Window, Depends(_window)]
Every = Annotated[str, _choice("the bucket", EVERY)]
By = Annotated[str, _choice("a row for each of these", tuple(KEYS))]
Columns = Annotated[str | None, Query(description="these only, separated by commas, beside the key of the rows")]
Agents = Annotated[str | None, Query(alias="agent", description="these agents only: ids, separated by commas")]


def _listed(text: str | None) -> list[str] | None:
    return None if text is None else [item.strip() for item in text.split(",") if item.strip()]


def _agents(text: str | None) -> list[int] | None:
    items = _listed(text)
    for item in items or ():
        if not re.fullmatch(r"-?[0-9]{1,19}", item) or not INT64_MIN <= int(item) <= INT64_MAX:
            raise Invalid(f"agent: found {item[:60]!r}; allowed: agents' ids, separated by commas")
    return None if items is None else [int(item) for item in items]


# ── asking ──


class Asked(NamedTuple):
    """The archive of a question, and what every answer to it says: the window, and the watermark before anything was read."""

    centre: Archive
    about: dict[str, Any]


def _ask(house: House, account: str, window: Window) -> Asked:
    """
    Raises:
        Invalid: an unknown zone, or an empty window.
        TooLarge: more events than are read for one answer.
    """
    source = HouseSource(house, account)
    centre = Archive(source)
    zone, (start, end) = centre.zone(window["tz"]), centre.window(window["start"], window["end"], window["tz"])
    events, most = source.size(start, end, live=window["until"] == "now"), house.settings.answer_events
    if events > most:
        raise TooLarge(f"the window has about {events} events; at most {most} are read for an answer: ask for a shorter one")
    bounds = {name: None if at is None else iso(at, zone) for name, at in (("from", start), ("to", end))}
    return Asked(centre, {"accountId": account, "watermark": source.watermark, "timeZone": zone, **bounds})


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows, and what is said of all of them: members of the JSON document beside `rows`."""

    about: dict[str, Any]
    rows: pl.DataFrame
    more: dict[str, Any] = field(default_factory=dict)

    def respond(self, media: str) -> Response:
        body = {formats.JSON: self._json, CSV: self._csv, ARROW: self._arrow}[media]()
        return Response(body, media_type=media, headers=_headed(self.about))

    def _json(self) -> bytes:
        head = msgspec.json.encode({**self.about, **self.more})[:-1]
        # A row is a line, and within JSON text there is no line break.
        rows = reports.text(self.rows).write_ndjson().strip().replace("\n", ",")
        return b'%b,"rows":[%b]}' % (head, rows.encode())

    def _csv(self) -> bytes:
        return reports.flat(reports.text(self.rows)).write_csv().encode()

    def _arrow(self) -> bytes:
        stream = io.BytesIO()
        self.rows.write_ipc_stream(stream, compat_level=pl.CompatLevel.oldest())
        return stream.getvalue()


def _headed(about: dict[str, Any]) -> dict[str, str]:
    known = {} if about["watermark"] is None else {WATERMARK: str(about["watermark"])}
    return {**known, "Vary": "Accept"}


def _bounded(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    if rows.height > most:
        raise TooLarge(f"the answer has {rows.height} rows; at most {most} are sent: ask for a shorter window, or for fewer agents")
    return rows


# ── the routes ──


def _described(name: str) -> dict[int | str, dict[str, Any]]:
    answer = openapi.body(name, formats.JSON, headers=_HEADERS)
    answer[200]["content"] |= {media: {"schema": {"type": "string", "format": "binary"}} for media in (CSV, ARROW)}
    return answer | _REFUSED


@router.get("/metrics", name="report", responses=_described("Rows"))
async def report(
    request: Request, account: Reading, window: Windowed, every: Every = "all", by: By = "agent", columns: Columns = None
) -> Response:
    """Availability and efficiency: the numbers of docs/metrics.md, a row a key and bucket."""
    media, services = formats.acceptable(request, ROWS), Services.of(request)
    return await services.threads.fold(_report, services.house, account, window, every, by, _listed(columns), media)


def _report(house: House, account: str, window: Window, every: str, by: str, columns: list[str] | None, media: str) -> Response:
    asked = _ask(house, account, window)
    rows = reports.report(asked.centre, every=every, by=by, columns=columns, most=house.settings.answer_rows, **window)
    return Answer(asked.about, pl.concat(rows)).respond(media)


@router.get("/timeline", name="timeline", responses=_described("Rows"))
async def timeline(request: Request, account: Reading, window: Windowed, agent: Agents = None, columns: Columns = None) -> Response:
    """What agents did: a row for each stretch of time in which state and chats in hand did not change."""
    media, services = formats.acceptable(request, ROWS), Services.of(request)
    return await services.threads.fold(_timeline, services.house, account, window, _agents(agent), _listed(columns), media)


def _timeline(house: House, account: str, window: Window, agents: list[int] | None, columns: list[str] | None, media: str) -> Response:
    asked = _ask(house, account, window)
    rows = pl.concat(reports.timeline(asked.centre, agents=agents, columns=columns, **window))
    return Answer(asked.about, _bounded(rows, house.settings.answer_rows)).respond(media)


@router.get("/quality", name="quality", responses=_described("Quality"))
async def quality(
    request: Request,
    account: Reading,
    window: Windowed,
    findings: Annotated[str, _choice("whether rows are findings, or the summary as rows", ("true", "false"))] = "false",
) -> Response:
    """What is doubtful in the data: findings by code, and what share of the login time is observed, inferred and open."""
    media, services = formats.acceptable(request, ROWS), Services.of(request)
    if findings not in ("true", "false"):
        raise Invalid(f"findings: found {findings[:60]!r}; allowed: true, false")
    return await services.threads.fold(_quality, services.house, account, window, findings == "true", media)


def _quality(house: House, account: str, window: Window, findings: bool, media: str) -> Response:
    asked = _ask(house, account, window)
    found, summary = reports.findings(asked.centre, **window)
    rows = _bounded(found, house.settings.answer_rows) if findings else reports.summary_rows(summary)
    return Answer(asked.about, rows, reports.summarised(summary)).respond(media)


_PICTURE: openapi.Responses = {
    200: {
        "description": "the chart as a picture, or as a Vega-Lite specification",
        "headers": _HEADERS,
        "content": {
            PNG: {"schema": {"type": "string", "format": "binary"}},
            SVG: {"schema": {"type": "string"}},
            formats.JSON: {"schema": {"type": "object"}},
        },
    }
}


@router.get("/charts/{name}", name="chart", responses=_PICTURE | _REFUSED)
async def chart(
    request: Request,
    account: Reading,
    name: str,
    window: Windowed,
    agent: Agents = None,
    every: Annotated[str | None, _choice("the bucket of a curve; left out, as the window needs", EVERY)] = None,
    by: Annotated[str | None, _choice("occupancy: a row for each of these", charts.BY)] = None,
    theme: Annotated[str, _choice("the colours", ("light", "dark"))] = "light",
) -> Response:
    """A chart, with a suffix (`.png`, `.svg`, `.json`), or by Accept."""
    services = Services.of(request)
    stem, _, suffix = name.partition(".")
    if stem not in CHARTS or suffix not in ("", *PICTURES):
        raise Missing(f"there is no chart {name[:60]!r}; there are {', '.join(CHARTS)}, each with or without {', '.join(PICTURES)}")
    media = formats.acceptable(request, (PICTURES[suffix],) if suffix else tuple(PICTURES.values()))
    options = {"agents": _agents(agent), "every": every, "by": by, "theme": theme}
    return await services.threads.fold(partial(_chart, services.house, account, window, stem, media, **options))


def _chart(house: House, account: str, window: Window, name: str, media: str, **options: Any) -> Response:
    asked = _ask(house, account, window)
    drawn = reports.chart(asked.centre, name, **options, **window)
    format_ = next(suffix for suffix, of in PICTURES.items() if of == media)
    return Response(charts.render(drawn, format_), media_type=media, headers=_headed(asked.about))
