"""The publisher's side of an account: the lease, the state a run starts from, and the one commit it ends with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import sqlalchemy as sa

from shiftlog.catalog import chained, tables
from shiftlog.catalog.connection import Catalog
from shiftlog.catalog.parts import NewPart
from shiftlog.catalog.vault import Vault
from shiftlog.errors import Later, Missing, Overtaken

_A = tables.accounts
OBJECT_AGE = 3_600_000  # ms: a commit refuses objects older than this, so that garbage collection can never meet one it would name


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to publish an account, as long as its epoch is the account's; `taken_from` is a holder who never gave it back."""

    account: str
    holder: str
    epoch: int
    taken_from: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class State:
    """Where publishing of an account stands."""

    landed: int
    consumed: int
    carry_key: str | None
    carry_sessions: int
    carry_events: int
    watermark: int | None
    last_seq: int
    last_generated: int
    repeats: int
    forgotten: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a run wants to change. `written` is when its first object was written, `started` when it began (epoch ms).

    `erased` are the sequence numbers of parts whose files go, because they name a forgotten agent; what stands in them is in `parts`.
    """

    started: int
    written: int
    watermark: int
    consumed: int
    carry_key: str | None
    carry_sessions: int
    carry_events: int
    parts: Sequence[NewPart]
    published_ids: Mapping[str, int]
    repeats: int
    aside_key: str | None
    aside_events: int
    erased: Sequence[int] = ()


_STATE = [_A.c[name] for name in State.__slots__]


def state(conn: sa.Connection, account: str) -> State:
    """Raises:
    Missing: no such account.
    """
    row = conn.execute(sa.select(*_STATE).where(_A.c.account == account)).one_or_none()
    if row is None:
        raise Missing(f"there is no account {account}")
    return State(*row)


# ── the lease ──


def acquire(catalog: Catalog, account: str, holder: str, lease_ms: int, alive: Callable[[str], bool]) -> Lease | int:
    """The lease, if it is free, expired, or its holder is known to be dead; else the ms until it expires.

    Raises:
        Missing: no such account.
    """
    with catalog.write() as conn:
        query = sa.select(_A.c.holder, _A.c.epoch, _A.c.lease_until).where(_A.c.account == account).with_for_update()
        row = conn.execute(query).one_or_none()
        if row is None:
            raise Missing(f"there is no account {account}")
        now = catalog.now(conn)
        if row.holder is not None and now < row.lease_until and alive(row.holder):
            return int(row.lease_until - now)
        # A commit of the holder before can no longer succeed, so its floor holds nobody back any more.
        taken = {"holder": holder, "epoch": row.epoch + 1, "lease_until": now + lease_ms, "floor": None}
        conn.execute(sa.update(_A).where(_A.c.account == account).values(taken))
        return Lease(account, holder, row.epoch + 1, row.holder)


def renew(catalog: Catalog, lease: Lease, lease_ms: int) -> bool:
    """Prolong the lease; False where another worker has taken it."""
    with catalog.write() as conn:
        until = catalog.now(conn) + lease_ms
        return conn.execute(sa.update(_A).where(_mine(lease)).values(lease_until=until)).rowcount == 1


def release(catalog: Catalog, lease: Lease) -> None:
    """Give the lease back, where it still is ours."""

    def give_back(conn: sa.Connection, *, again: bool) -> None:
        conn.execute(sa.update(_A).where(_mine(lease)).values(holder=None, lease_until=0, floor=None))

    catalog.persist(give_back)


def _mine(lease: Lease) -> sa.ColumnElement[bool]:
    return sa.and_(_A.c.account == lease.account, _A.c.epoch == lease.epoch, _A.c.holder == lease.holder)


# ── the commit ──


def commit(catalog: Catalog, vault: Vault, lease: Lease, base: State, outcome: Outcome, lead_ms: int) -> int:
    """Make a run's outcome visible, all at once. Returns the generated time of its parts (epoch ms).

    First the floor is set, in a transaction of its own: until the commit is over, no list claims to cover the present.
    So a commit may take as long as it likes; a part can never appear at an instant that a client was told is covered.

    Raises:
        Overtaken: another worker holds the lease, or the account has moved on; nothing was changed.
    """

    def set_floor(conn: sa.Connection, *, again: bool) -> None:
        _check(_locked(conn, lease), lease, base)
        floor = max(catalog.now(conn), base.last_generated + 1)
        conn.execute(sa.update(_A).where(_mine(lease)).values(floor=floor))

    def finish(conn: sa.Connection, *, again: bool) -> int:
        row = _locked(conn, lease)
        if again and (done := _committed(conn, row, lease, base, outcome)) is not None:
            return done
        _check(row, lease, base)
        if catalog.now(conn) - outcome.written > OBJECT_AGE:
            raise Later("the run took more than an hour from its first object to its commit; it has to be repeated")
        _insert_parts(conn, vault, lease.account, base, outcome.parts, catalog.now(conn))
        _mark_published(conn, lease.account, outcome.published_ids)
        _insert_run(conn, lease.account, outcome, catalog.now(conn))
        generated = max(catalog.now(conn) + lead_ms, base.last_generated + 1) if outcome.parts else base.last_generated
        # What is erased is shown as such when what stands in its place is shown, and not before.
        chained.erase(conn, vault, lease.account, outcome.erased, generated if outcome.parts else catalog.now(conn))
        _advance(conn, lease, base, outcome, generated)
        return generated

    if outcome.parts:
        catalog.persist(set_floor)
    return catalog.persist(finish)


def _locked(conn: sa.Connection, lease: Lease) -> Any:
    return conn.execute(sa.select(_A.c.epoch, _A.c.holder, *_STATE).where(_A.c.account == lease.account).with_for_update()).one()


def _is_mine(row: Any, lease: Lease) -> bool:
    return bool((row.epoch, row.holder) == (lease.epoch, lease.holder))


def _has_moved(row: Any, base: State) -> bool:
    return bool((row.consumed, row.carry_key, row.last_seq) != (base.consumed, base.carry_key, base.last_seq))


def _check(row: Any, lease: Lease, base: State) -> None:
    if not _is_mine(row, lease):
        raise Overtaken(f"another worker has taken over publishing of {lease.account}; nothing was changed")
    if _has_moved(row, base):
        raise Overtaken(f"{lease.account} was published meanwhile; nothing was changed")


def _committed(conn: sa.Connection, row: Any, lease: Lease, base: State, outcome: Outcome) -> int | None:
    """The generated time of a commit of ours that was cut off and came through after all; None where it did not."""
    t = tables.parts
    if outcome.parts:
        ours = (t.c.account == lease.account, t.c.seq == base.last_seq + 1, t.c.gz_key == outcome.parts[0].gz_key)
        return conn.scalar(sa.select(t.c.generated).where(*ours))
    # Nobody but the holder of a lease moves an account. Without parts, what does not show is no loss to do again.
    return base.last_generated if _is_mine(row, lease) and _has_moved(row, base) else None


def _insert_parts(conn: sa.Connection, vault: Vault, account: str, base: State, new: Sequence[NewPart], now: int) -> None:
    links = chained.links(conn, account, base.last_seq, new)
    rows = [
        {"account": account, "seq": seq, "generated": 0, "link": link} | {f.name: getattr(part, f.name) for f in fields(part)}
        for seq, (part, link) in enumerate(zip(new, links, strict=True), base.last_seq + 1)
    ]
    if rows:
        conn.execute(sa.insert(tables.parts), rows)
        chained.sign_head(conn, chained.signer(conn, vault, account, now), base.last_seq + len(rows))


def _mark_published(conn: sa.Connection, account: str, published: Mapping[str, int]) -> None:
    t = tables.session_ids
    statement = (
        sa.update(t)
        .where(t.c.account == account, t.c.session_id == sa.bindparam("id"), t.c.scope_start.is_(None))
        .values(scope_start=sa.bindparam("scope"))
    )
    if published:
        conn.execute(statement, [{"id": id_, "scope": scope} for id_, scope in published.items()])


def _insert_run(conn: sa.Connection, account: str, outcome: Outcome, now: int) -> None:
    values: dict[str, Any] = {
        "account": account,
        "started": outcome.started,
        "finished": now,
        "until": outcome.watermark,
        "parts": len(outcome.parts),
        "sessions": sum(part.sessions for part in outcome.parts),
        "withdrawals": sum(part.withdrawals for part in outcome.parts),
        "events": sum(part.events for part in outcome.parts),
        "repeats": outcome.repeats,
        "set_aside": outcome.aside_events,
    }
    conn.execute(sa.insert(tables.runs).values(values))
    if outcome.aside_key is not None:
        row = {"account": account, "object_key": outcome.aside_key, "events": outcome.aside_events, "at": now}
        conn.execute(sa.insert(tables.asides).values(row))


def _advance(conn: sa.Connection, lease: Lease, base: State, outcome: Outcome, generated: int) -> None:
    # The stamp comes last, so that what is left until the parts are visible is the COMMIT alone.
    t = tables.parts
    conn.execute(sa.update(t).where(t.c.account == lease.account, t.c.seq > base.last_seq).values(generated=generated))
    moved = {
        "consumed": outcome.consumed,
        "carry_key": outcome.carry_key,
        "carry_sessions": outcome.carry_sessions,
        "carry_events": outcome.carry_events,
        "watermark": outcome.watermark,
        "last_seq": base.last_seq + len(outcome.parts),
        "last_generated": generated,
        "floor": None,
        "repeats": base.repeats + outcome.repeats,
    }
    conn.execute(sa.update(_A).where(_mine(lease)).values(moved))


def last_run(conn: sa.Connection, account: str) -> dict[str, Any] | None:
    """The account's last publishing run, as a row of `tables.runs`."""
    query = sa.select(tables.runs).where(tables.runs.c.account == account).order_by(tables.runs.c.id.desc()).limit(1)
    row = conn.execute(query).one_or_none()
    return None if row is None else dict(row._mapping)


def set_aside(conn: sa.Connection, account: str) -> int:
    """How many late events of the account are set aside."""
    t = tables.asides
    return int(conn.scalar(sa.select(sa.func.coalesce(sa.func.sum(t.c.events), 0)).where(t.c.account == account)) or 0)
