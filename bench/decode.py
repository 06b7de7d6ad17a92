"""A published part to a frame of events: against readers of JSON that users have, on one core."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import data
from measure import Contestant, Figures, Question, Scene, Target, Work, of

if TYPE_CHECKING:
    import polars as pl

_EVENTS = 500_000
_OURS, _DUCKDB, _ARROW, _POLARS, _LIMIT = "shiftlog", "DuckDB read_json", "pyarrow.json", "Polars read_ndjson", "inflate alone"
_PEERS = (_DUCKDB, _ARROW, _POLARS)
_TEXTS = ("agentEmployeeId", "agentUsername", "agentNickname", "agentLoginname")
_FIELDS = (
    *("agentID", "type", "state", "timestamp", "prevState"),
    *_TEXTS,
    *("prevConcurrentEng", "concurrentEng", "maxConcurrentEng", "agentGroupID", "userProfileIDs"),
)
_ACTIVITY, _HEADER = "com.liveperson.dataaccess.AgentActivityData", "com.liveperson.dataaccess.AgentHeader"


def _branch(name: str) -> str:
    """The name of the type under which a field's value stands."""
    return "array" if name == "userProfileIDs" else "string" if name in _TEXTS else "long"


# ── the data ──


def _data(size: float) -> Path:
    return data.made("part", size, lambda directory: _make(directory, round(_EVENTS * size)))


def _make(directory: Path, count: int) -> dict[str, float]:
    """One part of so many events, as the publisher makes it."""
    import polars as pl

    from shiftlog import container
    from shiftlog.events import ACCEPTED
    from shiftlog.sessions import fold, foldable

    events = data.events(count)
    landed = {"receivedAt": pl.col("timestamp"), "position": pl.int_range(pl.len(), dtype=pl.Int64)}
    accepted = events.with_columns(**landed).select(ACCEPTED.keys())
    folded = fold(foldable(accepted), account=data.ACCOUNT, timeout=data.DAY)
    text = container.encode(folded, account=data.ACCOUNT)
    (directory / "part.gz").write_bytes(container.compress(text))
    return {"events": folded.height, "text_mb": len(text) / 1e6}


# ── ours ──


def _ours(scene: Scene) -> Work:
    from shiftlog import container

    return lambda: container.read(scene.data / "part.gz")


# ── DuckDB ──


def _duckdb(scene: Scene) -> Work:
    """Into an Arrow table, with the columns said beforehand, so that nothing has to be found out."""
    import duckdb

    connection = duckdb.connect(config={"threads": 1})
    query = flattened(str(scene.data / "part.gz"))
    return lambda: connection.sql(query).to_arrow_table()


def flattened(files: str, *, named: bool = False) -> str:
    """The events of files of documents, in DuckDB's SQL; with `named`, the file's path as `filename` beside each."""
    types = {"long": "BIGINT", "string": "VARCHAR", "array": "BIGINT[]"}
    event = ", ".join(f'"{name}" STRUCT("{_branch(name)}" {types[_branch(name)]})' for name in _FIELDS)
    header = f'header STRUCT("{_HEADER}" STRUCT(agentSessionId STRUCT(string VARCHAR)))'
    record = f'STRUCT(body STRUCT("{_ACTIVITY}" STRUCT({header}, agentSessionsData STRUCT("array" STRUCT({event})[]))))[]'
    columns = {"metaData": 'STRUCT("startTime" STRUCT(long BIGINT), "endTime" STRUCT(long BIGINT))', "recordCollection": record}
    fields = ", ".join(f'event."{name}"."{_branch(name)}" AS "{name}"' for name in _FIELDS)
    name, option = (", filename", ", filename = true") if named else ("", "")
    return f"""
    SELECT id AS "agentSessionId", began AS "sessionStartTime", ended AS "sessionEndTime", (i - 1)::INTEGER AS "eventIndex", {fields}{name}
    FROM (
      SELECT data.header."{_HEADER}"."agentSessionId".string AS id, began, ended, unnest(data."agentSessionsData"."array") AS event,
        generate_subscripts(data."agentSessionsData"."array", 1) AS i{name}
      FROM (
        SELECT unnest("recordCollection").body."{_ACTIVITY}" AS data,
          "metaData"."startTime".long AS began, "metaData"."endTime".long AS ended{name}
        FROM read_json('{files}', format = 'newline_delimited', maximum_object_size = 67108864, columns = {columns!r}{option})
      )
    )"""


# ── pyarrow ──


def _arrow(scene: Scene) -> Work:
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import json

    types = {"long": pa.int64(), "string": pa.string(), "array": pa.list_(pa.int64())}
    event = pa.struct([(name, pa.struct([(_branch(name), types[_branch(name)])])) for name in _FIELDS])
    identity = pa.struct([(_HEADER, pa.struct([("agentSessionId", pa.struct([("string", pa.string())]))]))])
    activity = pa.struct([("header", identity), ("agentSessionsData", pa.struct([("array", pa.list_(event))]))])
    record = pa.struct([("body", pa.struct([(_ACTIVITY, activity)]))])
    long = pa.struct([("long", pa.int64())])
    schema = pa.schema([("metaData", pa.struct([("startTime", long), ("endTime", long)])), ("recordCollection", pa.list_(record))])
    parse = json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    read = json.ReadOptions(use_threads=False, block_size=8 << 20)

    def work() -> Any:
        documents = json.read_json(scene.data / "part.gz", read_options=read, parse_options=parse)
        return pa.Table.from_batches([flat(batch) for batch in documents.to_batches()])

    def flat(batch: Any) -> Any:
        records = batch["recordCollection"]
        document = pc.list_parent_indices(records)
        data_ = pc.struct_field(records.flatten(), ["body", _ACTIVITY])
        lists = pc.struct_field(data_, ["agentSessionsData", "array"])
        session, events = pc.list_parent_indices(lists), lists.flatten()
        meta = batch["metaData"].take(document).take(session)
        first = pc.subtract(lists.offsets, lists.offsets[0]).cast(pa.int64()).slice(0, len(lists)).take(session)
        index = pc.subtract(pa.array(range(len(events)), pa.int64()), first).cast(pa.int32())
        columns = {
            "agentSessionId": pc.struct_field(data_, ["header", _HEADER, "agentSessionId", "string"]).take(session),
            "sessionStartTime": pc.struct_field(meta, ["startTime", "long"]),
            "sessionEndTime": pc.struct_field(meta, ["endTime", "long"]),
            "eventIndex": index,
            **{name: pc.struct_field(events, [name, _branch(name)]) for name in _FIELDS},
        }
        return pa.record_batch(columns)

    return work


# ── Polars ──


def _polars(scene: Scene) -> Work:
    """The documents' schema said beforehand; their gzip is Polars' to undo."""
    import polars as pl

    types: dict[str, pl.DataType] = {"long": pl.Int64(), "string": pl.String(), "array": pl.List(pl.Int64)}
    event = pl.Struct({name: pl.Struct({_branch(name): types[_branch(name)]}) for name in _FIELDS})
    header = pl.Struct({_HEADER: pl.Struct({"agentSessionId": pl.Struct({"string": pl.String})})})
    activity = pl.Struct({"header": header, "agentSessionsData": pl.Struct({"array": pl.List(event)})})
    long = pl.Struct({"long": pl.Int64})
    schema = {
        "metaData": pl.Struct({"startTime": long, "endTime": long}),
        "recordCollection": pl.List(pl.Struct({"body": pl.Struct({_ACTIVITY: activity})})),
    }

    def at(root: str, *path: str) -> pl.Expr:
        found = pl.col(root)
        for name in path:
            found = found.struct.field(name)
        return found

    def work() -> pl.DataFrame:
        documents = pl.read_ndjson(scene.data / "part.gz", schema=schema)
        sessions = documents.explode("recordCollection").select(
            at("recordCollection", "body", _ACTIVITY, "header", _HEADER, "agentSessionId", "string").alias("agentSessionId"),
            at("metaData", "startTime", "long").alias("sessionStartTime"),
            at("metaData", "endTime", "long").alias("sessionEndTime"),
            at("recordCollection", "body", _ACTIVITY, "agentSessionsData", "array").alias("event"),
        )
        numbered = sessions.with_columns(pl.int_ranges(0, pl.col("event").list.len(), dtype=pl.Int32).alias("eventIndex"))
        rows = numbered.explode("event", "eventIndex")
        return rows.select(
            *("agentSessionId", "sessionStartTime", "sessionEndTime", "eventIndex"),
            *(at("event", name, _branch(name)).alias(name) for name in _FIELDS),
        )

    return work


# ── the limit ──


def _limit(scene: Scene) -> Work:
    """Into one reused buffer, which is three times as fast as a new one for each piece."""
    from isal import igzip

    buffer = bytearray(8 << 20)

    def work() -> int:
        text = 0
        with igzip.open(scene.data / "part.gz") as file:
            while got := file.readinto(buffer):
                text += got
        return text

    return work


# ── what they come to ──


def _rows(result: Any, _: Scene) -> pl.DataFrame:
    """The 18 columns, in one order of columns and rows."""
    import polars as pl

    frame = pl.DataFrame(result).select("agentSessionId", "sessionStartTime", "sessionEndTime", "eventIndex", *_FIELDS)
    return frame.sort("agentSessionId", "eventIndex")


def _times_best(figures: Figures) -> float:
    """The events a second, times the best of the peers that are there."""
    return figures[_OURS]["rate"] / max(figures[peer]["rate"] for peer in _PEERS if peer in figures)


QUESTION = Question(
    title="Decoding",
    text="One part (`.gz`, the documents of the Data Access API) becomes a frame of events: 18 columns, one row an event, equal for all "
    "contestants. Each is bound to one core. The peers are told the schema and read nothing that is not asked for; ours checks beside it "
    "that nothing was misread. Inflate alone is the limit of them all.",
    data=_data,
    contestants=[
        Contestant(_OURS, _ours, outcome=_rows, cores=1),
        Contestant(_DUCKDB, _duckdb, outcome=_rows, needs="duckdb", cores=1),
        Contestant(_ARROW, _arrow, outcome=_rows, needs="pyarrow", cores=1),
        Contestant(_POLARS, _polars, outcome=_rows, cores=1),
        Contestant(_LIMIT, _limit, needs="isal", cores=1),
    ],
    targets=[
        Target(
            "events a second, times the best peer's",
            _times_best,
            least=3,
        ),
        Target(
            "seconds, times those of inflate alone",
            lambda figures: of(_OURS, "seconds")(figures) / of(_LIMIT, "seconds")(figures),
            most=7,
            missed="of half a second, inflating takes 0.06, putting the text together and looking for its documents 0.09, the kernel "
            "0.1, and the frame the rest: its 136 MB are new memory. Without the compiled kernel arrow-rs reads, and takes 27 times as "
            "long as inflating.",
        ),
    ],
)
