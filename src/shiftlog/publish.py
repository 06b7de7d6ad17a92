"""Publishing: closing the hours that are due. Fold what is pending, write parts, commit once.

Everything before the commit can be repeated: objects lie under keys of their own, and nobody reads them before the
catalog names them. Everything after it is read-only. Memory is bounded: a run folds one share of the agents at a time,
and writes one part at a time on each of the engine's threads.
"""

from __future__ import annotations

import io
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

import polars as pl
import structlog

from shiftlog import container, hours
from shiftlog.catalog import accounts, batches, parts, publishing
from shiftlog.catalog.batches import Batch
from shiftlog.catalog.parts import NewPart, Part
from shiftlog.catalog.publishing import Outcome, State
from shiftlog.engine import local
from shiftlog.hours import HOUR, iso
from shiftlog.house import House
from shiftlog.lease import Held, Worker
from shiftlog.names import PartName
from shiftlog.pending import gather
from shiftlog.sessions import BUCKET, FOLDED, TWIN, Refolded, refold

log = structlog.get_logger()

#: How an object is stored, by key.
Put: TypeAlias = Callable[[str, bytes], None]

_ORDER = ["agentID", "sessionStartTime", "agentSessionId", "eventIndex"]
_WITHDRAWN = {"agentSessionId": pl.String(), "agentID": pl.Int64(), "scope": pl.Int64()}


def publish(worker: Worker, account: str, *, now: int | None = None, on_part: Callable[[NewPart], None] = lambda _: None) -> Sequence[Part]:
    """Close every hour of the account that is due at `now` (epoch ms; default the catalog's clock).

    Waits for another worker's lease. Returns the parts that were published, once they are visible; none where nothing was
    due. `on_part` is told of each part as it is written, from the thread that wrote it.

    Raises:
        Missing: no such account.
        Overtaken: another worker took the lease meanwhile; nothing was changed.
    """
    done = close(worker, account, now=now, on_part=on_part)
    if not done.parts:
        return ()
    catalog = worker.house.catalog
    _wait(catalog.now, done.generated)
    with catalog.read() as conn:
        return parts.manifest(conn, account, now=done.generated + 1, after=done.after, limit=done.parts)


@dataclass(frozen=True, slots=True)
class Done:
    """What a run has committed: how many parts, after which sequence number, and from when on (epoch ms) they are visible."""

    parts: int = 0
    after: int = 0
    generated: int = 0


def close(
    worker: Worker, account: str, *, now: int | None = None, wait: bool = True, on_part: Callable[[NewPart], None] = lambda _: None
) -> Done:
    """As `publish`, and returns with the commit: the parts become visible a little later.

    Raises:
        Taken: another worker publishes the account, and `wait` is false.
    """
    with worker.hold(account, wait=wait) as held:
        run = _Run.start(worker.house, held, now, on_part)
        if run.idle:
            return Done()
        new, generated = run.finish()
    return Done(len(new), run.state.last_seq, generated)


def _wait(clock: Callable[[], int], instant: int) -> None:
    while (left := instant - clock()) >= 0:
        time.sleep((left + 1) / 1000)


@dataclass(frozen=True, slots=True)
class _Run:
    """One run over one account: what it starts from, and what it does."""

    house: House
    held: Held
    on_part: Callable[[NewPart], None]
    started: int
    until: int
    state: State
    new: Sequence[Batch]
    schema_version: str

    @classmethod
    def start(cls, house: House, held: Held, now: int | None, on_part: Callable[[NewPart], None]) -> _Run:
        account, started = held.lease.account, house.catalog.now()
        with house.catalog.read() as conn:
            state = publishing.state(conn, account)
            new = batches.after(conn, account, state.consumed)
            version = accounts.get(conn, account).schema_version
        due = hours.due(started if now is None else now, house.settings.grace)
        until = due if state.watermark is None else max(due, state.watermark)
        return cls(house, held, on_part, started, until, state, new, version)

    @property
    def account(self) -> str:
        return self.held.lease.account

    @property
    def idle(self) -> bool:
        """Nothing has landed since the last run, and no hour has become due (or nothing has ever landed)."""
        return not self.new and (self.until == self.state.watermark or self.state.landed == 0)

    def finish(self) -> tuple[list[NewPart], int]:
        """Do the run; its parts and their generated time."""
        with ExitStack() as stack:
            folded = self._fold(stack)
            put = stack.enter_context(self.house.store.batch())
            new = list(local.run(partial(self._write, put), self._partitions(folded.spill)))
            outcome = self._outcome(folded, new, put)
        generated = publishing.commit(self.house.catalog, self.held.lease, self.state, outcome, self.house.settings.lead_milliseconds)
        sessions, events = sum(part.sessions for part in new), sum(part.events for part in new)
        ms = self.house.catalog.now() - self.started
        log.info("hours.published", account=self.account, until=iso(self.until), parts=len(new), sessions=sessions, events=events, ms=ms)
        return new, generated

    # ── folding, one share of the agents at a time ──

    def _fold(self, stack: ExitStack) -> _Folded:
        rows = sum(batch.rows for batch in self.new) + self.state.carry_events
        shares = max(1, -(-rows // self.house.settings.fold_events))
        spill = Spill(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shiftlog-"))) if shares > 1 else None)
        folded = _Folded(spill, [], [], {}, 0)
        for share in range(shares):
            self.held.check()
            gathered = gather(self.house, self.account, self.state, self.new, share=share, shares=shares)
            timeout = self.house.settings.session_timeout
            result = refold(gathered.fresh, gathered.prior, account=self.account, timeout=timeout, until=self.until, taken=gathered.taken)
            folded.add(result, gathered.aside)
        return folded

    # ── writing, one part at a time on each thread ──

    def _partitions(self, spill: Spill) -> Iterator[tuple[PartName, pl.DataFrame]]:
        """Each part's name and rows: sessions are dealt by a hash of their agent."""
        with self.house.catalog.read() as conn:
            published = parts.revisions(conn, self.account, spill.scopes)
        for scope in spill.scopes:
            rows = spill.rows(scope)
            revision = published.get(scope, -1) + 1
            count = max(1, -(-rows.height // self.house.settings.part_events))
            for number in range(count):
                mine = rows if count == 1 else rows.filter(BUCKET % count == number)
                if not mine.is_empty():
                    self.held.check()
                    yield PartName(scope, scope + HOUR, number, revision), mine

    def _write(self, put: Put, partition: tuple[PartName, pl.DataFrame]) -> NewPart:
        """Write a part and its twin; nobody sees them before the commit."""
        name, unsorted = partition
        rows = unsorted.sort(_ORDER, nulls_last=True)
        events = rows.filter(pl.col("eventIndex").is_not_null())
        gz = container.compress(container.encode(rows, account=self.account, version=self.schema_version))
        twin = _parquet(rows.with_columns(revision=pl.lit(name.revision, pl.Int32), part=pl.lit(str(name))).select(TWIN.keys()))
        key = f"parts/{self.account}/{iso(name.start)[:10]}/{name}.{uuid.uuid4().hex[:12]}"
        put(f"{key}.gz", gz)
        put(f"{key}.parquet", twin)
        low, high = events.select(low=pl.col("timestamp").min(), high=pl.col("timestamp").max()).row(0)
        part = NewPart(
            scope_start=name.start,
            scope_end=name.end,
            part=name.part,
            revision=name.revision,
            schema_version=self.schema_version,
            gz_key=f"{key}.gz",
            gz_bytes=len(gz),
            gz_sha256=sha256(gz).hexdigest(),
            twin_key=f"{key}.parquet",
            twin_bytes=len(twin),
            twin_sha256=sha256(twin).hexdigest(),
            sessions=events["agentSessionId"].n_unique(),
            withdrawals=rows.height - events.height,
            events=events.height,
            min_timestamp=low,
            max_timestamp=high,
        )
        self.on_part(part)
        return part

    # ── what the commit needs ──

    def _outcome(self, folded: _Folded, new: Sequence[NewPart], put: Put) -> Outcome:
        carry, aside = pl.concat(folded.carry), pl.concat(folded.aside)
        return Outcome(
            started=self.started,
            written=self.started,
            watermark=self.until,
            consumed=self.new[-1].number if self.new else self.state.consumed,
            carry_key=self._put("carry", carry, put),
            carry_sessions=carry["agentSessionId"].n_unique(),
            carry_events=carry.height,
            parts=new,
            published_ids=folded.published_ids,
            repeats=folded.repeats,
            aside_key=self._put("aside", aside, put),
            aside_events=aside.height,
        )

    def _put(self, kind: str, frame: pl.DataFrame, put: Put) -> str | None:
        if frame.is_empty():
            return None
        key = f"{kind}/{self.account}/{self.started}-{uuid.uuid4().hex[:12]}.parquet"
        put(key, _parquet(frame))
        return key


@dataclass(slots=True)
class _Folded:
    """What the shares of a run have come to."""

    spill: Spill
    carry: list[pl.DataFrame]
    aside: list[pl.DataFrame]
    published_ids: dict[str, int]
    repeats: int

    def add(self, result: Refolded, aside: pl.DataFrame) -> None:
        self.spill.add(pl.concat([result.due, _withdrawals(result.withdrawn)]))
        self.carry.append(result.waiting.drop("closedAt"))
        self.aside.append(aside)
        self.published_ids |= dict(result.due.select("sessionId", "scope").drop_nulls("sessionId").unique().rows())
        self.repeats += result.repeats


class Spill:
    """Rows to publish by scope: in memory, or in a directory where there is one, so that they need not fit in memory."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._pieces: dict[int, list[pl.LazyFrame]] = {}
        self._count = 0

    def add(self, rows: pl.DataFrame) -> None:
        ordered = rows.sort("scope", maintain_order=True)
        stored = ordered.lazy() if self._directory is None else self._stored(ordered, self._directory)
        offset = 0
        for scope, length in ordered.group_by("scope", maintain_order=True).len().rows():
            self._pieces.setdefault(scope, []).append(stored.slice(offset, length))
            offset += length

    def _stored(self, rows: pl.DataFrame, directory: Path) -> pl.LazyFrame:
        self._count += 1
        path = directory / f"{self._count}.parquet"
        rows.write_parquet(path, compression="lz4", row_group_size=50_000)
        return pl.scan_parquet(path)

    @property
    def scopes(self) -> list[int]:
        """The starts of the scopes that have rows, in order."""
        return sorted(self._pieces)

    def rows(self, scope: int) -> pl.DataFrame:
        """The rows of one scope."""
        return pl.concat(self._pieces[scope]).collect()


def _withdrawals(withdrawn: pl.DataFrame) -> pl.DataFrame:
    """One row a withdrawn session: who and which, and nothing else."""
    empty = [pl.lit(None, dtype).alias(name) for name, dtype in FOLDED.items() if name not in _WITHDRAWN]
    return withdrawn.with_columns(empty).select(FOLDED.keys())


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", compression_level=3, row_group_size=100_000)
    return buffer.getvalue()
