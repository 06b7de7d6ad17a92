"""Publishing: closing the hours that are due. Fold what is pending, write parts, commit once.

Everything before the commit can be repeated: objects lie under keys of their own, and nobody reads them before the
catalog names them. Everything after it is read-only. Memory is bounded: an engine folds one share of the agents at a time in
each of its processes, and writes one part at a time on each of its threads.
"""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import polars as pl
import structlog

from shiftlog import hours, steps
from shiftlog.catalog import accounts, parts, publishing
from shiftlog.catalog.batches import Batch
from shiftlog.catalog.parts import NewPart, Part
from shiftlog.catalog.publishing import Outcome, State
from shiftlog.engine import Engine
from shiftlog.engine.local import LOCAL
from shiftlog.errors import Later, Missing
from shiftlog.hours import iso
from shiftlog.house import House
from shiftlog.lease import Held, Worker
from shiftlog.pending import Pending, pending
from shiftlog.spill import InMemory, Keep, Kept, in_directory, in_store
from shiftlog.steps import Folded, Put, Share
from shiftlog.store import sealed

log = structlog.get_logger()

T = TypeVar("T")

_SHARE_EVENTS = 100_000  # fewer are not worth a share of their own, on a cluster
_MANY_SHARES = 4  # dealing what has landed, once, takes as long as reading it three times


def publish(
    worker: Worker,
    account: str,
    *,
    now: int | None = None,
    on_part: Callable[[NewPart], None] = lambda _: None,
    engine: Engine = LOCAL,
) -> Sequence[Part]:
    """Close every hour of the account that is due at `now` (epoch ms; default the catalog's clock).

    Waits for another worker's lease. Returns the parts that were published, once they are visible; none where nothing was
    due. `on_part` is told of each part once it is written.

    Raises:
        Missing: no such account.
        Overtaken: another worker took the lease meanwhile; nothing was changed.
    """
    done = close(worker, account, now=now, on_part=on_part, engine=engine)
    if not done.parts:
        return ()
    catalog = worker.house.catalog
    wait_until(catalog.now, done.generated)
    with catalog.read() as conn:
        return parts.manifest(conn, account, now=done.generated + 1, after=done.after, limit=done.parts)


@dataclass(frozen=True, slots=True)
class Done:
    """What a run has committed: how many parts, after which sequence number, and from when on (epoch ms) they are visible."""

    parts: int = 0
    after: int = 0
    generated: int = 0


def close(
    worker: Worker,
    account: str,
    *,
    now: int | None = None,
    wait: bool = True,
    on_part: Callable[[NewPart], None] = lambda _: None,
    engine: Engine = LOCAL,
) -> Done:
    """As `publish`, and returns with the commit: the parts become visible a little later.

    Raises:
        Taken: another worker publishes the account, and `wait` is false.
    """
    with worker.hold(account, wait=wait) as held:
        try:
            return _close(worker.house, held, now, on_part, engine)
        except Missing:
            # An agent of another account was forgotten, and what has landed with that agent's events lies elsewhere now.
            return _close(worker.house, held, now, on_part, engine)


def _close(house: House, held: Held, now: int | None, on_part: Callable[[NewPart], None], engine: Engine) -> Done:
    run = _Run.start(house, held, engine, now)
    if run.idle:
        return Done()
    new, generated = run.finish(on_part)
    return Done(len(new), run.state.last_seq, generated)


def wait_until(clock: Callable[[], int], instant: int) -> None:
    """Return when an instant (epoch ms) is past."""
    while (left := instant - clock()) >= 0:
        time.sleep((left + 1) / 1000)


@dataclass(frozen=True, slots=True)
class _Run:
    """One run over one account: what it starts from, and what it does."""

    house: House
    held: Held
    engine: Engine
    started: int
    until: int
    state: State
    pending: Pending
    schema_version: str

    @classmethod
    def start(cls, house: House, held: Held, engine: Engine, now: int | None) -> _Run:
        account, started = held.lease.account, house.catalog.now()
        with house.catalog.read() as conn:
            state = publishing.state(conn, account)
            found = pending(conn, account, state, house.settings.session_timeout)
            version = accounts.get(conn, account).schema_version
        due = hours.due(started if now is None else now, house.settings.grace)
        until = due if state.watermark is None else max(due, state.watermark)
        return cls(house, held, engine, started, until, state, found, version)

    @property
    def account(self) -> str:
        return self.held.lease.account

    @property
    def idle(self) -> bool:
        """Nothing has landed since the last run, and no hour has become due (or nothing has ever landed)."""
        return not self.pending.batches and (self.until == self.state.watermark or self.state.landed == 0)

    def finish(self, on_part: Callable[[NewPart], None]) -> tuple[list[NewPart], int]:
        """Do the run; its parts and their generated time."""
        with ExitStack() as stack:
            put = stack.enter_context(self.house.store.batch())
            shares = self._shares()
            folded = self._fold(shares, stack)
            new: list[NewPart] = []
            for part in self._write(folded, shares, self.house.store.put if self.engine.distant else put):
                new.append(part)
                on_part(part)
            outcome = self._outcome(folded, new, put)
        house = self.house
        generated = publishing.commit(house.catalog, house.vault, self.held.lease, self.state, outcome, house.settings.lead_milliseconds)
        sessions, events = sum(part.sessions for part in new), sum(part.events for part in new)
        ms = self.house.catalog.now() - self.started
        log.info("hours.published", account=self.account, until=iso(self.until), parts=len(new), sessions=sessions, events=events, ms=ms)
        return new, generated

    def _shares(self) -> int:
        """In how many shares the agents are folded: as memory needs it, and so that all of a cluster has something to do."""
        shares = self.pending.shares(self.house.settings.fold_events)
        return max(shares, min(self.engine.width, self.pending.rows // _SHARE_EVENTS)) if self.engine.distant else shares

    def _fold(self, shares: int, stack: ExitStack) -> list[Folded]:
        keep: Keep = InMemory
        if self.engine.distant:
            keep = in_store(self.house.store, stack.enter_context(self._spilled()))
        elif shares > 1:
            keep = in_directory(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shiftlog-"))))
        fold = partial(steps.fold, store=self.house.store, pending=self.pending, until=self.until, keep=keep)
        return list(self._held(self.engine.run(fold, self._held(self._dealt(shares, keep)), alone=True)))

    def _dealt(self, shares: int, keep: Keep) -> list[Share]:
        """The shares, and what has landed of each; where these are few, each looks through all of it itself."""
        if shares < _MANY_SHARES:
            return [Share(number, shares) for number in range(shares)]
        deal = partial(steps.deal, store=self.house.store, shares=shares, keep=keep)
        found = list(self._held(self.engine.run(deal, self._held(self._some_batches()), alone=True)))
        return [Share(number, shares, tuple(rows[number] for rows in found if number in rows)) for number in range(shares)]

    def _some_batches(self) -> Iterator[list[Batch]]:
        """The batches in groups of about as many events as are folded at a time."""
        group: list[Batch] = []
        for batch in self.pending.batches:
            group.append(batch)
            if sum(each.rows for each in group) >= self.house.settings.fold_events:
                yield group
                group = []
        if group:
            yield group

    @contextmanager
    def _spilled(self) -> Iterator[str]:
        """A prefix of the store for rows on their way; what lies there is deleted when the run is over."""
        prefix, store = f"spill/{self.account}/{self.started}-{uuid.uuid4().hex[:12]}/", self.house.store
        try:
            yield prefix
        finally:
            # What an executor that was given up still puts later, is swept like all that nobody names.
            with suppress(Later):
                store.delete([found.key for found in store.list(prefix.rstrip("/"))])

    def _write(self, folded: Sequence[Folded], shares: int, put: Put) -> Iterator[NewPart]:
        scopes = sorted({piece.scope for share in folded for piece in share.due})
        with self.house.catalog.read() as conn:
            published = parts.revisions(conn, self.account, scopes)
        planned = steps.plan(folded, published, shares=shares, part_events=self.house.settings.part_events)
        write = partial(steps.write, account=self.account, schema_version=self.schema_version, put=put)
        written = self.engine.run(write, self._held(planned))
        return (part for part in self._held(written) if part is not None)

    def _held(self, things: Iterable[T]) -> Iterator[T]:
        """The things, as long as the lease is not known to be lost."""
        for thing in things:
            self.held.check()
            yield thing

    # ── what the commit needs ──

    def _outcome(self, folded: Sequence[Folded], new: Sequence[NewPart], put: Put) -> Outcome:
        batches = self.pending.batches
        return Outcome(
            started=self.started,
            written=self.started,
            watermark=self.until,
            consumed=batches[-1].number if batches else self.state.consumed,
            carry_key=self._put("carry", [share.waiting for share in folded], put),
            carry_sessions=sum(share.carried_sessions for share in folded),
            carry_events=sum(share.carried_events for share in folded),
            parts=new,
            published_ids={id_: scope for share in folded for id_, scope in share.published_ids.items()},
            repeats=sum(share.repeats for share in folded),
            aside_key=self._put("aside", [share.aside for share in folded], put),
            aside_events=sum(share.aside_events for share in folded),
        )

    def _put(self, kind: str, kept: Sequence[Kept], put: Put) -> str | None:
        """Store rows of all shares as one object; None where there are none."""
        frame = pl.concat(share.scan() for share in kept).collect()
        if frame.is_empty():
            return None
        data = steps.parquet(frame)
        key = sealed.name(f"{kind}/{self.account}", self.started, data)
        put(key, data)
        return key
