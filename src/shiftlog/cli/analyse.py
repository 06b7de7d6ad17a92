"""Asking: report, timeline, quality, chart, sql; each of a deployment, of a lake, or of published files."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from shiftlog.cli import engines, people, render
from shiftlog.cli.engines import EngineName, EngineOption, MasterOption
from shiftlog.cli.place import deployed
from shiftlog.cli.render import AnswerFormat
from shiftlog.errors import Invalid

if TYPE_CHECKING:
    import polars as pl

    from shiftlog.archive import Archive
    from shiftlog.reports import Window

_SOURCE, _WINDOW, _ANSWER = "Where from", "What of it", "How"

Files = Annotated[list[Path] | None, typer.Argument(help="Published files (.gz), ours or the original service's.", show_default=False)]
Data = Annotated[
    Path | None, typer.Option(help="A deployment's data directory (or SHIFTLOG_DATA).", show_default=False, rich_help_panel=_SOURCE)
]
Lake = Annotated[Path | None, typer.Option(help="A lake that shiftlog pull keeps.", show_default=False, rich_help_panel=_SOURCE)]
Account = Annotated[str | None, typer.Option(help="The account.", show_default="the source's only one", rich_help_panel=_SOURCE)]
From = Annotated[
    str | None,
    typer.Option(
        "--from", help="Where the window begins (ISO; without an offset in the zone).", show_default="the data", rich_help_panel=_WINDOW
    ),
]
To = Annotated[
    str | None, typer.Option("--to", help="Where it ends; this instant is not in it.", show_default="the data", rich_help_panel=_WINDOW)
]
Zone = Annotated[
    str | None,
    typer.Option(
        "--tz", help="The time zone (IANA), such as Europe/Berlin.", show_default="the account's, else UTC", rich_help_panel=_WINDOW
    ),
]
Until = Annotated[
    str, typer.Option(help="Count open sessions up to now, or only what is published up to the watermark.", rich_help_panel=_WINDOW)
]
Columns = Annotated[
    str | None, typer.Option(help="These, separated by commas, beside the key of the rows.", show_default="all", rich_help_panel=_ANSWER)
]
FormatOption = Annotated[AnswerFormat, typer.Option("--format", help="What to print or write.", rich_help_panel=_ANSWER)]
Out = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="The file to write; it appears whole or not at all.", show_default="stdout", rich_help_panel=_ANSWER
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this subject."""
    for command in (report, timeline, quality, chart, sql):
        app.command()(deployed(command))


# ── the commands ──


def report(
    files: Files = None,
    data: Data = None,
    lake: Lake = None,
    account: Account = None,
    from_: From = None,
    to: To = None,
    every: Annotated[str, typer.Option(help="A row for each 5m, 15m, 30m, 1h or 1d; or all as one.", rich_help_panel=_ANSWER)] = "all",
    by: Annotated[
        str, typer.Option(help="A row for each agent, group or profile; or one for the account.", rich_help_panel=_ANSWER)
    ] = "agent",
    tz: Zone = None,
    until: Until = "now",
    columns: Columns = None,
    format_: FormatOption = AnswerFormat.TABLE,
    output: Out = None,
    engine: EngineOption = EngineName.LOCAL,
    spark_master: MasterOption = None,
) -> None:
    """Availability and efficiency: how long agents were logged in, online and chatting, and the ratios of it.

    Every number is defined in docs/metrics.md, under the name it has here. A table shows the usual ones, and the other
    formats all of them; times are milliseconds there. Buckets begin in the time zone, daylight saving included.

    Example: `shiftlog report --data DIR --account 75555851 --from 2026-03-02 --to 2026-03-09 --every 1d --by group --tz Europe/Berlin`

    Example: `shiftlog report *.gz --columns online_ms,occupancy --format csv -o week.csv`
    """
    from shiftlog import reports

    with engines.engine(engine, spark_master) as computing, _archive(files, data, lake, account) as opened:
        centre = opened.on(computing)
        window: Window = {"start": from_, "end": to, "tz": tz, "until": until}
        chosen = _split(columns)
        if format_ is AnswerFormat.TABLE and chosen is None:
            chosen = people.usual(by, scheduled=centre.source.schedule(*centre.window(from_, to, tz)) is not None)
        found = reports.report(centre, every=every, by=by, columns=chosen, **window)
        if format_ is AnswerFormat.TABLE and every == "all":
            found = (batch.drop("bucket_start") for batch in found)
        _answer(centre, found, window, format_, output, empty="nobody was logged in")


def timeline(
    files: Files = None,
    data: Data = None,
    lake: Lake = None,
    account: Account = None,
    agent: Annotated[
        list[int] | None, typer.Option(help="This agent's only; may be given several times.", show_default="all", rich_help_panel=_WINDOW)
    ] = None,
    from_: From = None,
    to: To = None,
    tz: Zone = None,
    until: Until = "now",
    columns: Columns = None,
    format_: FormatOption = AnswerFormat.TABLE,
    output: Out = None,
) -> None:
    """What agents did: a row for each stretch of time in which state and chats in hand did not change.

    Each row names its session, the event that began it (by its place in the session, and by its id where the source keeps
    ids) and the part in which that was published: from any number down to where it comes from.

    Example: `shiftlog timeline --data DIR --account 75555851 --agent 1001 --from 2026-03-02 --to 2026-03-03`
    """
    from shiftlog import reports

    with _archive(files, data, lake, account) as centre:
        window: Window = {"start": from_, "end": to, "tz": tz, "until": until}
        chosen = _split(columns)
        if format_ is AnswerFormat.TABLE and chosen is None:
            chosen = people.TIMELINE
        found = reports.timeline(centre, agents=agent, columns=chosen, **window)
        _answer(centre, found, window, format_, output, empty="nobody was logged in")


def quality(
    files: Files = None,
    data: Data = None,
    lake: Lake = None,
    account: Account = None,
    from_: From = None,
    to: To = None,
    tz: Zone = None,
    until: Until = "now",
    findings: Annotated[
        bool, typer.Option("--findings", help="A row for each finding, instead of how many there are.", rich_help_panel=_ANSWER)
    ] = False,
    format_: FormatOption = AnswerFormat.TABLE,
    output: Out = None,
) -> None:
    """What is doubtful in the data: how many findings of each kind there are, and how much of the login time was observed.

    Login time is observed; or inferred, in sessions that ended without a logout; or open, in sessions that go on. Some
    findings need what published files do not have; they are then unknown, not 0. All of them are explained in docs/metrics.md.

    Example: `shiftlog quality --data DIR --account 75555851 --from 2026-03-02 --to 2026-03-09 --findings --format csv`
    """
    from shiftlog import reports

    with _archive(files, data, lake, account) as centre:
        window: Window = {"start": from_, "end": to, "tz": tz, "until": until}
        rows, summary = reports.findings(centre, **window)
        if findings:
            shown = rows.select(people.FINDINGS) if format_ is AnswerFormat.TABLE else rows
            return _answer(centre, [shown], window, format_, output, empty="nothing is doubtful")
        if format_ is AnswerFormat.TABLE:
            _print(partial(people.summary, summary), output)
            return render.note(people.caption(centre, window))
        if format_ is AnswerFormat.JSON:
            with render.output(output) as target:
                return render.document(reports.summarised(summary), target)
        _answer(centre, [reports.summary_rows(summary)], window, format_, output, empty="")


def chart(
    name: Annotated[str, typer.Argument(help="timeline, states, occupancy, concurrency or staffing.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to draw: .png, .svg or .html.", show_default=False)],
    files: Files = None,
    data: Data = None,
    lake: Lake = None,
    account: Account = None,
    agent: Annotated[
        list[int] | None, typer.Option(help="This agent only; may be given several times.", show_default="all", rich_help_panel=_WINDOW)
    ] = None,
    from_: From = None,
    to: To = None,
    every: Annotated[
        str | None, typer.Option(help="The bucket of a curve.", show_default="as the window needs", rich_help_panel=_ANSWER)
    ] = None,
    by: Annotated[str | None, typer.Option(help="occupancy: agent or weekday.", show_default="agent", rich_help_panel=_ANSWER)] = None,
    tz: Zone = None,
    until: Until = "now",
    theme: Annotated[str, typer.Option(help="light or dark.", rich_help_panel=_ANSWER)] = "light",
) -> None:
    """Draw a chart: agents' time, time in state, occupancy by hour, chats in hand, or staffing. No network is needed.

    Where a schedule was imported, the timeline shows what was planned beside what happened.

    Example: `shiftlog chart staffing --data DIR --account 75555851 --from 2026-03-02 --to 2026-03-09 -o week.png`
    """
    from shiftlog import charts, reports

    with _archive(files, data, lake, account) as centre:
        drawn = reports.chart(centre, name, agents=agent, every=every, by=by, theme=theme, start=from_, end=to, tz=tz, until=until)
        charts.save(drawn, output)


def sql(
    arguments: Annotated[
        list[str], typer.Argument(help="Published files, if any, and then the query.", metavar="[FILES]... QUERY", show_default=False)
    ],
    data: Data = None,
    lake: Lake = None,
    account: Account = None,
    from_: From = None,
    to: To = None,
    tz: Zone = None,
    until: Until = "now",
    format_: FormatOption = AnswerFormat.TABLE,
    output: Out = None,
) -> None:
    """Ask in SQL (DuckDB), over the views events, sessions and intervals.

    events has the fields as they are published; intervals has agent_id, start, end, state (2 is online), concurrency,
    maximum and where each row comes from. Times are epoch milliseconds: `to_timestamp(start / 1000)` is the zone's time.

    Example: `shiftlog sql --data DIR "SELECT state, sum(\\"end\\" - start) AS ms FROM intervals GROUP BY state"`
    """
    from shiftlog import sql as queries

    *names, text = arguments
    with _archive([Path(name) for name in names], data, lake, account) as centre:
        rows = queries.query(centre, text, start=from_, end=to, tz=tz, until=until)
        _answer(centre, [rows], None, format_, output, empty="no rows")


# ── what they share ──


@contextmanager
def _archive(files: list[Path] | None, data: Path | None, lake: Path | None, account: str | None) -> Iterator[Archive]:
    """The source that was named.

    Raises:
        Invalid: none was, or several.
    """
    from shiftlog import archive

    named = [bool(files), data is not None, lake is not None].count(True)
    if named == 0 and "SHIFTLOG_DATA" in os.environ:
        data = Path(os.environ["SHIFTLOG_DATA"])
    if named > 1 or (named == 0 and data is None and "SHIFTLOG_CATALOG" not in os.environ):
        raise Invalid("one source is expected: --data DIR, --lake DIR, or published files")
    if data is not None or named == 0:
        opened = archive.deployment(data, account=account)
    elif lake is not None:
        opened = archive.lake(lake, account=account)
    else:
        opened = archive.files(files or [], account=account)
    with opened as centre:
        yield centre


def _split(columns: str | None) -> list[str] | None:
    return None if columns is None else [column.strip() for column in columns.split(",") if column.strip()]


def _answer(
    centre: Archive, found: Iterable[pl.DataFrame], window: Window | None, format_: AnswerFormat, output: Path | None, *, empty: str
) -> None:
    """Write the batches; of a table, say on the error stream what it is about."""
    if format_ is not AnswerFormat.TABLE:
        with render.output(output, text=format_ is not AnswerFormat.PARQUET) as target:
            # Rows that scroll by at a terminal are progress enough.
            return render.batches(found if output is None and sys.stdout.isatty() else _watched(found), format_, target)
    shown = people.Shown(_watched(found))
    if not shown.rows.is_empty():
        _print(partial(people.table, shown.rows), output)
    for remark in (empty if shown.rows.is_empty() else "", shown.remark, people.caption(centre, window) if window else ""):
        if remark:
            render.note(remark)


def _watched(found: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The batches; whoever waits for them sees that they come."""
    with render.progress("rows") as bar:
        task = bar.add_task("rows", total=None)
        for batch in found:
            bar.advance(task, batch.height)
            yield batch


def _print(table: Callable[[TextIO | None], None], output: Path | None) -> None:
    """A table on the terminal, or in a file."""
    if output is None:
        return table(None)
    with render.output(output) as target:
        text = io.TextIOWrapper(target, encoding="utf-8", write_through=True)
        table(text)
        text.detach()
