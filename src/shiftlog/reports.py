"""Reports: an archive's answers as rows, with the same columns for whoever asks: the command line, the API, the pages.

Rows come in batches, at least one, so that a long answer is never whole in memory. Instants are Datetimes of the asked zone
(`text` makes ISO 8601 of them), beside epoch milliseconds where programs compute with them. A mistake in the question is raised
before the first batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import polars as pl

from shiftlog.archive import Archive, Time
from shiftlog.errors import Invalid
from shiftlog.events import AgentState
from shiftlog.intervals import END, INTERVALS, START, reads
from shiftlog.metrics import DEFINITIONS, KEYS, check_by
from shiftlog.quality import Summary
from shiftlog.sources import groups

if TYPE_CHECKING:
    from shiftlog.drawing import Chart


class Window(TypedDict, total=False):
    """The window and what is counted in it, as `Archive` takes them."""

    start: Time | None
    end: Time | None
    tz: str | None
    until: str


#: What interval rows have, in order. `length_ms` is end − start, and `state_name` is the state in words.
TIMELINE = (
    *("agent_id", "start", "end", "start_ms", "end_ms", "length_ms", "state", "state_name", "concurrency", "maximum", "open"),
    *("group_id", "profile_ids", "agentSessionId", "eventIndex", "eventId", "part"),
)
#: What findings have, in order.
FINDINGS = ("account", "code", "agent_id", "agentSessionId", "eventIndex", "eventId", "time", "timestamp", "part", "detail")

_NAMING = ("timeline", "states", "occupancy")  # charts that name agents
ISO = "%Y-%m-%dT%H:%M:%S%.f%:z"
_STATES = {state.value: state.name.lower() for state in AgentState}


def report(
    centre: Archive,
    *,
    every: str = "all",
    by: str = "agent",
    columns: Sequence[str] | None = None,
    most: int | None = None,
    **window: Unpack[Window],
) -> Iterator[pl.DataFrame]:
    """The numbers of docs/metrics.md, a row a key and bucket: the key, `bucket_start`, `bucket_ms` and every definition.

    With `columns` the key, `bucket_start`, and these: definitions, `bucket_ms`, or `name`, which is what the key is called.

    Raises:
        Invalid: an unknown bucket, key, column or zone, or an empty window; TooLarge: past `most` (agents times buckets).
    """
    keys = (*KEYS[check_by(by)], "bucket_start")
    every_column = (*keys, "bucket_ms", *DEFINITIONS)
    chosen = _chosen(columns, keys, every_column if by == "account" else (*every_column, "name"), every_column)
    batches = centre.metric_batches(every=every, by=by, most=most, **window)
    return _named(centre, batches, KEYS[by], chosen, window)


def timeline(
    centre: Archive, *, agents: Sequence[int] | None = None, columns: Sequence[str] | None = None, **window: Unpack[Window]
) -> Iterator[pl.DataFrame]:
    """Intervals, by agent and time, with the session, event and part that each comes from: columns `TIMELINE`.

    With `columns` agent_id, start, end, and these: columns of `TIMELINE`, or `name`, which is what the agent is called.

    Raises:
        Invalid: an unknown column or zone, an agent that the source does not have, or an empty window.
    """
    chosen = _chosen(columns, ("agent_id", "start", "end"), (*TIMELINE, "name"), TIMELINE)
    if agents:
        _check_agents(centre, agents, window)
    zone = centre.zone(window.get("tz"))
    found = centre.interval_batches(agents=agents or None, **window)
    return _named(centre, (_interval_rows(batch, zone) for batch in found), ("agent_id",), chosen, window)


def findings(centre: Archive, **window: Unpack[Window]) -> tuple[pl.DataFrame, Summary]:
    """What is doubtful in the window: a row a finding, columns `FINDINGS`, and the summary.

    Raises:
        Invalid: an unknown zone, or an empty window.
    """
    found, summary = centre.quality(**window)
    at = _moment("timestamp", centre.zone(window.get("tz"))).alias("time")
    return found.with_columns(at, pl.lit(centre.account).alias("account")).select(FINDINGS), summary


def summarised(summary: Summary) -> dict[str, Any]:
    """A summary as one document: the counts by code (null where the source cannot tell), the times, and their shares."""
    times = {"observed_ms": summary.observed_ms, "inferred_ms": summary.inferred_ms, "open_ms": summary.open_ms}
    return {"counts": summary.counts, "login_ms": summary.login_ms, **times, "shares": summary.shares()}


def summary_rows(summary: Summary) -> pl.DataFrame:
    """A summary as rows: name (a code, or a measure of time), value (null where the source cannot tell), and share of login time."""
    document, shares = summarised(summary), summary.shares()
    counts = [(code, count, None) for code, count in summary.counts.items()]
    times = [(f"{name}_ms", document[f"{name}_ms"], share) for name, share in shares.items()]
    whole = ("login_ms", summary.login_ms, 1.0 if summary.login_ms else None)
    return pl.DataFrame([*counts, whole, *times], schema={"name": pl.String, "value": pl.Int64, "share": pl.Float64}, orient="row")


def chart(
    centre: Archive,
    name: str,
    *,
    agents: Sequence[int] | None = None,
    every: str | None = None,
    by: str | None = None,
    theme: str = "light",
    **window: Unpack[Window],
) -> Chart:
    """A chart of `charts.CHARTS`, with the agents' names, and beside what happened what was planned.

    Raises:
        Invalid: an unknown chart, agent, bucket, zone or theme; an empty window; nothing to draw. TooLarge: too many agents.
        Unusable: the extra `charts` is not installed.
    """
    from shiftlog import charts

    options = charts.CHARTS[name].options if name in charts.CHARTS else ()
    if agents:
        _check_agents(centre, agents, window)
    zone = centre.zone(window.get("tz"))
    start, end = centre.window(window.get("start"), window.get("end"), zone)
    now = centre.now(window.get("until", "now"))
    plan = centre.source.schedule(start, end) if "schedule" in options else None
    columns = reads("group_id", "profile_ids")  # a chart names agents, but no events
    with centre.shares(start, end, now, agents or None, columns) as shares:
        return charts.chart(
            name,
            shares,
            account=centre.account,
            start=start,
            end=end,
            tz=zone,
            source=centre.source.label,
            now=now,
            timeout=centre.source.timeout,
            every=every,
            by=by,
            names=_names(centre, "agent", window) if name in _NAMING else None,
            schedule=plan if plan is None or not agents else plan.filter(pl.col("agent_id").is_in(agents)),
            theme=theme,
        )


def text(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with their Datetimes as ISO 8601 text with the zone's offset; milliseconds only where they are not 0."""
    times = {name: dtype.time_zone for name, dtype in rows.schema.items() if isinstance(dtype, pl.Datetime)}
    return rows.with_columns(pl.col(name).dt.to_string(ISO if zone else ISO.removesuffix("%:z")) for name, zone in times.items())


def flat(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with the JSON text of their lists, which CSV has no other way to write."""
    lists = [name for name, dtype in rows.schema.items() if isinstance(dtype, pl.List)]
    return rows.with_columns(pl.format("[{}]", pl.col(name).cast(pl.List(pl.String)).list.join(",")).alias(name) for name in lists)


# ── columns ──


def _chosen(columns: Sequence[str] | None, keys: Sequence[str], allowed: Sequence[str], default: Sequence[str]) -> list[str]:
    if columns is None:
        return list(default)
    for column in columns:
        if column not in allowed:
            raise Invalid(f"column {column!r} is not known; allowed: {', '.join(allowed)}")
    name = [column for column in columns if column == "name"][:1]
    # A name stands beside what it names.
    return list(dict.fromkeys([keys[0], *name, *keys[1:], *columns]))


def _named(
    centre: Archive, batches: Iterator[pl.DataFrame], key: Sequence[str], columns: Sequence[str], window: Window
) -> Iterator[pl.DataFrame]:
    """The batches' columns that are asked for, with the key's name where that is."""
    if "name" not in columns:
        return (batch.select(columns) for batch in batches)
    names = _names(centre, key[0].removesuffix("_id"), window)
    called = pl.col(key[0]).replace_strict(names, default=None, return_dtype=pl.String).alias("name")
    return (batch.with_columns(called).select(columns) for batch in batches)


def _names(centre: Archive, kind: str, window: Window) -> dict[int, str]:
    return {id_: name for (of, id_), name in centre.names(**window).items() if of == kind}


def _interval_rows(batch: pl.DataFrame, zone: str) -> pl.DataFrame:
    return batch.select(
        *(pl.col(name) for name in INTERVALS if name not in ("start", "end")),
        _moment("start", zone),
        _moment("end", zone),
        START.alias("start_ms"),
        END.alias("end_ms"),
        (END - START).alias("length_ms"),
        pl.col("state").replace_strict(_STATES, default="unknown", return_dtype=pl.String).alias("state_name"),
    )


def _moment(column: str, zone: str) -> pl.Expr:
    return pl.col(column).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC").dt.convert_time_zone(zone)


def _check_agents(centre: Archive, agents: Sequence[int], window: Window) -> None:
    missing = set(agents) - _present(centre, agents, window)
    # An agent may be without a session in the window; only one without any is a mistake.
    missing -= _present(centre, sorted(missing), {"until": window.get("until", "now")}) if missing else set()
    if missing:
        raise Invalid(f"agent {', '.join(map(str, sorted(missing)))} is not known; {centre.source.label} has no session of that id")


def _present(centre: Archive, agents: Sequence[int], window: Window) -> set[int]:
    first, last = centre.window(window.get("start"), window.get("end"), window.get("tz"))
    asked = pl.col("agentID").is_in(agents)
    found = groups(centre.source, first, last, centre.now(window.get("until", "now")))
    return {agent for rows in found for agent in rows.filter(asked).select(pl.col("agentID").unique()).collect().to_series()}
