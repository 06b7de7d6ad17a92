"""The live view, kept: what is pending stays folded, and what lands folds again the sessions of its agents alone.

Who watches an account asks every second, and between two runs thousands of small batches may land; to read and to fold all of
them each time would take seconds. Sessions are cut by the events of their own agent, so the others stay as they are.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace

import polars as pl

from shiftlog import landing, pending
from shiftlog.catalog import publishing
from shiftlog.catalog.publishing import State
from shiftlog.errors import Missing
from shiftlog.house import House
from shiftlog.pending import Live, Pending
from shiftlog.sessions import foldable

_PIECES = 32


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is pending of an account at `at` (epoch ms): all up to the batch `number`, since the run that left `base`.

    `carried` and `landed` are `FOLDABLE`.
    """

    base: State
    at: int
    number: int
    carried: pl.DataFrame
    landed: pl.DataFrame
    live: Live

    @property
    def events(self) -> int:
        return self.carried.height + self.landed.height


class LiveViews:
    """The live views of one deployment's accounts, as long as together they hold at most `most` events; those that were asked
    for last stay. Safe in several threads."""

    def __init__(self, house: House, most: int) -> None:
        self._house, self._most = house, most
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._changing = threading.Lock()
        self._folding: dict[str, threading.Lock] = {}

    def at(self, account: str, now: int) -> Live:
        """As `pending.live`: what stands beside the account's published sessions at `now` (epoch ms), or at a later `now` that
        someone has asked for.

        Raises:
            Missing: no such account.
        """
        with self._changing:
            folding = self._folding.setdefault(account, threading.Lock())
        with folding:
            try:
                kept = self._pending(account, self._kept.get(account), now)
            except Missing:
                # A run was committed meanwhile, and what it has consumed is swept away; or there is no such account.
                kept = None
            self._keep(account, kept)
        return pending.live(self._house, account, now) if kept is None else kept.live

    def _pending(self, account: str, before: _Kept | None, now: int) -> _Kept | None:
        """What is pending, as far as possible from what was before; None where it is too much to be kept."""
        store = self._house.store
        with self._house.catalog.read() as conn:
            state = publishing.state(conn, account)
            whole = pending.pending(conn, account, state, self._house.settings.session_timeout)
        if whole.rows > self._most:
            return None
        base = replace(state, landed=0)
        if before is None or before.base != base:
            carried, landed = pending.carried(store, whole), foldable(landing.read(store, whole.batches))
            return _Kept(base, now, state.landed, carried, landed, self._folded(whole, carried, landed, now))
        fresh = foldable(landing.read(store, [batch for batch in whole.batches if batch.number > before.number]))
        kept = replace(before, at=max(before.at, now), number=state.landed, landed=_whole(pl.concat([before.landed, fresh])))
        return replace(kept, live=self._again(whole, kept, fresh))

    def _again(self, whole: Pending, kept: _Kept, fresh: pl.DataFrame) -> Live:
        """The live view after `fresh` has landed, and time has closed sessions: those of these agents are folded again."""
        before = kept.live
        timed_out = before.sessions.filter(pl.col("open") & (pl.col("closedAt") <= kept.at))
        agents = {*fresh["agentID"], *timed_out["agentID"]}
        if not agents:
            return before
        concerned = pl.col("agentID").is_in(sorted(agents))
        again = self._folded(whole, kept.carried.filter(concerned), kept.landed.filter(concerned), kept.at)
        replaced = {id_: agent for id_, agent in before.replaced.items() if agent not in agents}
        return Live(_whole(pl.concat([before.sessions.filter(~concerned), again.sessions])), {**replaced, **again.replaced})

    def _folded(self, whole: Pending, carried: pl.DataFrame, landed: pl.DataFrame, now: int) -> Live:
        gathered = pending.together(self._house.store, whole, carried, landed)
        return pending.beside(gathered, account=whole.account, timeout=whole.timeout, now=now)

    def _keep(self, account: str, kept: _Kept | None) -> None:
        with self._changing:
            self._kept.pop(account, None)
            if kept is not None:
                self._kept[account] = kept
            while len(self._kept) > 1 and sum(one.events for one in self._kept.values()) > self._most:
                self._kept.popitem(last=False)


def _whole(frame: pl.DataFrame) -> pl.DataFrame:
    """The same rows, in few pieces: a thousand batches of one event are slow to go through."""
    return frame.rechunk() if frame.n_chunks() > _PIECES else frame
