"""Looks: a window of an account as it stood at one instant, and its numbers, each made when it is first asked for.

`Looks` keeps them. A look is good as long as nothing was accepted or published since; and where something was, for ten times
as long as it took to make, so that a stream of events cannot keep the server busy with pages. A page says as of when it is.
"""

from __future__ import annotations

import gzip
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

import polars as pl

from shiftlog import charts, quality
from shiftlog.archive import Archive
from shiftlog.catalog import batches, parts, publishing
from shiftlog.errors import Invalid, TooLarge
from shiftlog.hours import DAY, HOUR, SECOND
from shiftlog.house import House
from shiftlog.live import LiveViews
from shiftlog.server.pages.held import ELSEWHERE, Held
from shiftlog.server.pages.view import View

T = TypeVar("T")

_OLDEST = 120.0  # seconds: names and schedules that were imported meanwhile are seen after so long
_PATIENCE, _LONGEST = 10, 15.0  # a look is good for so many times what it cost, and so many seconds
_STEP = 10 * SECOND  # how often a window that reaches to now is looked at again
_HELD, _MANY = 1.5, 64  # together, looks hold so many times the events that one may hold, and are so many at most
_ALONE = 10  # an agent's own window may hold so many times the events of a window of all
# The buckets of a curve, by the longest window in which they are a few hundred.
_CURVES = {DAY: "5m", 4 * DAY: "15m", 8 * DAY: "30m", 16 * DAY: "1h"}


class Look:
    """The window [start, end) (epoch ms) of one account, or of one of its agents, as it stood at `at`. Safe in several threads."""

    def __init__(self, held: Held, start: int, end: int) -> None:
        self._held, self.start, self.end = held, start, end
        self._made: dict[Hashable, Any] = {}
        self._making = threading.RLock()
        self.cost = 0.0  # seconds it took so far

    @property
    def at(self) -> int:
        return self._held.at

    @property
    def events(self) -> int:
        return self._held.rows.height

    def once(self, what: Hashable, make: Callable[[], T]) -> T:
        """What was made under this name, or is made now."""
        with self._making:
            if what not in self._made:
                began = time.monotonic()
                self._made[what] = make()
                self.cost += time.monotonic() - began
            found: T = self._made[what]
            return found

    def of_agent(self, agent: int) -> Look:
        """The same of one agent."""
        return self.once(("of_agent", agent), lambda: Look(self._held.of_agent(agent), self.start, self.end))

    # ── numbers ──

    def totals(self, view: View, every: str = "all") -> pl.DataFrame:
        """The numbers of the account, or of the view's group, a row a bucket (columns `metrics.metrics`); none where there are none."""
        if view.group is None:
            return self._metrics(view.tz, every, "account")
        return self._metrics(view.tz, every, "group").filter(pl.col("group_id") == view.group)

    def total_of(self, view: View, start: int, end: int) -> dict[str, Any] | None:
        """The numbers of the account, or of the view's group, in another window within this one; None where there are none."""
        ask, by = self._archive.metrics, "account" if view.group is None else "group"
        found = self.once(("of", view.tz, by, start, end), lambda: ask(by=by, start=start, end=end, tz=view.tz).collect())
        rows = found if view.group is None else found.filter(pl.col("group_id") == view.group)
        return rows.row(0, named=True) if rows.height else None

    def agents(self, view: View, every: str = "all") -> pl.DataFrame:
        """The numbers of each agent (columns `metrics.metrics` by agent); with a group, of their time in that group."""
        if view.group is None:
            return self._metrics(view.tz, every, "agent")
        return self.once(("agents", view.tz, every, view.group), lambda: self._in_group(view.tz, every, view.group or 0))

    def by(self, view: View, key: str) -> pl.DataFrame:
        """The numbers by agent, group or profile, for the whole window."""
        return self.agents(view) if key == "agent" else self._metrics(view.tz, "all", key)

    def groups(self) -> list[int]:
        """The groups that have anything in the window."""
        found: list[int] = self._metrics("UTC", "all", "group")["group_id"].drop_nulls().to_list()
        return found

    def intervals(self, view: View) -> pl.DataFrame:
        """Columns `intervals.INTERVALS`."""
        found = self.once("intervals", lambda: self._archive.intervals(start=self.start, end=self.end).collect())
        return found if view.group is None else found.filter(pl.col("group_id") == view.group)

    def sessions(self) -> pl.DataFrame:
        """Columns as of `Archive.sessions`."""
        return self.once("sessions", lambda: self._archive.sessions(start=self.start, end=self.end).collect())

    def quality(self) -> tuple[pl.DataFrame, quality.Summary]:
        """Findings (columns `quality.FINDINGS`) and their summary."""
        return self.once("quality", lambda: self._archive.quality(start=self.start, end=self.end))

    def names(self) -> dict[tuple[str, int], str]:
        """What (kind, id) are called."""
        return self.once("names", lambda: self._archive.names(start=self.start, end=self.end))

    def agent_names(self) -> dict[int, str]:
        return {id_: name for (kind, id_), name in self.names().items() if kind == "agent"}

    @property
    def _archive(self) -> Archive:
        return Archive(self._held)

    def _metrics(self, tz: str, every: str, by: str) -> pl.DataFrame:
        ask = self._archive.metrics
        return self.once(("metrics", tz, every, by), lambda: ask(every=every, by=by, start=self.start, end=self.end, tz=tz).collect())

    def _in_group(self, tz: str, every: str, group: int) -> pl.DataFrame:
        archive = Archive(self._held.agents_as_groups(group))
        found = archive.metrics(every=every, by="group", start=self.start, end=self.end, tz=tz).collect()
        known = pl.col("group_id").is_not_null() & (pl.col("group_id") != ELSEWHERE)
        return found.filter(known).rename({"group_id": "agent_id"})

    # ── charts ──

    def chart(self, view: View, name: str, theme: str, format_: str) -> bytes:
        """A chart of `CHARTS` as one of `charts.FORMATS`, in gzip: `json` is its Vega-Lite specification.

        Raises:
            Invalid: no such chart, or nothing to draw; TooLarge: more than it has room for; Unusable: the extra `charts` is missing.
        """
        if name not in CHARTS:
            raise Invalid(f"chart {name[:40]!r} is not known; allowed: {', '.join(CHARTS)}")
        what = ("chart", name, view.tz, view.group, theme, format_)
        return self.once(what, lambda: gzip.compress(charts.render(CHARTS[name](self, view, theme), format_), 6, mtime=0))

    def about(self, view: View) -> charts.About:
        return charts.About(view.account, self.start, self.end, view.tz)

    def plan(self) -> pl.DataFrame | None:
        return self._held.schedule(self.start, self.end)

    def curve(self, view: View) -> str:
        """The buckets of the window's curves."""
        return next((every for longest, every in _CURVES.items() if view.length <= longest), "1d")


def _timeline(look: Look, view: View, theme: str) -> Any:
    plan = look.plan() if view.group is None else None
    return charts.timeline(look.intervals(view), look.about(view), names=look.agent_names(), schedule=plan, theme=theme)


def _states(look: Look, view: View, theme: str) -> Any:
    return charts.states(look.agents(view), look.about(view), names=look.agent_names(), theme=theme)


def _occupancy(look: Look, view: View, theme: str) -> Any:
    return charts.occupancy(look.agents(view, "1h"), look.about(view), by="agent", names=look.agent_names(), theme=theme)


def _weekdays(look: Look, view: View, theme: str) -> Any:
    return charts.occupancy(look.totals(view, "1h"), look.about(view), by="weekday", theme=theme)


def _staffing(look: Look, view: View, theme: str) -> Any:
    return charts.staffing(look.totals(view, look.curve(view)), look.about(view), theme=theme)


def _concurrency(look: Look, view: View, theme: str) -> Any:
    levels = charts.time_at_levels(look.intervals(view))
    return charts.concurrency(look.totals(view, look.curve(view)), levels, look.about(view), theme=theme)


#: The charts of a look: those of `charts`, and the map of occupancy also by weekday.
CHARTS: dict[str, Callable[[Look, View, str], Any]] = {
    "timeline": _timeline,
    "states": _states,
    "occupancy": _occupancy,
    "weekdays": _weekdays,
    "staffing": _staffing,
    "concurrency": _concurrency,
}


# ── kept ──


@dataclass(slots=True)
class _Kept:
    """A look, the state it was made from, and when (monotonic seconds)."""

    look: Look
    stamp: Hashable
    made: float

    def good(self, stamp: Hashable, now: float) -> bool:
        age = now - self.made
        return age < _OLDEST if stamp == self.stamp else age < min(_PATIENCE * self.look.cost, _LONGEST)


class Looks:
    """The looks of one deployment, kept for whoever asks next. Safe in several threads; what they do may take seconds."""

    def __init__(self, house: House, lives: LiveViews) -> None:
        self._house, self._lives, self._most = house, lives, house.settings.view_events
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._changing = threading.Lock()
        self._reading: dict[Hashable, threading.Lock] = {}

    def at(self, view: View, agent: int | None = None) -> Look:
        """The view's window, of all agents or of one.

        Raises:
            TooLarge: it holds more events than pages show.
        """
        stamp, events = self._state(view)
        if agent is not None and events <= self._most:
            return self._look((view.account, view.start, view.end, None), stamp, view, None).of_agent(agent)
        if events > self._most * (1 if agent is None else _ALONE):
            raise TooLarge(
                f"{view.text} holds about {events} events, and pages show windows of up to {self._most}; choose a shorter one, "
                "or ask shiftlog report, which has no such limit"
            )
        return self._look((view.account, view.start, view.end, agent), stamp, view, agent)

    def _look(self, key: Hashable, stamp: Hashable, view: View, agent: int | None) -> Look:
        with self._changing:
            reading = self._reading.setdefault(key, threading.Lock())
        # Who asks for the same meanwhile waits for it, and does not read it again.
        with reading:
            kept = self._kept.get(key)
            if kept is None or not kept.good(stamp, time.monotonic()):
                began = time.monotonic()
                held = Held.read(self._house, view.account, view.start, view.end, agent, lives=self._lives)
                look = Look(held, view.start, view.end)
                look.cost = time.monotonic() - began
                kept = _Kept(look, stamp, began)
            self._keep(key, kept)
            return kept.look

    def _keep(self, key: Hashable, kept: _Kept) -> None:
        with self._changing:
            self._kept[key] = kept
            self._kept.move_to_end(key)
            while len(self._kept) > 1 and (self._held() > _HELD * self._most or len(self._kept) > _MANY):
                old, _ = self._kept.popitem(last=False)
                self._reading.pop(old, None)

    def _held(self) -> int:
        return sum(kept.look.events for kept in self._kept.values())

    def _state(self, view: View) -> tuple[Hashable, int]:
        """What a look depends on, and about how many events its window holds."""
        with self._house.catalog.read() as conn:
            now, state = self._house.catalog.now(conn), publishing.state(conn, view.account)
            found = parts.overlapping(conn, view.account, view.start, view.end)
            new = batches.after(conn, view.account, state.consumed)
        events = sum(part.events for part in found) + sum(batch.rows for batch in new) + state.carry_events
        return (state.landed, state.last_seq, state.watermark, now // _STEP if view.end > now else None), events


def last_event(house: House, account: str) -> int | None:
    """An instant (epoch ms) near the account's last events, published or not; None where there never were any."""
    with house.catalog.read() as conn:
        state = publishing.state(conn, account)
        now = house.catalog.now(conn)
        new = batches.after(conn, account, state.consumed)
        first = parts.first_scope(conn, account)
        found = [batch.max_timestamp for batch in new]
        for days in (2, 31, 400):
            if found or first is None:
                break
            found = [part.max_timestamp for part in parts.overlapping(conn, account, now - days * DAY, now + DAY) if part.max_timestamp]
    return min(max(found), now) if found else (None if first is None else first + HOUR - 1)
