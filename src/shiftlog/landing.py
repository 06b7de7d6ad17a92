"""Landing: events are durable before their sender is answered.

Requests that arrive while a commit is under way are committed together by the next one: one columnar object in the
store, then one transaction in the catalog, then the answers. There is no timer: a lone sender waits for nobody.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import polars as pl
import sqlalchemy as sa

from shiftlog.catalog import batches, forgetting
from shiftlog.catalog.batches import Batch, Claim
from shiftlog.catalog.publishing import OBJECT_AGE
from shiftlog.errors import BadEvent, Damaged, Later, ShiftlogError
from shiftlog.events import ACCEPTED, SENT
from shiftlog.group import Committer
from shiftlog.hours import iso
from shiftlog.house import House
from shiftlog.store import Store, sealed

_GROUP_EVENTS = 400_000  # events committed together, about: bounds the memory of a group
_POSITION_ROWS = 1 << 32  # a landing position is the batch's number times this, plus the row


@dataclass(slots=True)
class _Request:
    account: str
    events: pl.DataFrame
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
        # While one group is on its way to a bucket, the next one is made ready and sent.
        threads = 2 if house.store.distant else 1
        self._committer = Committer[_Request]("landing", partial(_commit, house), limit=_GROUP_EVENTS, threads=threads)

    def submit(self, account: str, events: pl.DataFrame) -> Future[int]:
        """Accept events (columns `events.SENT`) all or nothing; the future holds their number once they are durable.

        The future raises BadEvent (a sessionId of another agent), Missing (no such account) or Later (store or catalog).
        """
        request = _Request(account, events, sent=events.height)
        self._committer.submit(request)
        return request.answer

    def accept(self, account: str, events: pl.DataFrame) -> int:
        """`submit`, and wait for the answer."""
        return self.submit(account, events).result()

    def close(self) -> None:
        """Commit what was submitted, and stop."""
        self._committer.close()


def _commit(house: House, group: Sequence[_Request]) -> None:
    """Make a group durable and visible, and answer its requests; those that must be refused are refused alone."""
    waiting = _entitled(house, group)
    while waiting:
        ordered = sorted(waiting, key=lambda request: request.account)
        now = house.catalog.now()
        data = parquet(pl.concat([request.events for request in ordered]))
        key = sealed.name(f"landing/{iso(now)[:10]}", now, data)
        house.store.put(key, data)
        try:
            house.catalog.persist(partial(_record, house, key, now, _claims(ordered)))
        except _DisputedError:
            # Another server took a session id between the check and the commit, or an agent was forgotten: check again, without
            # the refused. The object may name who is forgotten.
            house.store.delete([key])
            waiting = _entitled(house, waiting)
            continue
        for request in ordered:
            request.answer.set_result(request.sent)
        return


def _record(house: House, key: str, now: int, claims: Sequence[Claim], conn: sa.Connection, *, again: bool) -> None:
    if again and batches.is_committed(conn, key, claims):
        return
    if house.catalog.now(conn) - now > OBJECT_AGE:
        raise Later("storing the events took more than an hour; send them again")
    if batches.commit(conn, key, now, claims):
        raise _DisputedError


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


def _entitled(house: House, group: Sequence[_Request]) -> list[_Request]:
    """The requests that may be taken, without what names forgotten agents; the others are answered: an unknown account, a sessionId of
    another agent, or nothing left to take."""
    entitled: list[_Request] = []
    owners: dict[tuple[str, str], int] = {}
    with house.catalog.read() as conn:
        known = [request for request in group if _keep_to_rules(house, conn, request)]
        for account in {request.account for request in known}:
            ids = {id_ for request in known if request.account == account for id_, _ in request.sessions}
            owners |= {(account, id_): agent for id_, agent in batches.owners(conn, account, ids).items()}
    for request in known:
        try:
            _claim(request, owners)
        except ShiftlogError as error:
            request.answer.set_exception(error)
        else:
            entitled.append(request)
    return entitled


def _keep_to_rules(house: House, conn: sa.Connection, request: _Request) -> bool:
    """Take out of a request what names forgotten agents; False where it is answered already."""
    try:
        rules = forgetting.rules(conn, house.vault, request.account)
    except ShiftlogError as error:
        request.answer.set_exception(error)
        return False
    request.events, request.rules = rules.applied(request.events), rules.version
    if request.events.is_empty() and request.sent:
        request.answer.set_result(request.sent)
        return False
    request.sessions = _sessions(request.events)
    return True


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
    # A bucket gives the bytes, which it may have kept: many accounts share an object.
    sources = store.sources(batch.object_key for batch in found)
    objects = (store.get(batch.object_key) if isinstance(source, str) else source for source, batch in zip(sources, found, strict=True))
    frames = [_read(data, batch, condition) for data, batch in zip(objects, found, strict=True)]
    return pl.concat(frames) if frames else pl.DataFrame(schema=ACCEPTED)


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
