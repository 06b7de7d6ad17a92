"""What a reader of the published files does: takes every file, keeps the highest revision of each session, drops withdrawals."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from shiftlog import container, lake
from shiftlog.catalog import Catalog, parts, publishing
from shiftlog.catalog.parts import Part
from shiftlog.house import House
from shiftlog.landing import Landing
from shiftlog.lease import Worker
from shiftlog.publish import publish


def land(house: House, events: pl.DataFrame, account: str = "A") -> None:
    """Accept events through a landing of their own."""
    landing = Landing(house)
    try:
        landing.accept(account, events)
    finally:
        landing.close()


def publish_at(house: House, now: int, account: str = "A") -> Sequence[Part]:
    """Publish as if it were `now` (epoch ms)."""
    with Worker(house) as worker:
        return publish(worker, account, now=now)


_LINK = ("sequence", "name", "schemaVersion", "bytes", "sha256", "parquetSha256", "sessions", "withdrawals", "events")


def unchained(manifest: dict[str, Any], previous: str = "0" * 64) -> list[str]:
    """What is wrong with the chain of a whole manifest, checked with nothing but PROTOCOL's words, SHA-256 and Ed25519."""
    account, wrong = manifest["accountId"], []
    public: dict[str, Ed25519PublicKey] = {}

    def check(key: str, signature: str, text: str, what: str) -> None:
        try:
            public[key].verify(bytes.fromhex(signature), text.encode())
        except (KeyError, InvalidSignature):
            wrong.append(what)

    for number, key in enumerate(manifest["keys"]):
        if number:
            check(key["signedBy"], key["signature"], f"shiftlog-key-1\n{account}\n{key['public']}\n", f"key {number}")
        if key["id"] != hashlib.sha256(bytes.fromhex(key["public"])).hexdigest()[:16]:
            wrong.append(f"id of key {number}")
        public[key["id"]] = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key["public"]))
    for part in manifest["parts"]:
        times = ["-" if part[name] is None else part[name] for name in ("minTimestamp", "maxTimestamp")]
        lines = ["shiftlog-link-1", account, previous, *(part[name] for name in _LINK), *times]
        previous = hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
        if previous != part["link"]:
            wrong.append(part["name"])
        if (gone := part["removed"]) is not None:
            text = f"shiftlog-removed-1\n{account}\n{part['sequence']}\n{previous}\n{gone['reason']}\n{part['deleted']}\n"
            check(gone["key"], gone["signature"], text, f"removal of {part['name']}")
        elif part["deleted"] is not None:
            wrong.append(f"{part['name']} has no reason")
    if (head := manifest["head"]) is not None:
        check(head["key"], head["signature"], f"shiftlog-head-1\n{account}\n{head['sequence']}\n{head['link']}\n", "head")
        if head["link"] != previous:
            wrong.append("head is not the last link")
    return wrong


class CatalogAt(Catalog):
    """A catalog whose clock stands at an instant."""

    def __init__(self, engine: sa.Engine, instant: int) -> None:
        super().__init__(engine)
        self.instant = instant

    def now(self, conn: sa.Connection | None = None) -> int:
        return self.instant


def at(house: House, instant: int) -> House:
    """The same deployment when the clock shows `instant` (epoch ms)."""
    return replace(house, catalog=CatalogAt(house.catalog.engine, instant))


def all_parts(house: House, account: str = "A") -> list[Part]:
    with house.catalog.read() as conn:
        return list(parts.manifest(conn, account, now=house.catalog.now() + 60_000, after=0, limit=1_000_000))


def every_row(house: House, account: str = "A", suffix: str = "gz") -> pl.DataFrame:
    """The rows of all files, with their part's scope, number and revision; from the wire files or from the twins."""
    frames = []
    for part in all_parts(house, account):
        if part.gz_gone is not None:
            continue
        if suffix == "gz":
            rows = container.decode(house.store.get(part.gz_key), name=str(part.name))
        else:
            rows = pl.read_parquet(house.store.source(part.twin_key)).drop("revision")
        frames.append(rows.with_columns(scope=pl.lit(part.scope_start), revision=pl.lit(part.revision)))
    return pl.concat(frames, how="diagonal_relaxed")


def lake_of(house: House, into: Path, account: str = "A") -> Path:
    """A lake of what is published, as a pull leaves it; no part may have a revision."""
    kept = []
    for part in all_parts(house, account):
        path = lake.events_path(account, part.name, 0)
        (into / path).parent.mkdir(parents=True, exist_ok=True)
        pl.read_parquet(house.store.source(part.twin_key)).select(lake.SCHEMA.keys()).write_parquet(into / path)
        published = lake.Source(part.gz_bytes, part.gz_sha256, part.sessions, 0, part.events)
        what = (part.gz_bytes, "", part.sessions, part.events, part.min_timestamp, part.max_timestamp)
        kept.append(lake.Kept(str(part.name), path, *what, 0, (), published))
    with house.catalog.read() as conn:
        watermark = publishing.state(conn, account).watermark
    lake.write(into, lake.Snapshot(account=account, watermark=watermark, files=tuple(kept)))
    return into


def standing(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of sessions as they stand: highest revision, no withdrawals."""
    latest = rows.filter(pl.col("revision") == pl.col("revision").max().over("agentSessionId"))
    return latest.filter(pl.col("eventIndex").is_not_null())


def sessions(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Each session as a dict: id, scope, revision, end, and its events' timestamps; ordered by first timestamp."""
    groups = rows.sort("agentSessionId", "eventIndex").group_by("agentSessionId", maintain_order=True)
    found = groups.agg(
        pl.col("agentID", "scope", "revision", "sessionEndTime").first(), pl.col("timestamp").alias("times"), pl.col("timestamp").first()
    )
    return found.sort("timestamp", "agentID").drop("timestamp").to_dicts()
