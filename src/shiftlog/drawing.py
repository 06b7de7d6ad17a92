"""Drawing: rows of numbers → Altair charts. It knows how things look, and `charts` what they mean.

Importing it needs the extra `charts`. Rows are Polars frames, and no chart takes more than `MOST_ROWS` of them, since a
chart carries its rows in itself. Instants are drawn as they are, in UTC, and the ticks are computed here: they stand at
whole hours and days of the asked time zone, and a day on which the clocks change is as long as it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import polars as pl

from shiftlog.errors import Invalid, TooLarge, Unusable
from shiftlog.hours import DAY, HOUR, MINUTE
from shiftlog.intervals import buckets

try:
    import altair as alt
except ImportError as error:
    raise Unusable(f"charts need an extra ({error.name} is missing): pip install 'shiftlog[charts]'") from None

Chart: TypeAlias = alt.Chart | alt.LayerChart | alt.FacetChart | alt.HConcatChart

# Altair's limit is lower than ours, and is for frames that nobody has summed up.
alt.data_transformers.disable_max_rows()

MOST_ROWS = 50_000
WIDTH = 960  # of the plots of a chart together, in pixels
_TALL, _TALLEST = 320, 1_000  # heights of plots, in pixels
_ROW, _CELL, _LABEL = 22, 34, 13  # the most that a row (of a map) takes in height, and the least that its label needs
_FONT = "Helvetica, Arial, sans-serif"


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours, after Okabe and Ito: told apart by the colour-blind, and states also by how light they are.

    `states` are in the order in which states are shown; `heat` goes from none to all.
    """

    background: str
    ink: str
    faint: str
    empty: str
    states: Mapping[str, str]
    lines: Mapping[str, str]
    heat: Sequence[str]


_STATES = ("online", "back soon", "away", "offline", "before first status", "unknown")
_LINES = ("chats in hand", "capacity", "staffed", "online", "chatting", "at maximum", "in another state")
_BAND = {"actual": (-0.1, -0.45), "planned": (-0.5, -0.68)}  # where bands lie in a strip, in parts of its highest level
_DASHES = {"capacity": [5, 3], "online": [8, 3], "chatting": [4, 2], "at maximum": [2, 2]}


def _named(names: Sequence[str], colours: str) -> dict[str, str]:
    return dict(zip(names, colours.split(), strict=True))


THEMES = {
    "light": Theme(
        background="#FFFFFF",
        ink="#1B1F24",
        faint="#D5D9DE",
        empty="#E9EBEE",
        states=_named(_STATES, "#009E73 #E69F00 #B04A00 #4D4D4D #A6D5F2 #5A1846"),
        lines=_named(_LINES, "#0072B2 #D55E00 #1B1F24 #009E73 #0072B2 #D55E00 #9AA0A6"),
        heat=("#FFF7D6", "#F0D264", "#D98E32", "#A84A4A", "#5B2163"),
    ),
    "dark": Theme(
        background="#14181D",
        ink="#E6E9ED",
        faint="#353C44",
        empty="#2A3038",
        states=_named(_STATES, "#17B385 #F0B429 #CC5A0A #5E5E5E #C4E6FB #6E2668"),
        lines=_named(_LINES, "#56B4E9 #F0B429 #E6E9ED #17B385 #56B4E9 #F0722E #7C848D"),
        heat=("#5A2F66", "#93425C", "#CF6B45", "#EDB04B", "#FFF3B8"),
    ),
}


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a chart is drawn on: its title and the lines below that, its window [start, end) in epoch ms, its zone and theme.

    Raises:
        Invalid: an unknown theme.
    """

    title: str
    lines: Sequence[str]
    start: int
    end: int
    tz: str
    theme: str

    def __post_init__(self) -> None:
        if self.theme not in THEMES:
            raise Invalid(f"theme {self.theme!r} is not known; allowed: {', '.join(THEMES)}")

    @property
    def colours(self) -> Theme:
        return THEMES[self.theme]


# ── the charts ──


def strips(sheet: Sheet, bands: pl.DataFrame, steps: pl.DataFrame, agents: Sequence[str]) -> Chart:
    """A strip an agent: chats in hand as a step line below its capacity, and under them bands of the state.

    `bands`: agent, kind (actual, planned), state, start, end, from, to. `steps`: agent, agentSessionId, kind (chats in
    hand, capacity), start, chats, which holds until the next of its kind and session.
    """
    top = max([1, *steps["chats"].drop_nulls()])
    kinds = [kind for kind in _BAND if kind in bands["kind"]]
    low = _BAND[kinds[-1]][1] * top
    y = alt.Y("chats:Q", scale=alt.Scale(domain=[low, top * 1.08], nice=False, zero=False), axis=_strip_axis(top, kinds))
    x = _time_axis(sheet)
    band = (
        alt.Chart()
        .transform_filter("datum.floor != null")
        .mark_rect(clip=True)
        .encode(x=x, x2="end:T", y=y, y2="floor:Q", color=_state_colour(sheet, bands), tooltip=["agent:N", "kind:N", *_STRETCH])
    )
    line = (
        alt.Chart()
        .transform_filter("datum.floor == null")
        .mark_line(interpolate="step-after", strokeWidth=1.4, color=sheet.colours.ink, clip=True)
        .encode(x=x, y=y, detail="agentSessionId:N", strokeDash=_dashes("kind", steps, ["chats in hand", "capacity"]))
    )
    header = alt.Header(title=None, labelAngle=0, labelAlign="left", labelAnchor="middle", labelLimit=170, labelFontSize=12)
    strip = alt.layer(band, line, data=_data(_strip_rows(bands, steps, top))).properties(width=WIDTH, height=50 + 10 * len(kinds))
    return _finished(sheet, strip.facet(row=alt.Row("agent:N", sort=list(agents), header=header), spacing=8))


def _strip_rows(bands: pl.DataFrame, steps: pl.DataFrame, top: int) -> pl.DataFrame:
    """Both in one frame: bands lie from `chats` down to `floor`, both below 0; points of lines have no `floor`."""
    places = [
        pl.col("kind").replace_strict({kind: edges[i] * top for kind, edges in _BAND.items()}, return_dtype=pl.Float64).alias(name)
        for i, name in enumerate(("chats", "floor"))
    ]
    return pl.concat([bands.with_columns(places), steps.with_columns(pl.col("chats").cast(pl.Float64))], how="diagonal")


def _strip_axis(top: int, kinds: Sequence[str]) -> alt.Axis:
    """Some levels, and below them what the bands are, where there are two."""
    bands = {kind: sum(_BAND[kind]) / 2 * top for kind in kinds} if len(kinds) > 1 else {}
    words = "".join(f"datum.value == {place} ? '{kind}' : " for kind, place in bands.items())
    values = [*bands.values(), *sorted({0, top // 2, top})]
    return alt.Axis(values=values, labelExpr=f"{words}format(datum.value, 'd')", title=None, grid=False, ticks=False, labelOverlap=False)


def rows_of_time(sheet: Sheet, bands: pl.DataFrame, agents: Sequence[str]) -> Chart:
    """A thin row an agent, coloured by state; where there is a plan, actual and planned side by side. `bands` as in `strips`."""
    kinds, row = [kind for kind in _BAND if kind in bands["kind"]], _row(len(agents))
    colour, x = _state_colour(sheet, bands), _time_axis(sheet, ticks=12 // len(kinds))
    panels = [
        alt.Chart(_data(bands.filter(pl.col("kind") == kind).drop("kind")), title=alt.Title(kind, fontSize=12))
        .mark_rect(clip=True, aria=False)
        .encode(x=x, x2="end:T", y=_key_axis("agent:N", agents, row, hidden=kind != kinds[0]), color=colour, tooltip=["agent:N", *_STRETCH])
        .properties(width=WIDTH // len(kinds), height=row * len(agents))
        for kind in kinds
    ]
    return _finished(sheet, alt.hconcat(*panels, spacing=16) if len(kinds) > 1 else panels[0])


def stacks(sheet: Sheet, rows: pl.DataFrame, agents: Sequence[str]) -> Chart:
    """Bars of hours an agent, stacked by state. `rows`: agent, state, ms, hours, share (of the bar)."""
    place = pl.col("state").replace_strict({state: i for i, state in enumerate(_STATES)}, return_dtype=pl.Int64)
    ordered, row = rows.with_columns(place.alias("order")), _row(len(agents))
    chart = (
        alt.Chart(_data(ordered))
        .mark_bar()
        .encode(
            x=alt.X("hours:Q", stack="zero", title="hours logged in", scale=alt.Scale(nice=False, zero=True), axis=alt.Axis(tickCount=10)),
            y=_key_axis("agent:N", agents, row),
            color=_state_colour(sheet, rows),
            order=alt.Order("order:Q"),
            tooltip=["agent:N", "state:N", alt.Tooltip("hours:Q", format=",.2f"), alt.Tooltip("share:Q", format=".1%")],
        )
        .properties(width=WIDTH, height=row * len(agents))
    )
    return _finished(sheet, chart)


def heat(sheet: Sheet, rows: pl.DataFrame, keys: Sequence[str], title: str) -> Chart:
    """A map of `keys` and the hours of the day, coloured by a share. `rows`: key, hour ("00" …), share, hours (online)."""
    colours, row = sheet.colours, _row(len(keys), _CELL)
    x = alt.X("hour:O", title=f"hour of the day ({sheet.tz})", axis=alt.Axis(labelAngle=0), scale=alt.Scale(domain=_HOURS, padding=0))
    y = _key_axis("key:N", keys, row, padding=0)
    legend = alt.Legend(format=".0%", orient="top", direction="horizontal", gradientLength=280, values=[0, 0.25, 0.5, 0.75, 1])
    roomy = row > _LABEL
    tooltip = ["key:N", "hour:O", alt.Tooltip("share:Q", format=".1%"), alt.Tooltip("hours:Q", format=",.2f", title="hours online")]
    colour = alt.Color("share:Q", title=title, scale=alt.Scale(domain=[0, 1], range=list(colours.heat)), legend=legend)
    cells = alt.Chart().mark_rect(stroke=colours.background, strokeWidth=1.5 if roomy else 0)
    layers = [cells.encode(x=x, y=y, color=colour, tooltip=tooltip)]
    if roomy:
        light = alt.datum.share < 0.55 if sheet.theme == "light" else alt.datum.share > 0.55
        ink = alt.condition(light, alt.value("#1B1F24"), alt.value("#FFFFFF"))
        layers.append(alt.Chart().mark_text(fontSize=11).encode(x=x, y=y, text=alt.Text("share:Q", format=".0%"), color=ink))
    view = alt.ViewBackground(fill=colours.empty, stroke=None)
    return _finished(sheet, alt.layer(*layers, data=_data(rows), view=view).properties(width=WIDTH, height=row * len(keys)))


def lines(sheet: Sheet, rows: pl.DataFrame, series: Sequence[str], title: str) -> Chart:
    """Step lines over time. `rows`: start, time (as text), series, value, which holds until the next one of its series."""
    return _finished(sheet, _lines(sheet, rows, series, title, WIDTH))


def lines_and_levels(sheet: Sheet, rows: pl.DataFrame, series: Sequence[str], levels: pl.DataFrame) -> Chart:
    """Step lines as in `lines`, and beside them the time at each level. `levels`: level, label, state, ms, hours, share."""
    curve = _lines(sheet, rows, series, "chats", WIDTH * 2 // 3).properties(title=alt.Title("over time", fontSize=12))
    names = ["online", "in another state"]
    range_ = [sheet.colours.lines[name] for name in names]
    order = levels.unique("level").sort("level")["label"].to_list()
    histogram = (
        alt.Chart(_data(levels), title=alt.Title("time at each level", fontSize=12))
        .mark_bar()
        .encode(
            x=alt.X("label:O", sort=order, title="an agent's chats in hand", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("hours:Q", stack="zero", title="hours of agents"),
            color=alt.Color("state:N", title=None, scale=alt.Scale(domain=names, range=range_), legend=alt.Legend(orient="top")),
            order=alt.Order("state:N", sort="descending"),
            tooltip=["label:O", "state:N", alt.Tooltip("hours:Q", format=",.2f"), alt.Tooltip("share:Q", format=".1%")],
        )
        .properties(width=WIDTH // 3 - 60, height=_TALL)
    )
    return _finished(sheet, alt.hconcat(curve, histogram, spacing=36).resolve_scale(color="independent", strokeDash="independent"))


# ── pieces of charts ──

_HOURS = [f"{hour:02d}" for hour in range(24)]
_STRETCH = ["state:N", "from:N", "to:N"]


def _lines(sheet: Sheet, rows: pl.DataFrame, series: Sequence[str], title: str, width: int) -> alt.Chart:
    colours = alt.Scale(domain=list(series), range=[sheet.colours.lines[name] for name in series])
    chart: alt.Chart = (
        alt.Chart(_data(rows))
        .mark_line(interpolate="step-after", strokeWidth=1.8, clip=True)
        .encode(
            x=_time_axis(sheet, ticks=max(4, width // 80)),
            y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=True)),
            color=alt.Color("series:N", title=None, scale=colours, legend=_line_legend(series)),
            strokeDash=_dashes("series", rows, series),
            tooltip=["series:N", "time:N", alt.Tooltip("value:Q", format=",.2f")],
        )
        .properties(width=width, height=_TALL)
    )
    return chart


def _dashes(field: str, rows: pl.DataFrame, series: Sequence[str]) -> alt.StrokeDash:
    """Lines told apart without colours; only those that have rows are in the legend."""
    there = [name for name in series if name in rows[field]]
    scale = alt.Scale(domain=list(series), range=[_DASHES.get(name, [1, 0]) for name in series])
    return alt.StrokeDash(f"{field}:N", title=None, scale=scale, legend=_line_legend(there))


def _line_legend(there: Sequence[str]) -> alt.Legend:
    # A stroke 20 pixels wide that takes no more height than the squares of other legends.
    return alt.Legend(
        orient="top", values=list(there), symbolType="M-2,0L2,0", symbolSize=100, symbolStrokeWidth=2, symbolOffset=5, labelOffset=14
    )


def _state_colour(sheet: Sheet, rows: pl.DataFrame) -> alt.Color:
    """States in their fixed order and colours; only those that have rows are in the legend."""
    colours = sheet.colours.states
    there = [state for state in colours if state in rows["state"]]
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    return alt.Color("state:N", title=None, scale=scale, legend=alt.Legend(orient="top", values=there, symbolType="square"))


def _row(count: int, most: int = _ROW) -> int:
    """The height of each of so many rows, in pixels."""
    return min(most, max(1, _TALLEST // count))


def _key_axis(field: str, keys: Sequence[str], row: int, *, padding: float | None = None, hidden: bool = False) -> alt.Y:
    """Rows in their order; where they are too thin for labels, every so many have one."""
    labelled = list(keys[:: -(-_LABEL // row)])
    # Hidden labels are blank, not left out: they keep a second panel level with the first.
    text = "'\u00a0'" if hidden else "datum.label"
    ticks = len(labelled) < len(keys) and not hidden
    axis = alt.Axis(title=None, values=labelled, labelExpr=text, labelLimit=170, labelOverlap=False, ticks=ticks, domain=False)
    inner = padding if padding is not None else 0.2 if row >= 8 else 0
    # Half of it outside makes a step a whole pixel: by a rounding error, Vega drops the label of a row that begins at -1e-14.
    scale = alt.Scale(domain=list(keys), paddingInner=inner, paddingOuter=inner / 2)
    return alt.Y(field, sort=None, scale=scale, axis=axis)


def _data(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows themselves.

    Raises:
        TooLarge: more than one chart takes.
    """
    if rows.height > MOST_ROWS:
        raise TooLarge(
            f"the chart has {rows.height} rows, and {MOST_ROWS} are allowed; ask for a shorter window, wider buckets or fewer agents"
        )
    return rows


def _finished(sheet: Sheet, chart: Chart) -> Chart:
    """The chart with its title, in the colours of its theme."""
    colours = sheet.colours
    title = alt.Title(sheet.title, subtitle=list(sheet.lines))
    titled = chart.properties(title=title, description=". ".join([sheet.title, *sheet.lines]), background=colours.background, padding=14)
    finished: Chart = titled.configure(
        font=_FONT,
        axis=alt.Axis(
            labelColor=colours.ink,
            titleColor=colours.ink,
            domainColor=colours.faint,
            tickColor=colours.faint,
            gridColor=colours.faint,
            gridOpacity=0.7,
            labelFontSize=11,
            titleFontSize=12,
            titleFontWeight="normal",
            titlePadding=8,
        ),
        title=alt.TitleConfig(color=colours.ink, subtitleColor=colours.ink, fontSize=17, subtitleFontSize=12, anchor="start", offset=12),
        legend=alt.LegendConfig(
            labelColor=colours.ink, titleColor=colours.ink, labelFontSize=12, titleFontSize=12, titleFontWeight="normal", labelLimit=220
        ),
        header=alt.HeaderConfig(labelColor=colours.ink, titleColor=colours.ink),
        view=alt.ViewConfig(stroke=colours.faint),
    )
    return finished


# ── time ──

_CLOCK, _WEEKDAY, _DATE = "%H:%M", "%a %-d %b", "%-d %b"
_local = pl.col("local")
_whole_hour, _first_of_month = _local.dt.minute() == 0, _local.dt.day() == 1
# Ladders of ticks: their distance (ms, the least), the buckets that begin there, which of these, and the label's two lines.
_TICKS: tuple[tuple[int, str, pl.Expr, str, str], ...] = (
    *(
        (width, every, pl.lit(True), _CLOCK, _WEEKDAY)
        for every, width in {"5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE}.items()
    ),
    *((hours * HOUR, "1h", _whole_hour & (_local.dt.hour() % hours == 0), _CLOCK, _WEEKDAY) for hours in (1, 2, 3, 6, 12)),
    (DAY, "1d", pl.lit(True), _DATE, "%a"),
    (7 * DAY, "1d", _local.dt.weekday() == 1, _DATE, "%Y"),
    (28 * DAY, "1d", _first_of_month, "%b", "%Y"),
    (90 * DAY, "1d", _first_of_month & (_local.dt.month() % 3 == 1), "%b", "%Y"),
    (365 * DAY, "1d", _first_of_month & (_local.dt.month() == 1), "%b", "%Y"),
)


def _time_axis(sheet: Sheet, ticks: int = 12) -> alt.X:
    """The window's time, with the zone's hours or dates at the ticks."""
    labels = tick_labels(sheet.start, sheet.end, sheet.tz, ticks)
    axis = alt.Axis(
        values=[int(instant) for instant in labels],
        labelExpr=f"({json.dumps(labels)})[time(datum.value)]",
        labelAngle=0,
        labelOverlap=False,
        title=f"time ({sheet.tz})",
    )
    return alt.X("start:T", scale=alt.Scale(type="utc", domainMin=sheet.start, domainMax=sheet.end, nice=False), axis=axis)


def tick_labels(start: int, end: int, tz: str, most: int) -> dict[str, list[str]]:
    """Up to `most` instants of a window (epoch ms, as text) and their labels' lines; a new date or year is a second line."""
    fitting = [tick for tick in _TICKS if (end - start) // tick[0] < most] or _TICKS[-1:]
    for tick in fitting:
        _, every, which, first, second = tick
        chosen = _moments(buckets(every, start, end, tz).edges, tz).filter(pl.col("at").is_between(start, end) & which)
        if chosen.height <= most:
            break
    chosen = chosen.gather_every(max(1, -(-chosen.height // most)))
    if chosen.height < 2:
        chosen, first, second = _moments(pl.Series([start, end], dtype=pl.Int64), tz), "%H:%M:%S", _WEEKDAY
    return _labelled(chosen, first, second)


def _moments(instants: pl.Series, tz: str) -> pl.DataFrame:
    local = instants.cast(pl.Datetime("ms")).dt.replace_time_zone("UTC").dt.convert_time_zone(tz)
    return pl.DataFrame({"at": instants, "local": local})


def _labelled(chosen: pl.DataFrame, first: str, second: str) -> dict[str, list[str]]:
    texts = chosen.select(pl.col("at").cast(pl.String), _local.dt.strftime(first).alias("above"), _local.dt.strftime(second).alias("below"))
    new = (pl.col("below") != pl.col("below").shift()).fill_null(True)
    return {at: [above, below] if begins else [above] for at, above, below, begins in texts.with_columns(new.alias("new")).rows()}
