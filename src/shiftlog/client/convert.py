"""A published file as a file of the lake: proved, decoded, and written as Parquet. Equal rows give equal bytes."""

from __future__ import annotations

import os
from hashlib import file_digest, sha256
from pathlib import Path
from typing import NamedTuple

import msgspec
import polars as pl

from shiftlog import container, lake
from shiftlog.client import narrow
from shiftlog.client.answers import ManifestPart
from shiftlog.errors import Damaged
from shiftlog.events import FLAT
from shiftlog.lake import SCHEMA, Kept, Source
from shiftlog.names import PartName

_ID, _INDEX = pl.col("agentSessionId"), pl.col("eventIndex")


class Written(NamedTuple):
    """A Parquet file and what it holds; the fields are those of `lake.Kept`."""

    bytes: int
    sha256: str
    sessions: int
    events: int
    min_timestamp: int | None
    max_timestamp: int | None


def convert(name: PartName, gz: Path, target: Path, *, account: str, proof: ManifestPart | None) -> Kept:
    """Write the events of a published file to `target`; memory holds this one file. May be called from several threads at once.

    The file is proved first: by the manifest where there is one, and always by decoding all of it.

    Raises:
        Damaged: the file is not what it should be, or another account's.
    """
    size, checksum = fingerprint(gz)
    if proof is not None and (size, checksum) != (proof.bytes, proof.sha256):
        raise Damaged(f"{name}: found {size} bytes with SHA-256 {checksum}; the manifest says {proof.bytes} with {proof.sha256}")
    rows = _decoded(name, gz, account)
    kept = _kept(name, rows, _events(name, rows), target, account, size, checksum)
    _check_counts(name, kept.source, proof)
    return kept


def taken(name: PartName, parquet: Path, target: Path, *, account: str, proof: ManifestPart) -> Kept:
    """Write the events of a part to `target`, from its `.parquet`: the same rows in the same bytes as `convert` writes.

    The file is proved by the manifest; its `.gz` is not looked at, and is what the manifest says of it. Where columns only have to be
    left out, rows are not looked at either.

    Raises:
        Damaged: the file is not what it should be.
    """
    data = parquet.read_bytes()
    checksum = sha256(data).hexdigest()
    if checksum != proof.parquet_sha256:
        raise Damaged(f"{name}.parquet: found SHA-256 {checksum}; the manifest says {proof.parquet_sha256}")
    if proof.withdrawals == 0 and (narrower := narrow.narrowed(data, proof.events)) is not None:
        target.write_bytes(narrower)
        return _signed(name, narrower, proof, account)
    try:
        rows = pl.read_parquet(data, columns=[*SCHEMA], hive_partitioning=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise Damaged(f"{name}.parquet cannot be read ({str(error).splitlines()[0]}); tell the server's operator") from None
    if dict(rows.schema) != SCHEMA:
        raise Damaged(f"{name}.parquet has other columns than a part has; tell the server's operator")
    kept = _kept(name, rows, _with_event(rows), target, account, proof.bytes, proof.sha256)
    _check_counts(name, kept.source, proof)
    return kept


def _signed(name: PartName, file: bytes, proof: ManifestPart, account: str) -> Kept:
    """A file that has all rows of a part, whose counts and times are signed as its `.parquet` is."""
    return Kept(
        name=str(name),
        path=lake.events_path(account, name, 0),
        bytes=len(file),
        sha256=sha256(file).hexdigest(),
        sessions=proof.sessions,
        events=proof.events,
        min_timestamp=proof.min_timestamp,
        max_timestamp=proof.max_timestamp,
        superseded=0,
        withdrawn=(),
        source=Source(proof.bytes, proof.sha256, proof.sessions, proof.withdrawals, proof.events),
    )


def _kept(name: PartName, rows: pl.DataFrame, events: pl.DataFrame, target: Path, account: str, size: int, checksum: str) -> Kept:
    """Write the events of a part; `size` and `checksum` are those of its `.gz`, and among `rows` are the withdrawn sessions."""
    withdrawn = rows.filter(_INDEX.is_null())["agentSessionId"] if len(rows) > len(events) else ()
    written = write(events, target)
    return Kept(
        name=str(name),
        path=lake.events_path(account, name, 0),
        superseded=0,
        withdrawn=tuple(sorted(set(withdrawn))),
        source=Source(size, checksum, written.sessions, len(withdrawn), written.events),
        **written._asdict(),
    )


def published(name: PartName, gz: Path, *, account: str) -> pl.DataFrame:
    """The events of a published file as a file of the lake has them.

    Raises:
        Damaged: the file is not what it should be, or another account's.
    """
    return _events(name, _decoded(name, gz, account))


def _decoded(name: PartName, gz: Path, account: str) -> pl.DataFrame:
    rows = container.decode(gz, name=str(name))
    _check_account(name, rows, account)
    return rows


def _events(name: PartName, rows: pl.DataFrame) -> pl.DataFrame:
    return _with_event(rows).select(*FLAT, revision=pl.lit(name.revision, pl.Int32), part=pl.lit(str(name)))


def _with_event(rows: pl.DataFrame) -> pl.DataFrame:
    """Without the rows of withdrawn sessions, which most parts have none of."""
    return rows.filter(_INDEX.is_not_null()) if rows["eventIndex"].has_nulls() else rows


def without(kept: Kept, path: Path, gone: set[str], directory: Path, *, account: str) -> tuple[Kept, Path]:
    """A file of the lake without some of its sessions, written to `directory`.

    Raises:
        Damaged: the file cannot be read.
    """
    superseded = kept.superseded + len(gone)
    target = directory / f"{kept.name}.minus-{superseded}.parquet"
    written = write(rows(path).filter(~_ID.is_in(sorted(gone))), target)
    place = lake.events_path(account, kept.part, superseded)
    return msgspec.structs.replace(kept, path=place, superseded=superseded, **written._asdict()), target


def write(frame: pl.DataFrame, target: Path) -> Written:
    """Write the rows of a file of the lake."""
    data = narrow.written(frame)
    target.write_bytes(data)
    ids, times = frame["agentSessionId"], frame["timestamp"]
    return Written(len(data), sha256(data).hexdigest(), ids.n_unique(), frame.height, times.min(), times.max())  # type: ignore[arg-type]


def rows(path: Path) -> pl.DataFrame:
    """The rows of a file of the lake.

    Raises:
        Damaged: it cannot be read, or has other columns.
    """
    try:
        frame = pl.read_parquet(path, hive_partitioning=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise Damaged(f"{path} cannot be read ({str(error).splitlines()[0]}); shiftlog pull --repair fetches it again") from None
    if dict(frame.schema) != SCHEMA:
        raise Damaged(f"{path} has other columns than a file of a lake; shiftlog pull --repair fetches it again")
    return frame


def fingerprint(path: Path) -> tuple[int, str]:
    """Bytes and SHA-256 of a file."""
    with path.open("rb") as file:
        return os.fstat(file.fileno()).st_size, file_digest(file, "sha256").hexdigest()


def _check_account(name: PartName, frame: pl.DataFrame, account: str) -> None:
    ids = frame["accountId"]
    if (ids == account).all():  # null is not asked
        return
    others = sorted(set(ids.drop_nulls()) - {account})
    if others:
        raise Damaged(f"{name} holds sessions of account {', '.join(others)[:100]}, not of {account}; tell the server's operator")


def _check_counts(name: PartName, found: Source, proof: ManifestPart | None) -> None:
    if proof is None:
        return
    counts, said = ((of.sessions, of.withdrawals, of.events) for of in (found, proof))
    if counts != said:
        raise Damaged(f"{name} holds {counts} sessions, withdrawals and events; the manifest says {said}; tell the server's operator")
