"""The present: who is logged in, in which state and for how long, with how many chats; from open sessions."""

from __future__ import annotations

from typing import Any, NamedTuple

import polars as pl

from shiftlog.archive import nicknames
from shiftlog.events import AgentState
from shiftlog.hours import HOUR
from shiftlog.house import House
from shiftlog.live import LiveViews
from shiftlog.server.pages import tables
from shiftlog.server.pages.look import Look
from shiftlog.server.pages.view import View, days_after, midnight

#: The states that are counted one by one; all others are counted together.
COUNTED = (AgentState.ONLINE, AgentState.BACK_SOON, AgentState.AWAY)
# Who can take chats comes first.
_ORDER = {state.value: place for place, state in enumerate((*COUNTED, AgentState.IRRELEVANT, AgentState.OFFLINE))}


class Present(NamedTuple):
    """An account, or a group of it, at `now` (epoch ms).

    `agents` are the rows of `logged_in` with `name`, as dicts; `counts` agents by state, and `others` those in none of
    `COUNTED`; `capacity` is of the agents online, None where it is not known of any; `hour` and `today` are numbers of the
    hour before `at` and of the day up to there (None where nobody was logged in).
    """

    now: int
    agents: list[dict[str, Any]]
    counts: dict[AgentState, int]
    others: int
    chats: int
    capacity: int | None
    at: int
    hour: dict[str, Any] | None
    today: dict[str, Any] | None
    groups: list[int]
    names: dict[tuple[str, int], str]


def around(view: View, now: int) -> View:
    """The window that has today and the last hour in it; the same for all who ask within an hour."""
    start = midnight(now, view.tz)
    return view.between(min(start, now - now % HOUR - HOUR), days_after(start, 1, view.tz))


def read(house: House, lives: LiveViews, view: View, look: Look) -> Present:
    """The present of the view's account and group, with the shares of a look at the window `around` now."""
    now = house.catalog.now()
    hour, today, groups, known = shares(view, look)
    live = lives.at(view.account, now).sessions
    rows = logged_in(live, now)
    # A look may be some seconds old, and not know yet who has just logged in.
    names = {("agent", agent): name for agent, _, name in nicknames(live.lazy()).rows()} | known
    groups = sorted({*groups, *rows["group_id"].drop_nulls()})
    rows = rows if view.group is None else rows.filter(pl.col("group_id") == view.group)
    online = rows.filter(pl.col("state") == AgentState.ONLINE)
    counts = {state: rows.filter(pl.col("state") == state).height for state in COUNTED}
    ordered = tables.named(rows.select("agent_id", pl.exclude("agent_id")), "agent", names).sort(
        pl.col("state").replace_strict(_ORDER, default=len(_ORDER)), "since", "agent_id"
    )
    return Present(
        now=now,
        agents=ordered.to_dicts(),
        counts=counts,
        others=rows.height - sum(counts.values()),
        chats=int(rows["chats"].sum()),
        capacity=int(online["maximum"].sum()) if online["maximum"].count() else None,
        at=look.at,
        hour=hour,
        today=today,
        groups=groups,
        names=names,
    )


class Shares(NamedTuple):
    """What the present takes from a look: the numbers of its last hour and of its day up to then, the groups, and the names."""

    hour: dict[str, Any] | None
    today: dict[str, Any] | None
    groups: list[int]
    names: dict[tuple[str, int], str]


def shares(view: View, look: Look) -> Shares:
    """The same for all who ask a look again."""
    at = look.at
    hour, today = (look.total_of(view, start, at) for start in (at - HOUR, midnight(at - 1, view.tz)))
    return Shares(hour, today, look.groups(), look.names())


def logged_in(sessions: pl.DataFrame, now: int) -> pl.DataFrame:
    """The agents that are logged in at `now` (epoch ms), of sessions that have columns `sessions.FOLDED` and `open`.

    agent_id, state (its code), since (when that began), login (the session's beginning), chats, maximum (null where it is
    not known), group_id, last_event. Of an agent with several open sessions it is the one with the last event.
    """
    session, state, maximum = "agentSessionId", pl.col("state").fill_null(AgentState.UNKNOWN), pl.col("maxConcurrentEng")
    happened = sessions.filter(pl.col("open") & (pl.col("timestamp") <= now)).sort(session, "eventIndex")
    begins = (state != state.shift().over(session)).fill_null(True)
    each = (
        happened.with_columns(begins.alias("begins"))
        .group_by(session, maintain_order=True)
        .agg(
            pl.col("agentID").last().alias("agent_id"),
            state.last().alias("state"),
            pl.col("timestamp").filter("begins").last().alias("since"),
            pl.col("sessionStartTime").last().alias("login"),
            pl.col("concurrentEng").last().fill_null(0).clip(lower_bound=0).alias("chats"),
            maximum.filter(maximum > 0).last().alias("maximum"),
            pl.col("agentGroupID").last().alias("group_id"),
            pl.col("timestamp").last().alias("last_event"),
        )
    )
    return each.sort("last_event", session).unique("agent_id", keep="last", maintain_order=True).drop(session)
