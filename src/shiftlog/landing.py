"""Landing: events are durable before their sender is answered.

Requests that arrive while a commit is under way are committed together by the next one: one columnar object in the
store, then one transaction in the catalog, then the answers. There is no timer: a lone sender waits for nobody.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import cast

import polars as pl
import sqlalchemy as sa

from shiftlog.catalog import batches, forgetting, trail
from shiftlog.catalog.batches import Batch, Claim
from shiftlog.catalog.publishing import OBJECT_AGE
from shiftlog.catalog.trail import Entry
from shiftlog.errors import BadEvent, Damaged, Later, ShiftlogError
from shiftlog.events import ACCEPTED, SENT
from shiftlog.forgotten import Rules
from shiftlog.group import Committer
from shiftlog.hours import iso
from shiftlog.house import House
from shiftlog.store import Store, sealed

_GROUP_EVENTS = 400_000  # events committed together, about: bounds the memory of a group
_ASK_SECONDS = 60
_POSITION_ROWS = 1 << 32  # a landing position is the batch's number times this, plus the row


@dataclass(slots=True)
class _Request:
    account: str
    events: pl.DataFrame
    line: Entry | None = None  # for the audit log
    rules: int = 0  # the version of those that the events keep to
    sent: int = 0
    sessions: Sequence[tuple[str, int]] = ()  # whose session ids the events name, each pair once
    answer: Future[int] = field(default_factory=Future)

    @property
    def weight(self) -> int:
        return self.events.height


class Landing:
    """Accepts events for one deployment, from any number of threads."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._rules: dict[str, Rules] = {}  # as they were when they were last read; a commit tells where they are others
        self._ask_until = 0.0
        # While one group is on its way to a bucket, the next one is made ready and sent.
        threads = 2 if house.store.distant else 1
        self._committer = Committer[_Request]("landing", self._commit, limit=_GROUP_EVENTS, threads=threads)

    def submit(self, account: str, events: pl.DataFrame, line: Entry | None = None) -> Future[int]:
        """Accept events (columns `events.SENT`) all or nothing; the future holds their number once they are durable, and with them the
        line in the audit log, which gets the time of the commit.

        The future raises BadEvent (a sessionId of another agent), Missing (no such account) or Later (store or catalog).
        """
        request = _Request(account, events, line, sent=events.height)
        self._committer.submit(request)
        return request.answer

    def accept(self, account: str, events: pl.DataFrame) -> int:
        """`submit`, and wait for the answer."""
        return self.submit(account, events).result()

    def close(self) -> None:
        """Commit what was submitted, and stop."""
        self._committer.close()

    def _commit(self, group: Sequence[_Request]) -> None:
        """Make a group durable and visible, and answer its requests; those that must be refused are refused alone.

        Nearly always, the rules are those of before, and every session id is its agent's: the commit finds out by itself, and only where
        it is not so, the catalog is asked before another try. It is asked first for some time then: a sender that was refused may come
        again, and a commit in vain costs the others an object.
        """
        waiting = _entitled(self._house, group, self._rules, ask=time.monotonic() < self._ask_until)
        while waiting:
            ordered = sorted(waiting, key=lambda request: request.account)
            try:
                _store(self._house, ordered)
            except _DisputedError:
                self._rules = {}  # and not emptied: another thread may be reading it
                self._ask_until = time.monotonic() + _ASK_SECONDS
                waiting = _entitled(self._house, waiting, self._rules, ask=True)
                continue
            for request in ordered:
                request.answer.set_result(request.sent)
            return


def _store(house: House, ordered: Sequence[_Request]) -> None:
    """Raises:
    _DisputedError: a session id is another agent's, or an agent was forgotten meanwhile; nothing was stored.
    """
    now, claims, lines = house.catalog.now(), _claims(ordered), [request.line for request in ordered if request.line is not None]
    if not claims:
        if lines:
            house.catalog.persist(partial(_record, house, "", now, claims, lines))
        return
    data = parquet(pl.concat([request.events for request in ordered]))
    key = sealed.name(f"landing/{iso(now)[:10]}", now, data)
    house.store.put(key, data)
    try:
        house.catalog.persist(partial(_record, house, key, now, claims, lines))
    except _DisputedError:
        house.store.delete([key])  # it may name who is forgotten
        raise


def _record(
    house: House, key: str, received_at: int, claims: Sequence[Claim], lines: Sequence[Entry], conn: sa.Connection, *, again: bool
) -> None:
    if again and claims and batches.is_committed(conn, key, claims):
        return
    now = house.catalog.now(conn)
    if now - received_at > OBJECT_AGE:
        raise Later("storing the events took more than an hour; send them again")
    if batches.commit(conn, key, received_at, claims):
        raise _DisputedError
    trail.record(conn, [replace(line, at=now) for line in lines])


class _DisputedError(Exception):
    """Rolls the transaction back."""


def parquet(frame: pl.DataFrame) -> bytes:
    """The frame as landing objects have it."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", compression_level=1, statistics=False)
    return buffer.getvalue()


def _claims(ordered: Iterable[_Request]) -> list[Claim]:
    claims: dict[str, Claim] = {}
    row = 0
    for request in ordered:
        if request.events.is_empty():  # all of them named forgotten agents
            continue
        times, rows, before = request.events["timestamp"], request.events.height, claims.get(request.account)
        low, high = cast("int", times.min()), cast("int", times.max())
        claim = Claim(request.account, row, rows, low, high, dict(request.sessions), request.rules)
        claims[request.account] = claim if before is None else _joined(before, claim)
        row += rows
    return list(claims.values())


def _joined(one: Claim, other: Claim) -> Claim:
    low, high = min(one.min_timestamp, other.min_timestamp), max(one.max_timestamp, other.max_timestamp)
    return Claim(one.account, one.first_row, one.rows + other.rows, low, high, {**one.sessions, **other.sessions}, one.rules)


def _sessions(events: pl.DataFrame) -> list[tuple[str, int]]:
    pairs = dict.fromkeys(zip(events["sessionId"].to_list(), events["agentID"].to_list(), strict=True))
    return [(id_, agent) for id_, agent in pairs if id_ is not None]


# ── a session id belongs to one agent ──


def _entitled(house: House, group: Sequence[_Request], known: dict[str, Rules], *, ask: bool) -> list[_Request]:
    """The requests that may be taken, without what names forgotten agents; the others are answered: an unknown account, or a sessionId of
    another agent.

    `known` are rules that need not be read, and gets those that were. Without `ask`, session ids are compared within the group alone.
    """
    kept = _kept_to_rules(house, group, known)
    taken, refused = _claimed(kept, _owners(house, kept) if ask else {})
    if refused and not ask:  # of two in the group that claim a session id, the first need not be right
        taken, refused = _claimed(kept, _owners(house, kept))
    for request, error in refused:
        request.answer.set_exception(error)
    return taken


def _kept_to_rules(house: House, group: Sequence[_Request], known: dict[str, Rules]) -> list[_Request]:
    accounts = {request.account for request in group}
    rules: dict[str, Rules | ShiftlogError] = {name: known[name] for name in accounts & known.keys()}
    if unread := accounts - rules.keys():
        with house.catalog.read() as conn:
            rules |= {name: _rules(house, conn, name) for name in unread}
    kept: list[_Request] = []
    for request in group:
        found = rules[request.account]
        if isinstance(found, ShiftlogError):
            request.answer.set_exception(found)
            continue
        known[request.account] = found
        request.events, request.rules = found.applied(request.events), found.version
        request.sessions = _sessions(request.events)
        kept.append(request)
    return kept


def _rules(house: House, conn: sa.Connection, account: str) -> Rules | ShiftlogError:
    try:
        return forgetting.rules(conn, house.vault, account)
    except ShiftlogError as error:
        return error


def _owners(house: House, group: Sequence[_Request]) -> dict[tuple[str, str], int]:
    owners: dict[tuple[str, str], int] = {}
    with house.catalog.read() as conn:
        for account in {request.account for request in group}:
            ids = {id_ for request in group if request.account == account for id_, _ in request.sessions}
            owners |= {(account, id_): agent for id_, agent in batches.owners(conn, account, ids).items()}
    return owners


def _claimed(group: Sequence[_Request], owners: dict[tuple[str, str], int]) -> tuple[list[_Request], list[tuple[_Request, BadEvent]]]:
    """The requests whose session ids are their agents' own, and the others."""
    taken, refused = [], []
    for request in group:
        try:
            _claim(request, owners)
        except BadEvent as error:
            refused.append((request, error))
        else:
            taken.append(request)
    return taken, refused


def _claim(request: _Request, owners: dict[tuple[str, str], int]) -> None:
    mine: dict[tuple[str, str], int] = {}
    for id_, agent in request.sessions:
        key = (request.account, id_)
        owner = owners.get(key, mine.setdefault(key, agent))
        if owner != agent:
            raise BadEvent(f"an event of agent {agent}", "sessionId", repr(id_), f"a session of its own; {id_!r} is agent {owner}'s")
    owners.update(mine)


# ── reading what has landed ──


def read(store: Store, wanted: Iterable[Batch], condition: pl.Expr | None = None) -> pl.DataFrame:
    """The events of batches (columns `events.ACCEPTED`), in order; only those that meet the condition.

    Raises:
        Damaged: an object is not what was written.
        Missing: one is not there.
    """
    found = list(wanted)
    half = -(-len(found) // 2)
    with ThreadPoolExecutor(2, thread_name_prefix="landing") as pool:
        halves = pool.map(lambda some: list(_frames(store, some, condition)), (found[:half], found[half:]))
        return pl.concat([pl.DataFrame(schema=ACCEPTED), *chain.from_iterable(halves)])


def _frames(store: Store, found: Sequence[Batch], condition: pl.Expr | None) -> Iterator[pl.DataFrame]:
    # A bucket gives the bytes, which it may have kept: many accounts share an object.
    sources = store.sources(batch.object_key for batch in found)
    for source, batch in zip(sources, found, strict=True):
        yield _read(store.get(batch.object_key) if isinstance(source, str) else source, batch, condition)


def _read(data: bytes, batch: Batch, condition: pl.Expr | None) -> pl.DataFrame:
    sealed.check(batch.object_key, data)
    try:
        rows = pl.read_parquet(data, columns=list(SENT), n_rows=batch.first_row + batch.rows).slice(batch.first_row)
    except pl.exceptions.PolarsError as error:
        reason = str(error).partition("\n")[0]
        raise Damaged(f"the landing object {batch.object_key} cannot be read ({reason}); restore it from a back-up") from None
    accepted = rows.with_columns(
        pl.lit(batch.received_at, pl.Int64).alias("receivedAt"),
        (pl.int_range(pl.len(), dtype=pl.Int64) + batch.number * _POSITION_ROWS).alias("position"),
    )
    return (accepted if condition is None else accepted.filter(condition)).select(ACCEPTED.keys())
