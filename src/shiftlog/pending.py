"""What is accepted and not published: new events, carried sessions, and the published sessions that they may change.

The publisher commits what `gather` and `sessions.refold` give; the live view shows it before that. The catalog is asked once, by
`pending`; `gather` asks the store alone, so a share of the agents can be folded wherever the store is reached.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl
import sqlalchemy as sa

from shiftlog import chain, landing
from shiftlog.catalog import batches, parts, publishing
from shiftlog.catalog.batches import Batch
from shiftlog.catalog.parts import Part
from shiftlog.catalog.publishing import State
from shiftlog.errors import Missing
from shiftlog.house import House
from shiftlog.sessions import FOLDABLE, FOLDED, TWIN, dealt, foldable, refold, unfold
from shiftlog.store import Store, scan, sealed

_TWIN_EVENTS = 1_000_000  # events of twins that are gone through at a time, about: a bucket's are in memory whole
_MANY_STRETCHES = 32  # more stretches of late events than this are looked up as one


@dataclass(frozen=True, slots=True)
class Pending:
    """What of an account is pending, as plain data: which objects hold it, and what of the published it may change.

    `published` has the scopes (their starts) of those of its session ids that were published, and perhaps of others; `near` are
    the parts, by sequence number, in which sessions around its late events may lie, and perhaps others. `timeout` is in ms.
    """

    account: str
    timeout: int
    watermark: int | None
    carry_key: str | None
    carry_events: int
    batches: Sequence[Batch]
    published: Mapping[str, int]
    near: Sequence[Part]

    @property
    def rows(self) -> int:
        """How many events are to be folded, without those that were published."""
        return sum(batch.rows for batch in self.batches) + self.carry_events

    def shares(self, events: int) -> int:
        """In how many shares of the agents to fold, so that each has about so many events at most."""
        return max(1, -(-self.rows // events))


def pending(conn: sa.Connection, account: str, state: State, timeout: int) -> Pending:
    """What is pending after a state, which was read in the same transaction."""
    new = batches.after(conn, account, state.consumed)
    published = batches.published(conn, account, min(batch.received_at for batch in new)) if new else {}
    near = _near(conn, account, state.watermark, new, published, timeout)
    return Pending(account, timeout, state.watermark, state.carry_key, state.carry_events, new, published, near)


def _near(
    conn: sa.Connection, account: str, watermark: int | None, new: Sequence[Batch], published: Mapping[str, int], timeout: int
) -> list[Part]:
    found = {part.seq: part for part in parts.of_scopes(conn, account, sorted(set(published.values())))}
    late = [batch for batch in new if watermark is not None and batch.min_timestamp < watermark]
    if watermark is not None and late:
        low, high = min(batch.min_timestamp for batch in late), min(watermark, max(batch.max_timestamp for batch in late))
        found |= {part.seq: part for part in parts.overlapping(conn, account, low - timeout, high + timeout)}
    return [part for _, part in sorted(found.items())]


@dataclass(frozen=True, slots=True)
class Gathered:
    """What there is to fold for a share of an account's agents.

    `fresh`: new and carried events (`FOLDABLE`). `prior`: whole sessions as published now (`FOLDED`). `taken`: identities
    that are or were in use. `aside`: late events whose surroundings were deleted (`FOLDABLE`); they are not in `fresh`.
    """

    fresh: pl.DataFrame
    prior: pl.DataFrame
    taken: frozenset[str]
    aside: pl.DataFrame


def gather(store: Store, pending: Pending, *, share: int = 0, shares: int = 1, landed: pl.DataFrame | None = None) -> Gathered:
    """All that is pending of the agents in one of `shares` equal shares of the hash space; `landed` where that is at hand (`ACCEPTED`)."""
    condition = None if shares == 1 else (dealt(shares) == share)
    there = landing.read(store, pending.batches, condition) if landed is None else landed
    return together(store, pending, carried(store, pending, condition), foldable(there))


def together(store: Store, pending: Pending, carried: pl.DataFrame, landed: pl.DataFrame) -> Gathered:
    """The same where the carried and the landed events (both `FOLDABLE`), of all agents or of some, are at hand."""
    prior, taken, aside = _surroundings(store, pending, landed)
    within = landed if aside.is_empty() else landed.join(aside, on="position", how="anti", maintain_order="left")
    return Gathered(pl.concat([carried, within]), prior, taken, aside)


def carried(store: Store, pending: Pending, condition: pl.Expr | None = None) -> pl.DataFrame:
    """The events of the sessions that the last run left open (`FOLDABLE`)."""
    if pending.carry_key is None:
        return pl.DataFrame(schema=FOLDABLE)
    rows = pl.read_parquet(sealed.fetch(store, pending.carry_key))
    return unfold(rows if condition is None else rows.filter(condition))


# ── late events ──


def _surroundings(store: Store, pending: Pending, landed: pl.DataFrame) -> tuple[pl.DataFrame, frozenset[str], pl.DataFrame]:
    """The published sessions around late events (`prior`), the identities in use there (`taken`), and what is set aside.

    Without a sessionId, an event before the watermark may change the sessions of its agent that lie within `timeout` of it,
    and no others: sessions are cut by neighbouring events alone. With one, it may change the session of that id.
    """
    nothing = (pl.DataFrame(schema=FOLDED), frozenset[str](), pl.DataFrame(schema=FOLDABLE))
    if pending.watermark is None or landed.is_empty():
        return nothing
    account, timeout = pending.account, pending.timeout
    late = landed.filter(pl.col("sessionId").is_null() & (pl.col("timestamp") < pending.watermark))
    published = _mentioned(pending.published, landed)
    if late.is_empty() and not published:
        return nothing
    hulls = late.group_by("agentID").agg(low=pl.col("timestamp").min() - timeout, high=pl.col("timestamp").max() + timeout)
    near = _around(pending.near, _stretches(hulls), frozenset(published.values()))
    there = [part for part in near if part.twin_gone is None]
    # What was erased to forget an agent stands elsewhere, but for that agent.
    gone = [part for part in near if part.twin_gone is not None and part.removed_reason != chain.ERASURE]
    known = _twins(store, there, hulls["agentID"].to_list(), [f"{account}-{id_}" for id_ in published])
    aside = _out_of_reach(landed, gone, published, timeout)
    return _current(known, hulls, account, published), frozenset(known["agentSessionId"].unique()), aside


def _mentioned(published: Mapping[str, int], landed: pl.DataFrame) -> dict[str, int]:
    """Of the published session ids, those of landed events."""
    if not published:
        return {}
    return {id_: published[id_] for id_ in landed["sessionId"].drop_nulls().unique() if id_ in published}


def _around(near: Sequence[Part], stretches: Sequence[tuple[int, int]], scopes: frozenset[int]) -> list[Part]:
    """Of the parts, those with events in the stretches, and those with a revision in the same scopes, which may supersede
    them; and all of `scopes`."""
    met = {part.seq for part in near if any(part.meets(low, high) for low, high in stretches)}
    touched = {part.scope_start for part in near if part.seq in met}
    return [part for part in near if part.seq in met or (part.revision > 0 and part.scope_start in touched) or part.scope_start in scopes]


def _stretches(hulls: pl.DataFrame) -> list[tuple[int, int]]:
    """The agents' hulls as stretches of time that do not overlap."""
    merged: list[tuple[int, int]] = []
    for low, high in hulls.sort("low").select("low", "high").rows():
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged if len(merged) <= _MANY_STRETCHES else [(merged[0][0], max(high for _, high in merged))]


def _twins(store: Store, wanted: Sequence[Part], agents: Sequence[int], identities: Sequence[str]) -> pl.DataFrame:
    """The rows of some agents and identities in parts' twins, as `FOLDED` and `revision`."""
    columns = [*FOLDED, "revision"]
    if not wanted:
        return pl.DataFrame(schema={**FOLDED, "revision": TWIN["revision"]})
    concerned = pl.col("agentID").is_in(agents) | pl.col("agentSessionId").is_in(identities)
    scope = pl.col("part").str.extract(r"^Agent\.(\d+)\.").cast(pl.Int64)
    found = [
        scan(store, (part.twin_key for part in some)).filter(concerned).with_columns(scope=scope).select(columns).collect()
        for some in _few(wanted)
    ]
    return pl.concat(found)


def _few(wanted: Sequence[Part]) -> Iterator[list[Part]]:
    """Parts in groups of about `_TWIN_EVENTS`, in their order."""
    group: list[Part] = []
    for part in wanted:
        group.append(part)
        if sum(part.events for part in group) >= _TWIN_EVENTS:
            yield group
            group = []
    if group:
        yield group


def _current(known: pl.DataFrame, hulls: pl.DataFrame, account: str, published: dict[str, int]) -> pl.DataFrame:
    """Of the known rows, those of sessions that stand as published now and that late events may change, whole."""
    identity = ["scope", "agentSessionId"]
    latest = known.filter(pl.col("revision") == pl.col("revision").max().over(identity)) if known.height else known
    standing = latest.filter(pl.col("eventIndex").is_not_null()).select(FOLDED.keys())
    by_time = (
        standing.filter(pl.col("sessionId").is_null())
        .group_by("agentSessionId", "agentID")
        .agg(pl.col("timestamp").min().alias("first"), pl.col("timestamp").max().alias("last"))
        .join(hulls, on="agentID")
        .filter((pl.col("last") >= pl.col("low")) & (pl.col("first") <= pl.col("high")))
    )
    wanted = [*by_time["agentSessionId"], *(f"{account}-{id_}" for id_ in published)]
    return standing.filter(pl.col("agentSessionId").is_in(wanted))


def _out_of_reach(landed: pl.DataFrame, gone: Iterable[Part], published: dict[str, int], timeout: int) -> pl.DataFrame:
    """The late events near sessions whose twins were deleted: publishing them alone would contradict what was published."""
    condition = pl.lit(False)
    for part in gone:
        ids = [id_ for id_, scope in published.items() if scope == part.scope_start]
        if part.min_timestamp is not None and part.max_timestamp is not None:
            near = pl.col("timestamp").is_between(part.min_timestamp - timeout, part.max_timestamp + timeout)
            condition |= pl.col("sessionId").is_null() & near
        condition |= pl.col("sessionId").is_in(ids)
    return landed.filter(condition)


# ── the live view ──


@dataclass(frozen=True, slots=True)
class Live:
    """Sessions that are accepted and not published as they are now (columns `FOLDED`, `closedAt`, and `open`: not closed
    yet), and the published identities in whose place they stand, each with its agent."""

    sessions: pl.DataFrame
    replaced: Mapping[str, int]


def live(house: House, account: str, now: int) -> Live:
    """What stands beside the published sessions at `now` (epoch ms).

    Raises:
        Missing: no such account.
    """
    timeout = house.settings.session_timeout
    for attempt in (1, 2):
        with house.catalog.read() as conn:
            seen = pending(conn, account, publishing.state(conn, account), timeout)
        try:
            gathered = gather(house.store, seen)
            break
        except Missing:
            # A run was committed and its old objects were swept away in between; the new state names what is there.
            if attempt == 2:
                raise
    return beside(gathered, account=account, timeout=timeout, now=now)


def beside(gathered: Gathered, *, account: str, timeout: int, now: int) -> Live:
    """What was gathered as it stands beside the published sessions at `now` (epoch ms); `timeout` is in ms."""
    result = refold(gathered.fresh, gathered.prior, account=account, timeout=timeout, until=now + 1, taken=gathered.taken)
    closed = result.due.with_columns(closedAt=pl.lit(None, pl.Int64), open=pl.lit(False))
    waiting = result.waiting.with_columns(open=pl.lit(True))
    changed = pl.concat([result.due, result.waiting.select(FOLDED.keys())]).filter(pl.col("scope").is_not_null())
    gone = {*changed["agentSessionId"], *result.withdrawn["agentSessionId"]}
    published = dict(gathered.prior.select("agentSessionId", "agentID").unique().rows())
    return Live(pl.concat([closed, waiting]), {id_: agent for id_, agent in published.items() if id_ in gone})
