"""Published parts: the list of the Data Access API, the manifest, and where a part's bytes are."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import sqlalchemy as sa

from shiftlog.catalog import tables
from shiftlog.catalog.connection import insert
from shiftlog.errors import Missing
from shiftlog.events import INT64_MAX
from shiftlog.names import PartName

_T, _A = tables.parts, tables.accounts
_REMOVED = "removed"  # in `meta`: something else after each time that files of parts were marked as gone
_MANY = 5_000  # values in one IN list: well under SQLite's limit of 32 766


@dataclass(frozen=True, slots=True)
class NewPart:
    """A part that is written; not committed yet, where it is no `Part`. Times are epoch ms."""

    scope_start: int
    scope_end: int
    part: int
    revision: int
    schema_version: str
    gz_key: str
    gz_bytes: int
    gz_sha256: str
    twin_key: str
    twin_bytes: int
    twin_sha256: str
    sessions: int
    withdrawals: int
    events: int
    min_timestamp: int | None
    max_timestamp: int | None

    @property
    def name(self) -> PartName:
        return PartName(self.scope_start, self.scope_end, self.part, self.revision)

    def meets(self, low: int, high: int) -> bool:
        """Whether it has events in [low, high], or on both sides of it."""
        return (
            self.min_timestamp is not None and self.max_timestamp is not None and self.max_timestamp >= low and self.min_timestamp <= high
        )


@dataclass(frozen=True, slots=True)
class Part(NewPart):
    """A published part; `gz_gone` and `twin_gone` say when its files were deleted, `removed_…` why that of the API was, as it is signed."""

    seq: int
    generated: int
    gz_gone: int | None
    twin_gone: int | None
    link: str | None
    removed_reason: str | None
    removed_by: str | None
    removed_signature: str | None


_COLUMNS = [_T.c[field.name] for field in fields(Part)]


@dataclass(frozen=True, slots=True)
class Listing:
    """What a list answers: the parts, and the instant before which nothing more can appear (the safe next startTime)."""

    parts: Sequence[Part]
    covered_until: int
    more: bool


def listing(
    conn: sa.Connection,
    account: str,
    *,
    now: int,
    start: int = 0,
    end: int | None = None,
    scope_from: int | None = None,
    scope_to: int | None = None,
    after: tuple[int, int] = (-1, -1),
    limit: int | None = None,
) -> Listing:
    """Parts whose generated time lies in [start, end) and is past, whose files are there, by (generated, seq).

    `scope_from` and `scope_to` (half-open) filter by the start of the scope. `after` is the (generated, seq) of the last part
    of the page before. `now` is the catalog's clock.
    """
    listed = _listed(account, _until(now, end), start, scope_from, scope_to, after)
    query = sa.select(*_COLUMNS).where(*listed).order_by(_T.c.generated, _T.c.seq)
    found = [Part(*row) for row in conn.execute(query if limit is None else query.limit(min(limit + 1, INT64_MAX)))]
    more = limit is not None and len(found) > limit
    floor = conn.scalar(sa.select(_A.c.floor).where(_A.c.account == account))
    return Listing(found[:limit], _covered(now, end, floor), more)


def _covered(now: int, end: int | None, floor: int | None) -> int:
    """Up to which instant a list that is asked `now` and ends at `end` is complete, whatever is committed later."""
    return min(_until(now, end), now if floor is None else floor)


class Edition(NamedTuple):
    """What the lists of an account follow from, beside what they are asked for: as long as it is the same, so is every list.

    Parts come with higher numbers than all before, those whose files are gone never come back, and nothing else of them changes.
    """

    time_zone: str
    encrypted: bool
    last_seq: int
    removed: str | None


class Standing(NamedTuple):
    """An account as a list finds it: up to which instant that covers, and its edition; None where a part waits for its generated time."""

    covered_until: int
    edition: Edition | None


_STANDING = sa.select(
    _A.c.floor,
    _A.c.last_generated,
    _A.c.time_zone,
    _A.c.pgp_key.is_not(None),
    _A.c.last_seq,
    sa.select(tables.meta.c.value).where(tables.meta.c.name == _REMOVED).scalar_subquery(),
).where(_A.c.account == sa.bindparam("of"))


def standing(conn: sa.Connection, account: str, *, now: int, end: int | None) -> Standing:
    """Where an account stands for a list that is asked `now` and ends at `end`; it costs the same for any number of parts.

    Raises:
        Missing: no such account.
    """
    row = conn.execute(_STANDING, {"of": account}).one_or_none()
    if row is None:
        raise Missing(f"there is no account {account}")
    floor, last_generated, *edition = row
    return Standing(_covered(now, end, floor), Edition(*edition) if last_generated < now else None)


def mark_removed(conn: sa.Connection) -> None:
    """Let no list be taken for what it was: files of parts are gone.

    The last statement of its transaction but those that others do not wait for, as all who remove something come by here.
    """
    mark = secrets.token_hex(8)
    statement = insert(conn, tables.meta).values(name=_REMOVED, value=mark)
    conn.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": mark}))


def _until(now: int, end: int | None) -> int:
    return now if end is None else min(end, now)


def _listed(
    account: str, until: int, start: int, scope_from: int | None, scope_to: int | None, after: tuple[int, int]
) -> list[sa.ColumnElement[bool]]:
    """What is true of the parts that a list has."""
    listed = [
        _T.c.account == account,
        _T.c.generated >= start,
        _T.c.generated < until,
        _T.c.gz_gone.is_(None),
        sa.tuple_(_T.c.generated, _T.c.seq) > sa.tuple_(*map(sa.literal, after)),
    ]
    if scope_from is not None:
        listed.append(_T.c.scope_start >= scope_from)
    if scope_to is not None:
        listed.append(_T.c.scope_start < scope_to)
    return listed


# Made once: to make it costs more than to ask it.
_FIND = (
    sa.select(*_COLUMNS, _A.c.pgp_key)
    .join(_A, _A.c.account == _T.c.account)
    .where(
        _T.c.account == sa.bindparam("of"), *(_T.c[name] == sa.bindparam(name) for name in ("scope_start", "scope_end", "part", "revision"))
    )
    .where(_T.c.generated <= sa.bindparam("now"))
)


class Served(NamedTuple):
    """A part, and the OpenPGP key to which its account's files are encrypted, if it has one."""

    part: Part
    pgp_key: str | None


def find(conn: sa.Connection, account: str, name: PartName, now: int) -> Part | None:
    """A part that is visible at `now`, by its name; also one whose files are gone."""
    found = served(conn, account, name, now)
    return None if found is None else found.part


def served(conn: sa.Connection, account: str, name: PartName, now: int) -> Served | None:
    """As `find`, with what else says how the part is served."""
    asked = {"scope_start": name.start, "scope_end": name.end, "part": name.part, "revision": name.revision}
    row = conn.execute(_FIND, {"of": account, **asked, "now": now}).one_or_none()
    return None if row is None else Served(Part(*row[:-1]), row[-1])


def manifest(conn: sa.Connection, account: str, *, now: int, after: int, limit: int) -> Sequence[Part]:
    """Parts after a sequence number that are visible at `now`, in order, tombstones included."""
    query = sa.select(*_COLUMNS).where(_T.c.account == account, _T.c.seq > after, _T.c.generated < now).order_by(_T.c.seq).limit(limit)
    return [Part(*row) for row in conn.execute(query)]


def overlapping(conn: sa.Connection, account: str, low: int, high: int) -> Sequence[Part]:
    """Parts with events in [low, high], and every part with a revision in the same scopes: they may supersede those."""
    touched = sa.select(_T.c.scope_start).where(_T.c.account == account, _T.c.max_timestamp >= low, _T.c.min_timestamp <= high)
    query = sa.select(*_COLUMNS).where(_T.c.account == account, _T.c.scope_start.in_(touched)).order_by(_T.c.seq)
    return [part for part in (Part(*row) for row in conn.execute(query)) if part.revision > 0 or part.meets(low, high)]


def of_scopes(conn: sa.Connection, account: str, scopes: Sequence[int]) -> Sequence[Part]:
    """All parts of some scopes (their starts), in order."""
    found: list[Part] = []
    for start in range(0, len(scopes), _MANY):
        some = scopes[start : start + _MANY]
        query = sa.select(*_COLUMNS).where(_T.c.account == account, _T.c.scope_start.in_(some))
        found += [Part(*row) for row in conn.execute(query)]
    return sorted(found, key=lambda part: part.seq)


def revisions(conn: sa.Connection, account: str, scopes: Sequence[int]) -> dict[int, int]:
    """The highest revision of each of some scopes that has parts."""
    highest: dict[int, int] = {}
    for start in range(0, len(scopes), _MANY):
        mine = (_T.c.account == account, _T.c.scope_start.in_(scopes[start : start + _MANY]))
        query = sa.select(_T.c.scope_start, sa.func.max(_T.c.revision)).where(*mine).group_by(_T.c.scope_start)
        highest |= {scope: revision for scope, revision in conn.execute(query)}  # noqa: C416 (rows are not pairs to mypy)
    return highest


def first_scope(conn: sa.Connection, account: str) -> int | None:
    """The start of the first hour that has a part."""
    first = conn.scalar(sa.select(sa.func.min(_T.c.scope_start)).where(_T.c.account == account))
    return None if first is None else int(first)
