"""`tap-shiftlog`: a Singer tap (hub.meltano.com/singer/spec), so that pipelines load published files into any target.

    tap-shiftlog --config config.json [--discover] [--catalog catalog.json] [--state state.json]

The configuration names a profile (`{"profile": "profile.json"}`), or has its members; `start_date` bounds the generated time.
Streams: `files`, one record a published file; `sessions`, one a session of a file, so that a target that upserts by key holds the
latest; `events`, one an event of every revision. The state moves
every some files, in the order of generated time.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import polars as pl

from shiftlog import container, hours
from shiftlog.client.answers import File
from shiftlog.client.checkpoint import LOOK_BACK, look
from shiftlog.client.convert import fingerprint
from shiftlog.client.http import Client
from shiftlog.client.profile import Profile
from shiftlog.errors import Invalid, Missing, ShiftlogError
from shiftlog.events import FLAT

_TYPES = {pl.Int64(): "integer", pl.Int32(): "integer", pl.String(): "string", pl.Boolean(): "boolean"}
_FILES = 50  # after so many files the state is written: what is loaded again after a failure is less than that
_STATED: dict[str, pl.DataType] = {"account": pl.String(), "revision": pl.Int32(), "part": pl.String()}


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream: its columns, and those by which a record is known."""

    name: str
    columns: dict[str, pl.DataType]
    keys: tuple[str, ...]

    def schema(self, columns: Sequence[str]) -> dict[str, Any]:
        """The JSON Schema of records with these columns. Times are epoch milliseconds."""
        return {"type": "object", "properties": {name: self._property(name, self.columns[name]) for name in columns}}

    def _property(self, name: str, dtype: pl.DataType) -> dict[str, Any]:
        nullable: list[str] = [] if name in self.keys else ["null"]
        if isinstance(dtype, pl.List):
            return {"type": [*nullable, "array"], "items": {"type": "integer"}}
        return {"type": [*nullable, _TYPES[dtype]]}

    @property
    def entry(self) -> dict[str, Any]:
        """What a catalog says of it."""
        about = {"inclusion": "available", "selected-by-default": True, "table-key-properties": list(self.keys)}
        columns = [
            {"breadcrumb": ["properties", name], "metadata": {"inclusion": "automatic" if name in self.keys else "available"}}
            for name in self.columns
        ]
        return {
            "tap_stream_id": self.name,
            "stream": self.name,
            "key_properties": list(self.keys),
            "schema": self.schema(list(self.columns)),
            "metadata": [{"breadcrumb": [], "metadata": {**about, "forced-replication-method": "INCREMENTAL"}}, *columns],
        }


FILES = Stream(
    "files",
    {
        "name": pl.String(),
        "account": pl.String(),
        **dict.fromkeys(("scopeStart", "scopeEnd", "part", "revision"), pl.Int64()),
        "bytes": pl.Int64(),
        "sha256": pl.String(),
        **dict.fromkeys(("sessions", "withdrawals", "events"), pl.Int64()),
    },
    ("name",),
)
SESSIONS = Stream(
    "sessions",
    {
        **{name: FLAT[name] for name in ("agentSessionId", "agentID", "sessionStartTime", "sessionEndTime")},
        "events": pl.Int64(),
        "withdrawn": pl.Boolean(),
        **_STATED,
    },
    ("agentSessionId",),
)
EVENTS = Stream("events", {**FLAT, **_STATED}, ("agentSessionId", "revision", "eventIndex"))
STREAMS = (FILES, SESSIONS, EVENTS)


# ── what is wanted ──

Selection = dict[str, list[str]]


def selected(catalog: dict[str, Any] | None) -> Selection:
    """The columns of each stream that a catalog selects; all without one, or where it says nothing.

    Raises:
        Invalid: a stream that there is not.
    """
    if catalog is None:
        return {stream.name: list(stream.columns) for stream in STREAMS}
    known = {stream.name: stream for stream in STREAMS}
    chosen: Selection = {}
    for entry in catalog.get("streams", []):
        name = entry.get("tap_stream_id")
        if name not in known:
            raise Invalid(f"the catalog has a stream {name!r}; there are {', '.join(known)}")
        said = {tuple(item["breadcrumb"]): item["metadata"].get("selected") for item in entry.get("metadata", [])}
        if said.get(()) is not False:
            stream = known[name]
            chosen[name] = [column for column in stream.columns if column in stream.keys or said.get(("properties", column)) is not False]
    return chosen


class Bookmark(msgspec.Struct, frozen=True):
    """Where a stream stands: the checkpoint (epoch ms), and the files from there on that were taken already."""

    cursor: int | None = None
    taken: tuple[str, ...] = ()


class State(msgspec.Struct):
    """Each stream's bookmark."""

    bookmarks: dict[str, Bookmark] = {}


# ── the tap ──


class Tap:
    """Writes the messages of the selected streams to `out`."""

    def __init__(self, client: Client, out: BinaryIO, *, since: int | None = None) -> None:
        self._client, self._out, self._since = client, out, since

    def sync(self, chosen: Selection, state: State, now: int) -> None:
        """All that is new, by stream; streams that stand at the same place are read together."""
        for stream in STREAMS:
            if stream.name in chosen:
                schema = stream.schema(chosen[stream.name])
                self._write({"type": "SCHEMA", "stream": stream.name, "schema": schema, "key_properties": list(stream.keys)})
        places: dict[Bookmark, Selection] = {}
        for name, columns in chosen.items():
            places.setdefault(state.bookmarks.get(name, Bookmark()), {})[name] = columns
        for place, together in places.items():
            self._sync(together, place, state, now)

    def _sync(self, chosen: Selection, place: Bookmark, state: State, now: int) -> None:
        begun = place.cursor is not None
        found = look(self._client, place.cursor if begun else self._since, now=now, look_back=LOOK_BACK if begun else 0)
        taken = dict.fromkeys(place.taken)
        for number, (name, file) in enumerate((item for item in found.files.items() if item[0] not in taken), 1):
            for stream, record in self._records(file, chosen):
                self._write({"type": "RECORD", "stream": stream, "record": record})
            taken[name] = None
            if number % _FILES == 0:
                self._stand(chosen, Bookmark(place.cursor, tuple(taken)), state)
        # A server that does not say how far it reaches will be asked further back, and tell of some of these again.
        self._stand(chosen, Bookmark(found.cursor, () if found.exact else tuple(found.files)), state)

    def _stand(self, chosen: Selection, place: Bookmark, state: State) -> None:
        state.bookmarks |= dict.fromkeys(chosen, place)
        self._write({"type": "STATE", "value": msgspec.to_builtins(state)})

    def _records(self, file: File, chosen: Selection) -> Iterator[tuple[str, dict[str, Any]]]:
        """What a file gives to each stream."""
        with tempfile.TemporaryDirectory(prefix="shiftlog-") as directory:
            path = self._client.download(file, Path(directory))
            size, checksum = fingerprint(path)
            rows = container.decode(path, name=str(file.name))
        stated = {"account": self._client.account, "revision": file.name.revision, "part": str(file.name)}
        rows = rows.with_columns(
            pl.lit(value, dtype).alias(name) for (name, value), dtype in zip(stated.items(), _STATED.values(), strict=True)
        )
        events, sessions = rows.filter(pl.col("eventIndex").is_not_null()), _sessions(rows)
        about = {
            "name": str(file.name),
            "account": self._client.account,
            "scopeStart": file.name.start,
            "scopeEnd": file.name.end,
            "part": file.name.part,
            "revision": file.name.revision,
            "bytes": size,
            "sha256": checksum,
            "sessions": sessions.filter(~pl.col("withdrawn")).height,
            "withdrawals": sessions.filter("withdrawn").height,
            "events": events.height,
        }
        frames = {"files": pl.DataFrame([about], schema=FILES.columns), "sessions": sessions, "events": events}
        for stream, columns in chosen.items():
            for record in frames[stream].select(columns).iter_rows(named=True):
                yield stream, record

    def _write(self, message: dict[str, Any]) -> None:
        self._out.write(msgspec.json.encode(message) + b"\n")
        if message["type"] == "STATE":
            self._out.flush()


def _sessions(rows: pl.DataFrame) -> pl.DataFrame:
    """One row a session of a file; one without events is withdrawn."""
    times = pl.col("agentID", "sessionStartTime", "sessionEndTime", *_STATED).first()
    events = pl.col("eventIndex").count().cast(pl.Int64).alias("events")
    return (
        rows.group_by("agentSessionId", maintain_order=True)
        .agg(times, events)
        .with_columns((pl.col("events") == 0).alias("withdrawn"))
        .select(SESSIONS.columns.keys())
    )


# ── the command ──


def main() -> None:
    """Run the tap, and end with its exit code."""
    try:
        run(sys.argv[1:], sys.stdout.buffer)
    except ShiftlogError as error:
        sys.stderr.write(f"CRITICAL tap-shiftlog: {error}\n")
        sys.exit(1)
    except BrokenPipeError:
        # The target is gone, and the pipeline fails by that.
        sys.exit(1)


def run(arguments: Sequence[str], out: BinaryIO) -> None:
    """Discover, or sync.

    Raises:
        Invalid, Missing: a file of the command line is not there, or not what it should be.
        ShiftlogError: as the client does; what was written before counts, and its last state is where to go on.
    """
    parser = argparse.ArgumentParser("tap-shiftlog", description="Singer tap for published files of agent activity.")
    parser.add_argument(
        "-c", "--config", type=Path, required=True, help='{"profile": "profile.json"}, or the members of a profile; start_date'
    )
    parser.add_argument("-d", "--discover", action="store_true", help="print the catalog")
    parser.add_argument("--catalog", "--properties", "-p", type=Path, help="the catalog; without it, all streams")
    parser.add_argument("-s", "--state", type=Path, help="the state of the run before")
    given = parser.parse_args(arguments)
    if given.discover:
        out.write(msgspec.json.format(msgspec.json.encode({"streams": [stream.entry for stream in STREAMS]})) + b"\n")
        return
    config = _read(given.config, dict[str, Any])
    chosen = selected(None if given.catalog is None else _read(given.catalog, dict[str, Any]))
    state = State() if given.state is None else _read(given.state, State)
    since = hours.parse(config["start_date"]) if config.get("start_date") else None
    with Client(_profile(config, given.config)) as client:
        Tap(client, out, since=since).sync(chosen, state, time.time_ns() // 1_000_000)


def _profile(config: dict[str, Any], path: Path) -> Profile:
    named = config.get("profile")
    if named is not None and not isinstance(named, str):
        raise Invalid(f"{path}: profile is not the path of a file")
    # As the environment does, the configuration overrides the file.
    members = {f"SHIFTLOG_{name.upper()}": value for name, value in config.items() if isinstance(value, str)}
    return Profile.load(None if named is None else path.parent / named, {**members, **os.environ})


def _read(path: Path, type_: Any) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes(), type=type_)
    except OSError as error:
        raise Missing(f"{path} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} is not what it should be: {error}") from None
