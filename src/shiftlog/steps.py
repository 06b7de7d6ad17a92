"""The steps of a publishing run: deal what has landed to shares of the agents, where there are several; fold a share; write a part.
Functions of plain data, for an engine to run anywhere.

They reach the store, and never the catalog: what they need to know from there is handed to them, and what should be written
there is handed back (docs/decisions/0004). Each may be run twice, or given up halfway: what it writes has a key of its own every time.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeAlias

import polars as pl

from shiftlog import container, landing
from shiftlog.catalog.batches import Batch
from shiftlog.catalog.parts import NewPart
from shiftlog.events import ACCEPTED
from shiftlog.hours import HOUR, iso
from shiftlog.names import PartName
from shiftlog.pending import Pending, gather
from shiftlog.sessions import FOLDED, TWIN, dealt, refold
from shiftlog.spill import Keep, Kept, Piece, Stretch, by
from shiftlog.store import Store

#: How an object is stored, by key.
Put: TypeAlias = Callable[[str, bytes], None]

_ORDER = ["agentID", "sessionStartTime", "agentSessionId", "eventIndex"]
_ID, _INDEX = pl.col("agentSessionId"), pl.col("eventIndex")
_NEW_RUN = _ID.ne_missing(_ID.shift()) | _INDEX.ne_missing(_INDEX.shift() + 1)
_WITHDRAWN = {"agentSessionId": pl.String(), "agentID": pl.Int64(), "scope": pl.Int64()}


# ── dealing ──


def deal(some: Sequence[Batch], *, store: Store, shares: int, keep: Keep) -> dict[int, Stretch]:
    """What some batches have landed, by the share of its agents: each is read once, and not once for every share."""
    rows = landing.read(store, some).with_columns(dealt(shares).alias("share"))
    return dict(by("share", rows, keep))


# ── folding ──


@dataclass(frozen=True, slots=True)
class Folded:
    """What a share of the agents has come to.

    `due`: what is to be published, by scope; `waiting`: sessions that are carried on (columns `FOLDED`); `aside`: late events that
    cannot be published (`FOLDABLE`); `published_ids`: the producers' session ids among `due` and their scopes.
    """

    due: tuple[Piece, ...]
    waiting: Kept
    carried_sessions: int
    carried_events: int
    aside: Kept
    aside_events: int
    published_ids: Mapping[str, int]
    repeats: int


@dataclass(frozen=True, slots=True)
class Share:
    """One of so many shares of the agents, and where the rows of it that have landed are; None where they have not been dealt."""

    number: int
    of: int
    landed: tuple[Stretch, ...] | None = None

    def rows(self) -> pl.DataFrame | None:
        """Its rows that have landed (columns `events.ACCEPTED`), in order."""
        if self.landed is None:
            return None
        return pl.concat([pl.LazyFrame(schema=ACCEPTED), *(rows.scan().select(ACCEPTED.keys()) for rows in self.landed)]).collect()


def fold(share: Share, *, store: Store, pending: Pending, until: int, keep: Keep) -> Folded:
    """Fold a share of the agents; hours up to `until` (epoch ms) are due."""
    gathered = gather(store, pending, share=share.number, shares=share.of, landed=share.rows())
    account, timeout = pending.account, pending.timeout
    result = refold(gathered.fresh, gathered.prior, account=account, timeout=timeout, until=until, taken=gathered.taken)
    waiting = result.waiting.drop("closedAt")
    return Folded(
        due=pieces(pl.concat([result.due, _withdrawals(result.withdrawn)]), share.number, keep),
        waiting=keep(waiting),
        carried_sessions=waiting["agentSessionId"].n_unique(),
        carried_events=waiting.height,
        aside=keep(gathered.aside),
        aside_events=gathered.aside.height,
        published_ids=dict(result.due.select("sessionId", "scope").drop_nulls("sessionId").unique().rows()),
        repeats=result.repeats,
    )


def pieces(due: pl.DataFrame, share: int, keep: Keep) -> tuple[Piece, ...]:
    """What is to be published of a share, kept, by scope; there in the order of parts."""
    return tuple(Piece(scope, share, rows) for scope, rows in by("scope", _ordered(due, ["scope", *_ORDER]), keep))


def _ordered(rows: pl.DataFrame, order: list[str]) -> pl.DataFrame:
    """The rows sorted by columns that end with `_ORDER`: a session's rows that follow each other already are moved as one."""
    first = rows.select(_NEW_RUN.arg_true()).to_series()
    runs = rows.select(order)[first].with_columns(first=first, next=first.shift(-1, fill_value=rows.height))
    runs = runs.sort(order, nulls_last=True)
    if runs["first"].is_sorted():
        return rows
    return rows.rechunk()[runs.select(pl.int_ranges("first", "next").explode()).to_series()]


def _withdrawals(withdrawn: pl.DataFrame) -> pl.DataFrame:
    """One row a withdrawn session: who and which, and nothing else."""
    empty = [pl.lit(None, dtype).alias(name) for name, dtype in FOLDED.items() if name not in _WITHDRAWN]
    return withdrawn.with_columns(empty).select(FOLDED.keys())


# ── writing ──


@dataclass(frozen=True, slots=True)
class Planned:
    """A part to write: its name, among how many of its scope, and where the rows of its share of the agents are."""

    name: PartName
    count: int
    pieces: tuple[Piece, ...]


def plan(folded: Iterable[Folded], published: Mapping[int, int], *, shares: int, part_events: int) -> Iterator[Planned]:
    """The parts that a run may have, by scope and number: sessions are dealt to them by a hash of their agent.

    `published` is the highest revision of each scope that has parts.
    """
    pieces: dict[int, list[Piece]] = {}
    for share in folded:
        for piece in share.due:
            pieces.setdefault(piece.scope, []).append(piece)
    for scope, there in sorted(pieces.items()):
        count = max(1, -(-sum(piece.rows.length for piece in there) // part_events))
        for number in range(count):
            mine = tuple(piece for piece in there if _meet(number, count, piece.share, shares))
            yield Planned(PartName(scope, scope + HOUR, number, published.get(scope, -1) + 1), count, mine)


def _meet(number: int, count: int, share: int, shares: int) -> bool:
    """Whether two ranges of the hash space meet, each given as one of so many equal ones."""
    return number * shares < (share + 1) * count and share * count < (number + 1) * shares


def write(planned: Planned, *, account: str, schema_version: str, put: Put) -> NewPart | None:
    """Write a part and its twin; nobody sees them before the commit. None where no agent's hash is in the part's range."""
    name = planned.name
    there = pl.concat(piece.rows.scan() for piece in planned.pieces)
    mine = there if planned.count == 1 else there.filter(dealt(planned.count) == name.part)
    rows = _ordered(mine.collect(), _ORDER)
    if rows.is_empty():
        return None
    with ThreadPoolExecutor(1) as beside:  # the two take about as long
        other = beside.submit(_twin, rows, name)
        gz = container.pack(rows, account=account, version=schema_version)
        twin = other.result()
    key = f"parts/{account}/{iso(name.start)[:10]}/{name}.{uuid.uuid4().hex[:12]}"
    put(f"{key}.gz", gz)
    put(f"{key}.parquet", twin)
    events = rows.select("agentSessionId", "eventIndex", "timestamp").drop_nulls("eventIndex")
    low, high = events.select(low=pl.col("timestamp").min(), high=pl.col("timestamp").max()).row(0)
    return NewPart(
        scope_start=name.start,
        scope_end=name.end,
        part=name.part,
        revision=name.revision,
        schema_version=schema_version,
        gz_key=f"{key}.gz",
        gz_bytes=len(gz),
        gz_sha256=sha256(gz).hexdigest(),
        twin_key=f"{key}.parquet",
        twin_bytes=len(twin),
        twin_sha256=sha256(twin).hexdigest(),
        sessions=events.filter(_NEW_RUN)["agentSessionId"].n_unique(),
        withdrawals=rows.height - events.height,
        events=events.height,
        min_timestamp=low,
        max_timestamp=high,
    )


def _twin(rows: pl.DataFrame, name: PartName) -> bytes:
    # Of lists that were cut out of others, Polars writes more than their items, and other bytes.
    lists = pl.col("userProfileIDs").gather(pl.int_range(pl.len()))
    return parquet(rows.with_columns(lists, revision=pl.lit(name.revision, pl.Int32), part=pl.lit(str(name))).select(TWIN.keys()))


def parquet(frame: pl.DataFrame) -> bytes:
    """The frame as shiftlog's own objects have it."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", compression_level=3, row_group_size=100_000)
    return buffer.getvalue()
