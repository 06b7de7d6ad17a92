"""Forgetting an agent (GDPR, Art. 17): whatever names the agent goes, wherever it lies, and nothing that does comes in any more.

The names, login and employee number of the agent are replaced by a pseudonym, or all that there was of the agent is removed. Objects never
change, so those that name the agent are written anew under other keys, and deleted once the catalog names the others. Of a part that goes,
every session that stands in it is published again in the same commit, as the next revision of its hour.

Each step looks for what is left to do, and does it: who was stopped anywhere begins again, and finishes (docs/decisions/0026).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import polars as pl
import structlog

from shiftlog import retention, steps
from shiftlog.catalog import accounts, encrypted, forgetting, parts, publishing, trail
from shiftlog.catalog.parts import NewPart, Part
from shiftlog.catalog.publishing import Outcome, State
from shiftlog.errors import Missing
from shiftlog.events import INT64_MAX
from shiftlog.forgotten import NAMING, Agent, applied, concerned
from shiftlog.house import House
from shiftlog.landing import parquet as landing_parquet
from shiftlog.lease import Held, Worker
from shiftlog.publish import wait_until
from shiftlog.sessions import FOLDED
from shiftlog.spill import InMemory
from shiftlog.steps import Folded, pieces
from shiftlog.store import scan, sealed

log = structlog.get_logger()

_GROUP_EVENTS, _GROUP_PARTS = 500_000, 1_000  # events and parts published again in one commit, about
_INDEX = pl.col("eventIndex")


@dataclass(slots=True)
class Forgotten:
    """What was done: parts that went, parts that came in their place, landing and other objects written anew, rows of the catalog.

    `clean` says whether the catalog's own files hold nothing any more of what was deleted; while others read in it for long, they may.
    """

    pseudonym: str
    erased: int = 0
    published: int = 0
    rewritten: int = 0
    rows: int = 0
    clean: bool = True


@dataclass(slots=True)
class _Hours:
    """Hours whose parts go together: the parts, and the rows that are published again."""

    erased: list[Part] = field(default_factory=list)
    rows: list[pl.DataFrame] = field(default_factory=list)

    @property
    def events(self) -> int:
        return sum(frame.height for frame in self.rows)


def forget(worker: Worker, account: str, agent: int, *, remove: bool = False, on_part: Callable[[], None] = lambda: None) -> Forgotten:
    """Forget an agent of an account; waits for a publisher that is at work. `on_part` is told of each part that was looked at.

    Raises:
        Missing: no such account.
        Overtaken: another worker took the lease meanwhile; run this again.
    """
    house = worker.house
    with house.catalog.write() as conn:
        who = forgetting.begin(conn, house.vault, account, agent, removed=remove, now=house.catalog.now(conn))
    done = Forgotten(who.pseudonym)
    with worker.hold(account) as held:
        run = _Erasure(house, held, who, done, on_part)
        run.landing()
        run.set_aside()
        run.carried()
        run.published()
        run.unnamed()
    with house.catalog.write() as conn:
        done.rows = forgetting.erase(conn, account, who)
        how = "all there was is removed" if who.removed else f"is {who.pseudonym} from now on"
        trail.by_hand(conn, house.catalog.now(conn), account, "forget", f"an agent: {how}")
    done.clean = house.catalog.scrub()
    if done.clean:
        with house.catalog.write() as conn:
            forgetting.finish(conn, house.vault, account, agent, house.catalog.now(conn))
    wait_until(house.catalog.now, run.generated)
    log.info("agent.forgotten", account=account, erased=done.erased, published=done.published, rewritten=done.rewritten)
    return done


class _Erasure:
    """The steps of it that need the account's lease."""

    def __init__(self, house: House, held: Held, agent: Agent, done: Forgotten, on_part: Callable[[], None]) -> None:
        self._house, self._held, self._agent, self._done, self._on_part = house, held, agent, done, on_part
        self._account = held.lease.account
        self.generated = 0  # from when on (epoch ms) all is visible

    # ── what is not published ──

    def landing(self) -> None:
        """Landing objects, which may have rows of other accounts: these stay, wherever they come to lie."""
        with self._house.catalog.read() as conn:
            keys = forgetting.landing_objects(conn, self._account)
        for key in keys:
            self._held.check()
            try:
                rows = pl.read_parquet(sealed.fetch(self._house.store, key))
            except Missing:
                continue  # all of it is published, and a sweep has deleted it
            self._rewrite_landing(key, rows)
        with self._house.catalog.read() as conn:
            doomed = forgetting.doomed(conn, self._account)
        if doomed:
            self._house.store.delete(doomed)
            with self._house.catalog.write() as conn:
                forgetting.deleted(conn, doomed)

    def _rewrite_landing(self, key: str, rows: pl.DataFrame) -> None:
        with self._house.catalog.read() as conn:
            found = forgetting.slices(conn, key)
        kept, moved, first = [], [], 0
        for account, number, start, count in found:
            mine = rows.slice(start, count)
            frame = applied(mine, [self._agent]) if account == self._account else mine
            kept.append(frame)
            moved.append((account, number, first, frame.height))
            first += frame.height
        if not kept or pl.concat(kept).equals(rows):
            return
        new_key = self._put(key.rpartition("/")[0], landing_parquet(pl.concat(kept)))
        with self._house.catalog.write() as conn:
            self._done.rewritten += forgetting.move(conn, key, new_key, moved, self._account)

    def set_aside(self) -> None:
        """Late events that could not be published."""
        with self._house.catalog.read() as conn:
            found = forgetting.asides(conn, self._account)
        for id_, key in found:
            rows = pl.read_parquet(sealed.fetch(self._house.store, key))
            kept = applied(rows, [self._agent])
            if kept.equals(rows):
                continue
            new_key = None if kept.is_empty() else self._put(f"aside/{self._account}", steps.parquet(kept))
            with self._house.catalog.write() as conn:
                forgetting.move_aside(conn, id_, new_key, kept.height)
            self._house.store.delete([key])
            self._done.rewritten += 1

    def carried(self) -> None:
        """The sessions that were open when the account was last published."""
        state = self._state()
        if state.carry_key is None:
            return
        rows = pl.read_parquet(sealed.fetch(self._house.store, state.carry_key))
        kept = applied(rows, [self._agent])
        if kept.equals(rows):
            return
        started = self._house.catalog.now()
        new_key = None if kept.is_empty() else self._put(f"carry/{self._account}", steps.parquet(kept))
        sessions = kept["agentSessionId"].n_unique()
        self._commit(state, started, carry_key=new_key, carry_sessions=sessions, carry_events=kept.height)
        self._house.store.delete([state.carry_key])
        self._done.rewritten += 1

    # ── what is published ──

    def published(self) -> None:
        """Parts that name the agent go, some hours at a time."""
        with self._house.catalog.read() as conn:
            found = parts.manifest(conn, self._account, now=INT64_MAX, after=0, limit=INT64_MAX)
        hours = sorted({part.scope_start for part in found if self._names(part)})
        together = _Hours()
        for scope in hours:
            self._take(scope, together)
            if together.events >= _GROUP_EVENTS or len(together.erased) >= _GROUP_PARTS:
                self._publish(together)
                together = _Hours()
        if together.erased:
            self._publish(together)

    def _names(self, part: Part) -> bool:
        """Whether a part has anything of the agent; the twin says so, which has what the published file has, and stays longer."""
        self._held.check()
        self._on_part()
        if part.twin_gone is not None:
            return False
        mine = scan(self._house.store, [part.twin_key]).filter(pl.col("agentID") == self._agent.id).select("agentID", *NAMING).collect()
        return concerned(mine, self._agent)

    def _take(self, scope: int, together: _Hours) -> None:
        """Of an hour, the parts that go, and what stands in them, without what names the agent."""
        with self._house.catalog.read() as conn:
            there = [part for part in parts.of_scopes(conn, self._account, [scope]) if part.twin_gone is None]
        rows = scan(self._house.store, (part.twin_key for part in there)).with_columns(scope=pl.lit(scope)).collect()
        going = [part for part in there if concerned(rows.filter(part=str(part.name)), self._agent)]
        latest = rows.filter(pl.col("revision") == pl.col("revision").max().over("agentSessionId"))
        standing = latest.filter(pl.col("part").is_in([str(part.name) for part in going])).select(FOLDED.keys())
        together.erased += going
        together.rows.append(pl.concat([applied(standing, [self._agent]), self._withdrawals(standing)]))

    def _withdrawals(self, standing: pl.DataFrame) -> pl.DataFrame:
        """For readers that know no manifest, sessions of an agent who is removed are withdrawn; nothing but their id is told."""
        if not self._agent.removed:
            return standing.clear()
        mine = standing.filter(pl.col("agentID") == self._agent.id).unique("agentSessionId", maintain_order=True)
        kept = ("agentSessionId", "scope")
        return mine.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in FOLDED.items() if name not in kept).select(
            FOLDED.keys()
        )

    def _publish(self, together: _Hours) -> None:
        house, state, started = self._house, self._state(), self._house.catalog.now()
        with ExitStack() as stack:
            put = stack.enter_context(house.store.batch())
            new = list(self._write(pl.concat(together.rows), put))
        self._commit(state, started, parts=new, erased=[part.seq for part in together.erased])
        house.store.delete([key for part in together.erased for key in (part.gz_key, part.twin_key)])
        self._done.erased += len(together.erased)
        self._done.published += len(new)

    def _write(self, rows: pl.DataFrame, put: steps.Put) -> Iterator[NewPart]:
        nothing = InMemory(rows.clear())
        folded = Folded(pieces(rows, 0, InMemory), nothing, 0, 0, nothing, 0, {}, 0)
        with self._house.catalog.read() as conn:
            revisions = parts.revisions(conn, self._account, rows["scope"].unique().to_list())
            version = accounts.get(conn, self._account).schema_version
        for planned in steps.plan([folded], revisions, shares=1, part_events=self._house.settings.part_events):
            self._held.check()
            part = steps.write(planned, account=self._account, schema_version=version, put=put)
            if part is not None:
                yield part

    # ── what nobody names ──

    def unnamed(self) -> None:
        """What runs that failed have left: of this account, which nobody else writes now; and of landing, once it is too old for a name."""
        now = self._house.catalog.now()
        with self._house.catalog.write() as conn:
            messages = encrypted.forget(conn)
        self._house.store.delete(messages)
        retention.collect(self._house, now - retention.UNNAMED_AGE, f"pgp/{self._account}/")
        for kind in ("parts", "carry", "aside"):
            retention.collect(self._house, INT64_MAX, f"{kind}/{self._account}/")
        retention.collect(self._house, now - retention.UNNAMED_AGE, "landing/")

    # ── the catalog ──

    def _state(self) -> State:
        with self._house.catalog.read() as conn:
            return publishing.state(conn, self._account)

    def _commit(self, state: State, started: int, **changes: object) -> None:
        same = Outcome(
            started=started,
            written=started,
            watermark=state.watermark or 0,
            consumed=state.consumed,
            carry_key=state.carry_key,
            carry_sessions=state.carry_sessions,
            carry_events=state.carry_events,
            parts=(),
            published_ids={},
            repeats=0,
            aside_key=None,
            aside_events=0,
        )
        outcome = replace(same, **changes)  # type: ignore[arg-type]
        house = self._house
        lease, lead = self._held.lease, house.settings.lead_milliseconds
        self.generated = publishing.commit(house.catalog, house.vault, lease, state, outcome, lead)

    def _put(self, directory: str, data: bytes) -> str:
        key = sealed.name(directory, self._house.catalog.now(), data)
        self._house.store.put(key, data)
        return key


def only_account(house: House, given: str | None) -> str:
    """The account that was named, or the only one there is.

    Raises:
        Missing: there are several, or none.
    """
    if given is not None:
        return given
    with house.catalog.read() as conn:
        names: Sequence[str] = [account.account for account in accounts.every(conn)]
    if len(names) != 1:
        raise Missing(f"--account is expected, where there is not exactly one: there are {_some(names)}")
    return names[0]


def _some(names: Iterable[str]) -> str:
    return ", ".join(list(names)[:5]) or "none"
