"""Landing batches: which rows of which object are an account's events, in the order in which they became visible."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import sqlalchemy as sa

from shiftlog.catalog import accounts, tables
from shiftlog.catalog.connection import insert_of, paired, pairs_of
from shiftlog.errors import Missing

_T, _IDS, _A = tables.batches, tables.session_ids, tables.accounts


@dataclass(frozen=True, slots=True)
class Claim:
    """One account's rows of a landing object, before it has a number. `sessions` are producers' session ids → agentID; `rules` is the
    version of what the rows keep to about forgotten agents."""

    account: str
    first_row: int
    rows: int
    min_timestamp: int
    max_timestamp: int
    sessions: Mapping[str, int] = field(default_factory=dict)
    rules: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """One account's rows [first_row, first_row + rows) of a landing object."""

    number: int
    object_key: str
    first_row: int
    rows: int
    received_at: int
    min_timestamp: int
    max_timestamp: int


# Made once: to make a statement costs more than to execute it.
_COUNT = sa.update(_A).where(_A.c.account == sa.bindparam("of")).values(landed=_A.c.landed + 1).returning(_A.c.landed, _A.c.forgotten)
_ADD = sa.insert(_T)


def commit(conn: sa.Connection, object_key: str, received_at: int, claims: Iterable[Claim]) -> list[str]:
    """Make an object's rows visible. Returns the session ids that belong to other agents, and the accounts of which an agent was forgotten
    meanwhile: with any, roll back.

    The number is given under the account's row lock, so batches become visible in its order. Accounts are locked by
    name, so two writers cannot wait for each other.

    Raises:
        Missing: an account that is not there.
    """
    disputed: list[str] = []
    for claim in sorted(claims, key=lambda claim: claim.account):
        row = conn.execute(_COUNT, {"of": claim.account}).one_or_none()
        if row is None:
            raise Missing(f"there is no account {claim.account}")
        if row.forgotten != claim.rules:
            disputed.append(claim.account)
        batch = Batch(row.landed, object_key, claim.first_row, claim.rows, received_at, claim.min_timestamp, claim.max_timestamp)
        conn.execute(_ADD, {"account": claim.account, **{name: getattr(batch, name) for name in Batch.__slots__}})
        disputed += _own(conn, claim, received_at)
    return disputed


def is_committed(conn: sa.Connection, object_key: str, claims: Iterable[Claim]) -> bool:
    """Whether a commit of these claims of an object that was cut off came through after all.

    It held the lock of its first account to its end, whatever that was: it is waited for.
    """
    accounts.lock(conn, min(claim.account for claim in claims))
    return bool(conn.scalar(sa.select(sa.exists().where(_T.c.object_key == object_key))))


def _own(conn: sa.Connection, claim: Claim, now: int) -> list[str]:
    if not claim.sessions:
        return []
    dialect = conn.dialect.name
    seen = conn.execute(_see(dialect), {"of": claim.account, "now": now, **paired(dialect, claim.sessions)}).rowcount
    if seen == len(claim.sessions):
        return []
    found = owners(conn, claim.account, claim.sessions)
    return [id_ for id_, agent in claim.sessions.items() if found[id_] != agent]


def owners(conn: sa.Connection, account: str, session_ids: Iterable[str]) -> dict[str, int]:
    """Which agents the session ids belong to, of those that were seen before."""
    dialect = conn.dialect.name
    rows = conn.execute(_whose(dialect), {"of": account, **paired(dialect, dict.fromkeys(session_ids, 0))})
    return {id_: agent for id_, agent in rows}  # noqa: C416 (rows are not pairs to mypy)


@cache
def _see(dialect: str) -> sa.Executable:
    """Has pairs of session ids and agents seen, where the ids are new or are the agents'."""
    given, now = pairs_of(dialect), sa.bindparam("now", type_=sa.BigInteger)
    # Without a condition, SQLite takes ON CONFLICT for one of a join.
    rows = sa.select(sa.bindparam("of", type_=sa.String), given.c.key, given.c.value, now).where(sa.true())
    statement = insert_of(dialect, _IDS).from_select(["account", "session_id", "agent_id", "seen_at"], rows)
    keys, mine = [column.name for column in _IDS.primary_key], _IDS.c.agent_id == statement.excluded.agent_id
    seen: sa.Executable = statement.on_conflict_do_update(index_elements=keys, set_={"seen_at": statement.excluded.seen_at}, where=mine)
    return seen


@cache
def _whose(dialect: str) -> sa.Executable:
    asked = sa.select(pairs_of(dialect).c.key)
    return sa.select(_IDS.c.session_id, _IDS.c.agent_id).where(_IDS.c.account == sa.bindparam("of"), _IDS.c.session_id.in_(asked))


def published(conn: sa.Connection, account: str, since: int) -> dict[str, int]:
    """Of the session ids that were seen at or after an instant (epoch ms), those that were published, with the scopes
    (their starts) under which they first were."""
    query = sa.select(_IDS.c.session_id, _IDS.c.scope_start)
    mine = (_IDS.c.account == account, _IDS.c.scope_start.is_not(None), _IDS.c.seen_at >= since)
    return {id_: scope for id_, scope in conn.execute(query.where(*mine))}  # noqa: C416 (rows are not pairs to mypy)


def after(conn: sa.Connection, account: str, number: int) -> Sequence[Batch]:
    """The account's batches after a number, in order."""
    columns = [_T.c[name] for name in Batch.__slots__]
    query = sa.select(*columns).where(_T.c.account == account, _T.c.number > number).order_by(_T.c.number)
    return [Batch(*row) for row in conn.execute(query)]


def forget(conn: sa.Connection, before: int) -> list[str]:
    """Drop the rows of objects that every account has consumed and that arrived before an instant (epoch ms).

    Returns the keys of objects that no row names any more: they can be deleted after the commit.
    """
    old = _T.alias("old")
    waiting = (
        sa.select(old.c.object_key)
        .join(_A, _A.c.account == old.c.account)
        .where((old.c.number > _A.c.consumed) | (old.c.received_at >= before))
    )
    gone = sa.delete(_T).where(_T.c.received_at < before, _T.c.object_key.not_in(waiting)).returning(_T.c.object_key)
    return sorted({key for (key,) in conn.execute(gone)})


def keys_in_use(conn: sa.Connection) -> set[str]:
    """The objects that batches name."""
    return set(conn.scalars(sa.select(_T.c.object_key).distinct()))
