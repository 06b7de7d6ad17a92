"""Files to files: decode, encode, schema, simulate. None of these needs a deployment."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from shiftlog import hours
from shiftlog.cli import render
from shiftlog.cli.render import FrameFormat

Out = Annotated[
    Path | None, typer.Option("--output", "-o", help="The file to write; it appears whole or not at all.", show_default="stdout")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this subject."""
    for command in (decode, encode, schema, simulate):
        app.command()(command)


def decode(
    files: Annotated[list[Path], typer.Argument(help="Published files, ours or the original service's.")],
    format_: Annotated[FrameFormat, typer.Option("--format", help="What to write.")] = FrameFormat.NDJSON,
    output: Out = None,
) -> None:
    """Turn published files into flat events, one row an event, with their session's id, start and end.

    Example: `shiftlog decode Agent.1461387600000.1461391200000.part-00000-0.gz --format csv`
    """
    import polars as pl

    from shiftlog import container
    from shiftlog.events import FLAT

    with render.progress("bytes") as bar:
        task = bar.add_task("decoding", total=sum(path.stat().st_size for path in files if path.is_file()))
        frames = []
        for path in files:
            flat = container.read(path)
            frames.append(flat.filter(pl.col("eventIndex").is_not_null()).select(FLAT.keys()))
            bar.advance(task, path.stat().st_size)
    with render.output(output) as target:
        render.frame(pl.concat(frames), format_, target)


def encode(
    files: Annotated[list[str], typer.Argument(help="Flat events, as ingest takes them; - is standard input.")],
    account: Annotated[str, typer.Option(help="The account.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .gz file to write.", show_default=False)],
    schema_version: Annotated[str | None, typer.Option(help="The schema version.", show_default="1.0.0.4")] = None,
) -> None:
    """Fold flat events into sessions, and write them as a published file. Open sessions are written as they stand.

    Example: `shiftlog encode events.ndjson --account 75555851 -o sessions.gz`
    """
    import polars as pl

    from shiftlog import container, intake, schema, sessions
    from shiftlog.events import ACCEPTED
    from shiftlog.settings import Settings

    version = schema.DEFAULT if schema_version is None else schema_version
    schema.schema(version)
    now = int(time.time() * 1000)
    with render.progress("bytes") as bar:
        task = bar.add_task("reading", total=sum(Path(name).stat().st_size for name in files if Path(name).is_file()))
        frames = [frame for name in files for frame in intake.read(name, account=account, now=now, on_bytes=lambda n: bar.advance(task, n))]
    sent = pl.concat(frames).with_columns(receivedAt=pl.lit(now), position=pl.int_range(pl.len(), dtype=pl.Int64)).select(ACCEPTED.keys())
    folded = sessions.fold(sessions.foldable(sent), account=account, timeout=Settings().session_timeout)
    with render.output(output) as target:
        target.write(container.pack(folded, account=account, version=version))


def schema(version: Annotated[str, typer.Argument(help="A schema version, or latest.")] = "latest") -> None:
    """Print the Avro schema of published documents.

    Example: `shiftlog schema 1.0.0.4`
    """
    import json

    from shiftlog import schema as schemas

    render.line(json.dumps(schemas.schema(version), indent=2))


def simulate(
    account: Annotated[str, typer.Option(help="The account.", show_default=False)],
    agents: Annotated[int, typer.Option(help="How many agents.", min=1)] = 200,
    days: Annotated[int, typer.Option(help="How many days.", min=1)] = 1,
    start: Annotated[str | None, typer.Option(help="The centre's first midnight (ISO).", show_default="yesterday's, UTC")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.", min=0)] = 1,
    late: Annotated[float, typer.Option(help="The share of events that arrive hours late.", min=0, max=1)] = 0.0,
    repeat: Annotated[float, typer.Option(help="The share of events that arrive twice.", min=0, max=1)] = 0.0,
    no_logout: Annotated[float, typer.Option(help="The share of sessions whose logout never comes.", min=0, max=1)] = 0.02,
    session_ids: Annotated[bool, typer.Option("--session-ids", help="Give every event its session's id.")] = False,
    output: Out = None,
) -> None:
    """Simulate a contact centre: its events as NDJSON, in the order in which they would arrive.

    Example: `shiftlog simulate --account A --agents 300 --days 7 --start 2026-03-02 --seed 7 -o week.ndjson`
    """
    from shiftlog.simulate import Centre, to_ndjson

    first = hours.parse(start) if start else (int(time.time() * 1000) // hours.DAY - 1) * hours.DAY
    centre = Centre(account, agents, days, first, seed, late, repeat, no_logout, session_ids)
    events = 0
    with render.output(output) as target, render.progress("events") as bar:
        task = bar.add_task("events simulated", total=None)
        for block in centre.arrivals():
            target.write(to_ndjson(block))
            events += block.height
            bar.advance(task, block.height)
    sys.stderr.write(f"{events} events of {agents} agents\n")
