"""A simulated contact centre: seeded, realistic events whose truth is known.

How it is done. First the plan of all shifts is drawn: every agent has a shift pattern (nights and split shifts among them),
two days off a week, and in each stretch of two hours a short break (Back Soon) or lunch (Away). A shift ends with a
status other than Online; the agent logs out when the last chat is done. Some logouts never come.

Then chats are routed, a block of days at a time. An agent with capacity M has M slots, and every free slot of an agent
who is Online is offered the next chat after a random wait, which is short at the busy hours of the week and long at
night. A wait that outlasts the Online stretch is forgotten, and begins again with the next one: waits are
memoryless, so nothing is lost by that. Hence no chat starts with an agent who is not Online or has no free slot, and
no global queue is needed: one step of the loop gives all slots of the block their next chat. Chats are as long as they
are, and may run on into a break.

Last, what happened is written down as events. The truth is not read from these: it is the plan and the chats.

Same arguments, same bytes: everything is whole milliseconds, drawn from tables of quantiles in a fixed order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from io import BytesIO
from math import exp, log
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import NDArray

from shiftlog.errors import Invalid
from shiftlog.events import EARLIEST, INT64_MAX, NO_MAXIMUM, SENT, AgentState, EventType
from shiftlog.hours import DAY, HOUR, MINUTE, SECOND
from shiftlog.names import check_account

Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]

_STATE_MS = ("irrelevant_ms", "offline_ms", "online_ms", "back_soon_ms", "away_ms")  # by state, from 0

#: A session as it was. `session` numbers them over all agents; `end` is the last event's time, `endTime` the logout's, if
#: one was sent; `closedAt` follows from the rule of sessions. Times are epoch ms.
SESSIONS: dict[str, pl.DataType] = {
    **dict.fromkeys(("session", "agentID"), pl.Int64()),
    "sessionId": pl.String(),
    **dict.fromkeys(("start", "end", "endTime", "closedAt", "events", "chats", *_STATE_MS, "chat_ms"), pl.Int64()),
}
#: A stretch of a session in one state: `start <= t < end`, in epoch ms.
STATES: dict[str, pl.DataType] = dict.fromkeys(("session", "agentID", "state", "start", "end"), pl.Int64())
#: A chat: `start <= t < end`, in epoch ms.
CHATS: dict[str, pl.DataType] = dict.fromkeys(("session", "agentID", "start", "end"), pl.Int64())

# ── what the centre is like ──

# Shift patterns: percent of agents, hours of each part, and the hours at which the parts begin.
_PATTERNS = ((20, 8, (6,)), (30, 8, (9,)), (20, 8, (14,)), (12, 8, (22,)), (6, 4, (10,)), (5, 10, (8,)), (7, 4, (9, 15)))
_CAPACITIES = (5, 18, 30, 25, 14, 8)  # percent of agents with 1, 2, … 6 slots
_DAYS_OFF = (8, 8, 8, 8, 10, 50, 8)  # percent of agents whose two days off begin on Monday, Tuesday, …
_ABSENT, _BREAK_TAKEN, _ONLINE_AT_ONCE, _OFFLINE_AT_THE_END = 0.03, 0.85, 0.4, 0.2
_SEGMENT, _SEGMENTS = 2 * HOUR, 5  # a break lies wholly within its segment of the shift
_LONGEST_SILENCE = 12 * HOUR  # more than the longest shift and the longest chat after it

# How busy the hours of the day are, in percent of the busiest, and the days of the week from Monday.
_BUSY_HOURS = (20, 15, 12, 12, 12, 15, 25, 40, 65, 85, 100, 100, 90, 90, 95, 90, 85, 80, 75, 80, 80, 65, 45, 30)
_BUSY_DAYS = (100, 95, 90, 90, 95, 65, 50)
_RATE = np.outer(_BUSY_DAYS, _BUSY_HOURS).ravel()  # of each hour of the week, 10 000 being the busiest

_QUANTILES = 1024
_LEVELS = [min(max(i / _QUANTILES, 1 / 8192), 1 - 1 / 8192) for i in range(_QUANTILES + 1)]
# A free slot's wait for the next chat at the busiest hour: exponential, of 3 minutes on average.
_WAITS = np.array([round(-3 * MINUTE * log(1 - p)) for p in _LEVELS], np.int64)
# A chat's length: log-normal, with a median of 8 minutes, at most 45.
_LENGTHS = np.array([min(round(8 * MINUTE * exp(0.7 * NormalDist().inv_cdf(p))), 45 * MINUTE) for p in _LEVELS], np.int64)

_FIRST = ("Anna", "Bruno", "Chloé", "Dmitri", "Elif", "Fatou", "Grace", "Hiro", "Ines", "Jürgen", "Kofi", "Łucja", "Mei", "Noah", "Zoë")
_LAST = ("Abara", "Brown", "Costa", "Dubois", "Eriksen", "Fischer", "García", "Haddad", "Ito", "Jones", "Kaya", "Novák", "O'Neill")
_GROUPS = (-1, 11, 12, 13, 14, 15)  # -1 is none, as in the seed
_PROFILES = [2_438_730_012 + 100 * i for i in range(10)]

# Kinds of events, in their order within a millisecond: a chat ends before another starts, so that no slot is used twice.
# A change to a state is of the kind _STATUS + state; a login is the change to IRRELEVANT.
_CHAT_END, _STATUS, _CHAT_START, _LOGOUT = 0, 1, 6, 7
_TYPE = np.array([1, EventType.LOGIN, 1, 1, 1, 1, 1, EventType.LOGOUT], np.int64)
_STATE = np.array([-1, 0, 1, 2, 3, 4, -1, AgentState.OFFLINE], np.int64)  # -1: as before
_DELTA = np.array([-1, 0, 0, 0, 0, 0, 1, 0], np.int64)  # of concurrentEng
_KIND_BITS, _OFFSET_BITS, _PLACE_BITS = 3, 28, 29  # an offset from the login is at most 3 days, a block has at most 2**29 events


@dataclass(frozen=True, slots=True)
class Truth:
    """What happened: frames with the columns of `SESSIONS`, `STATES` and `CHATS`, each block's in order of (session, start)."""

    sessions: pl.DataFrame
    states: pl.DataFrame
    chats: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Simulation:
    """A simulated stretch of time: the events, their way to shiftlog, and the truth.

    `sent` has the columns of `events.SENT`, `arrivesAt`, and `repeatedAt` (epoch ms; null for an event that comes only
    once), in order of (timestamp, agentID, sequence). `known` is the truth, with `nextLogin` (epoch ms, null for none) in
    place of `closedAt`; it is of the sessions that begin in this stretch.
    """

    sent: pl.DataFrame
    known: Truth

    @property
    def events(self) -> pl.DataFrame:
        """The events as they happened: columns `events.SENT`, in order of (timestamp, agentID, sequence)."""
        return self.sent.select(SENT.keys())

    def arrivals(self) -> pl.DataFrame:
        """The events as they reach shiftlog, repeats included: columns `events.SENT` and `arrivesAt` (epoch ms), in its order."""
        again = self.sent.filter(pl.col("repeatedAt").is_not_null()).with_columns(pl.col("repeatedAt").alias("arrivesAt"))
        return _in_order(pl.concat([self.sent, again]).drop("repeatedAt"))

    def truth(self, session_timeout: int = DAY) -> Truth:
        """What happened, and when the sessions close if events are missed for `session_timeout` ms.

        A session whose logout never comes closes at the agent's next login or by time-out, whichever is first. One that has
        a `sessionId` closes by time-out only: the login is of another session.

        Raises:
            Invalid: a time-out of less than 12 hours, which could cut a quiet session in two.
        """
        if session_timeout < _LONGEST_SILENCE:
            raise Invalid(f"session_timeout is {session_timeout} ms; the truth is known for {_LONGEST_SILENCE} (12 hours) and more")
        timed_out, login = pl.col("end") + session_timeout, pl.col("nextLogin")
        cut = pl.when(pl.col("sessionId").is_null() & (login < timed_out)).then(login).otherwise(timed_out)
        sessions = self.known.sessions.with_columns(pl.coalesce("endTime", cut).alias("closedAt"))
        return Truth(sessions.select(SESSIONS.keys()), self.known.states, self.known.chats)


@dataclass(frozen=True, slots=True)
class Centre:
    """What is simulated.

    `start` (epoch ms) is the centre's midnight of the first day: 2026-03-02T00:00+01:00 makes one in Central Europe. Shifts
    begin on `days` days; the last night shift ends on the day after. `late` is the share of events that arrive 1 to 30
    hours after they happened (the others: within 5 seconds), `repeat` of those that arrive once more within 2 hours, and
    `no_logout` of the sessions whose logout never comes. `session_ids` gives every event its session's `sessionId`. None
    of these four changes what the agents do.

    Raises:
        Invalid: a value that makes no centre.
    """

    account: str
    agents: int
    days: int
    start: int
    seed: int
    late: float = 0.0
    repeat: float = 0.0
    no_logout: float = 0.02
    session_ids: bool = False

    def __post_init__(self) -> None:
        check_account(self.account)
        for name, least in {"agents": 1, "days": 1, "start": EARLIEST, "seed": 0}.items():
            if getattr(self, name) < least:
                raise Invalid(f"{name} is {getattr(self, name)}; a whole number from {least} is needed")
        for name in ("late", "repeat", "no_logout"):
            if not 0 <= getattr(self, name) <= 1:
                raise Invalid(f"{name} is {getattr(self, name)}; a share from 0 to 1 is needed")

    def blocks(self) -> Iterator[Simulation]:
        """The simulation in pieces of whole days, in order; joined they are the whole. Bounds the memory of a long one."""
        return (block for _, block in self._blocks())

    def arrivals(self) -> Iterator[pl.DataFrame]:
        """What `Simulation.arrivals` gives, in pieces, in order, with the memory of a block or two."""
        waiting = pl.DataFrame(schema={**SENT, "arrivesAt": pl.Int64})
        for until, block in self._blocks():
            waiting = _in_order(pl.concat([waiting, block.arrivals()]))
            due = _before(waiting, "arrivesAt", until)
            yield waiting[:due]
            waiting = waiting[due:]

    def _blocks(self) -> Iterator[tuple[int, Simulation]]:
        """Each block with its end (epoch ms): what happens or arrives before then is in this block or an earlier one."""
        rng = self._generator(0)
        people = _people(self, rng)
        plan = _plan(self, people, rng)
        told = np.zeros(self.agents, np.int64)
        waiting = None
        size = min(max(2_000 // self.agents, 1), 64)  # small centres have long blocks, since a block has its own cost
        for day in range(0, self.days, size):
            until = self.start + (day + size) * DAY if day + size < self.days else INT64_MAX
            rows = np.flatnonzero((plan.day >= day) & (plan.day < day + size))
            sent, known = _block(self, people, plan.rows(rows), told, self._generator(1 + day))
            sent = sent if waiting is None else _joined(waiting, sent)
            done = _before(sent, "timestamp", until)
            yield until, Simulation(sent[:done], known)
            waiting = sent[done:]  # of night shifts, which run on into the next block

    def _generator(self, stream: int) -> Generator:
        return Generator(PCG64(SeedSequence([self.seed, stream, *self.account.encode()])))


def simulate(
    account: str,
    *,
    agents: int,
    days: int,
    start: int,
    seed: int,
    late: float = 0.0,
    repeat: float = 0.0,
    no_logout: float = 0.02,
    session_ids: bool = False,
) -> Simulation:
    """The whole simulation of the `Centre` that has these values. The smallest centres may have a day without events.

    Raises:
        Invalid: a value that makes no centre.
    """
    blocks = list(Centre(account, agents, days, start, seed, late, repeat, no_logout, session_ids).blocks())
    known = (pl.concat([getattr(block.known, field.name) for block in blocks]) for field in fields(Truth))
    return Simulation(pl.concat([block.sent for block in blocks]), Truth(*known))


def to_ndjson(events: pl.DataFrame) -> bytes:
    """Events as NDJSON of the columns `events.SENT`; others are left out, and so is a field that no event has."""
    given = [name for name in SENT if events[name].null_count() < events.height]
    out = BytesIO()
    events.select(given).write_ndjson(out)
    return out.getvalue()


# ── order ──


def _in_order(arrivals: pl.DataFrame) -> pl.DataFrame:
    return arrivals.sort("arrivesAt", "timestamp", "agentID", "sequence")


def _before(ordered: pl.DataFrame, by: str, until: int) -> int:
    """How many rows lie before `until` in a frame that is ordered by this column."""
    return int(np.searchsorted(ordered[by].to_numpy(), until))


def _joined(earlier: pl.DataFrame, later: pl.DataFrame) -> pl.DataFrame:
    """Two ordered frames as one; only the beginning of the later overlaps the earlier, and only that is sorted."""
    overlap = _before(later, "timestamp", earlier["timestamp"][-1] + 1) if earlier.height else 0
    head = pl.concat([earlier, later[:overlap]]).sort("timestamp", "agentID", "sequence")
    return pl.concat([head, later[overlap:]])


# ── people and shifts ──


@dataclass(frozen=True, slots=True)
class _People:
    """The agents: what their events say of them (one row each), and how they work."""

    said: pl.DataFrame
    capacity: Ints
    pattern: Ints
    days_off: Ints  # the weekday on which they begin, Monday being 0


@dataclass(frozen=True, slots=True)
class _Plan:
    """Shifts, or the parts of split ones, each of which is a session; ordered by (agent, login). Times are epoch ms.

    `edges` (sessions × 13) are the times at which the state changes, `states` what it changes to, `taken` which of them there
    are: the login, Online, by turns the beginning and the end of a break, and the state in which the shift ends.
    """

    number: Ints
    agent: Ints
    day: Ints
    login: Ints
    next_login: Ints  # 0 for none
    edges: Ints
    states: Ints
    taken: Bools
    packing: Ints  # ms from the last thing done to the logout
    logs_out: Bools

    def rows(self, rows: Ints) -> _Plan:
        return _Plan(*(getattr(self, field.name)[rows] for field in fields(self)))


def _people(centre: Centre, rng: Generator) -> _People:
    count = centre.agents
    number = range(1, count + 1)
    first, last = (rng.choice(names, count).tolist() for names in (_FIRST, _LAST))
    profiles = [_PROFILES[a:b] for a, b in zip(rng.integers(0, 5, count), rng.integers(6, 11, count), strict=True)]
    said = pl.DataFrame(
        {
            "agentID": [1_000_000 + n for n in number],
            "agentEmployeeId": ["" if n % 10 == 0 else f"{n:07d}" for n in number],  # "" as in the seed
            "agentUsername": [f"{a}.{b}.{n}" for a, b, n in zip(first, last, number, strict=True)],
            "agentNickname": [f"{a} {b[0]}." for a, b in zip(first, last, strict=True)],
            "agentLoginname": [f"agent.{n:06d}@{centre.account}.example" for n in number],
            "agentGroupID": rng.choice(_GROUPS, count),
            "userProfileIDs": profiles,
        }
    )
    shares = [pattern[0] for pattern in _PATTERNS]
    return _People(said, 1 + _choice(rng, _CAPACITIES, count), _choice(rng, shares, count), _choice(rng, _DAYS_OFF, count))


def _plan(centre: Centre, people: _People, rng: Generator) -> _Plan:
    agent, day, part = np.nonzero(_present(centre, people, rng))
    count, pattern = agent.size, people.pattern[agent]
    begins = np.array([(hours * 2)[:2] for _, _, hours in _PATTERNS])[pattern, part] * HOUR
    length = np.array([hours for _, hours, _ in _PATTERNS])[pattern] * HOUR
    login = centre.start + day * DAY + begins + rng.integers(-10 * MINUTE, 10 * MINUTE, count)
    next_login = np.where(np.diff(agent, append=-1) == 0, np.roll(login, -1), 0)
    changes = _changes(login, length, rng)
    packing, logs_out = rng.integers(SECOND, MINUTE, count), rng.random(count) >= centre.no_logout
    return _Plan(np.arange(count), agent, day, login, next_login, *changes, packing, logs_out)


def _present(centre: Centre, people: _People, rng: Generator) -> Bools:
    """Who works when: agents × days × parts of the shift."""
    weekday = (_weekday(centre.start) + np.arange(centre.days)) % 7
    works = (weekday - people.days_off[:, None]) % 7 >= 2
    works &= rng.random(works.shape) >= _ABSENT
    parts = np.array([len(hours) for _, _, hours in _PATTERNS])[people.pattern]
    present: Bools = works[:, :, None] & (np.arange(2) < parts[:, None, None])
    return present


def _weekday(start: int) -> int:
    """The weekday of the day that begins at `start`, Monday being 0. Its noon lies on the same date in UTC, whatever the zone."""
    return ((start + DAY // 2) // DAY + 3) % 7


def _changes(login: Ints, length: Ints, rng: Generator) -> tuple[Ints, Ints, Bools]:
    """`_Plan.edges`, `states` and `taken` of shifts of these lengths (ms)."""
    count, segment = login.size, np.arange(_SEGMENTS)
    shape = (count, _SEGMENTS)
    online = login + np.where(rng.random(count) < _ONLINE_AT_ONCE, 0, rng.integers(SECOND, 90 * SECOND, count))
    begins = login[:, None] + segment * _SEGMENT + rng.integers(10 * MINUTE, 60 * MINUTE, shape)
    short, long = rng.integers(2 * MINUTE, 15 * MINUTE, shape), rng.integers(30 * MINUTE, 50 * MINUTE, shape)
    segments = (length // _SEGMENT)[:, None]
    lunch = (segment == segments // 2) & (segments > 2)
    takes = (segment < segments) & (lunch | (rng.random(shape) < _BREAK_TAKEN))
    edges, states = np.zeros((2, count, 3 + 2 * _SEGMENTS), np.int64)
    edges[:, 0], edges[:, 1], edges[:, -1] = login, online, login + length + rng.integers(0, 20 * MINUTE, count)
    edges[:, 2:-1:2], edges[:, 3:-1:2] = begins, begins + np.where(lunch, long, short)
    states[:, 1::2], states[:, 2:-1:2] = AgentState.ONLINE, np.where(lunch, AgentState.AWAY, AgentState.BACK_SOON)
    states[:, -1] = np.where(rng.random(count) < _OFFLINE_AT_THE_END, AgentState.OFFLINE, AgentState.AWAY)
    taken = np.ones(edges.shape, np.bool_)
    taken[:, 2:-1] = np.repeat(takes, 2, axis=1)
    return edges, states, taken


# ── chats ──


@dataclass(frozen=True, slots=True)
class _Chats:
    """Chats in no particular order: the row of the plan, and epoch ms."""

    row: Ints
    start: Ints
    end: Ints


def _chats(centre: Centre, plan: _Plan, capacity: Ints, rng: Generator) -> _Chats:
    """All chats. A round of the loop gives every slot its next chat, or moves it on to the agent's next Online stretch."""
    # After the login, changes are by turns the beginning and the end of an Online stretch.
    stretches = plan.edges[:, 1:][plan.taken[:, 1:]].reshape(-1, 2)
    opens, closes = np.append(stretches[:, 0], 0), stretches[:, 1]
    beyond = np.cumsum(plan.taken.sum(axis=1) // 2)
    row = np.repeat(np.arange(plan.login.size), capacity[plan.agent])
    stretch, last = np.append(0, beyond)[row], beyond[row]
    free = opens[stretch]
    monday = centre.start - _weekday(centre.start) * DAY
    rounds = [np.empty((3, 0), np.int64)]
    while row.size:
        start = free + _draw(rng, _WAITS, row.size) * 10_000 // _RATE[(free - monday) // HOUR % _RATE.size]
        routed = start < closes[stretch]
        end = start[routed] + _draw(rng, _LENGTHS, int(routed.sum()))
        rounds.append(np.stack([row[routed], start[routed], end]))
        free[routed] = end
        stretch += ~routed
        free = np.maximum(free, opens[stretch])
        left = stretch < last
        row, stretch, last, free = row[left], stretch[left], last[left], free[left]
    return _Chats(*np.concatenate(rounds, axis=1))


def _draw(rng: Generator, quantiles: Ints, count: int) -> Ints:
    """`count` values of the distribution that has these quantiles, linear between them."""
    uniform = rng.integers(0, _QUANTILES << 20, count)
    cell, part = uniform >> 20, uniform & 0xFFFFF
    low = quantiles[cell]
    drawn: Ints = low + ((quantiles[cell + 1] - low) * part >> 20)
    return drawn


def _choice(rng: Generator, percents: Sequence[int], count: int) -> Ints:
    """`count` indices, each as often as its percents say."""
    return np.searchsorted(np.cumsum(percents), rng.integers(0, 100, count), side="right")


# ── writing it down ──


def _block(centre: Centre, people: _People, plan: _Plan, told: Ints, rng: Generator) -> tuple[pl.DataFrame, Truth]:
    """What the planned sessions send, and the truth. `told`, the number of events each agent has sent, is brought up to date."""
    chats = _chats(centre, plan, people.capacity, rng)
    done = plan.edges[:, -1].copy()
    np.maximum.at(done, chats.row, chats.end)
    end = done + np.where(plan.logs_out, plan.packing, 0)
    known = _known(centre, people, plan, chats, end)
    events = _events(people, plan, _history(plan, chats, end), told)
    journey = _journey(centre, events["timestamp"].to_numpy(), rng)
    sent = events.with_columns(known.sessions["sessionId"].gather(events["row"]), *journey)
    return sent.select(*SENT, "arrivesAt", "repeatedAt"), known


def _history(plan: _Plan, chats: _Chats, end: Ints) -> Ints:
    """Every event as one number of (row of the plan, ms since the login, kind), sorted. Equal numbers are equal events."""

    def happened(row: Ints, time: Ints, kind: Ints | int) -> Ints:
        return ((row << _OFFSET_BITS) + time - plan.login[row] << _KIND_BITS) + kind

    out = np.flatnonzero(plan.logs_out)
    history = np.concatenate(
        [
            happened(np.nonzero(plan.taken)[0], plan.edges[plan.taken], _STATUS + plan.states[plan.taken]),
            happened(chats.row, chats.start, _CHAT_START),
            happened(chats.row, chats.end, _CHAT_END),
            happened(out, end[out], _LOGOUT),
        ]
    )
    history.sort()
    return history


def _events(people: _People, plan: _Plan, history: Ints, told: Ints) -> pl.DataFrame:
    """The history as events, in order of (timestamp, agentID, sequence), with `row`, that of the plan."""
    kind, offset = history & ((1 << _KIND_BITS) - 1), history >> _KIND_BITS & ((1 << _OFFSET_BITS) - 1)
    row, place = history >> (_KIND_BITS + _OFFSET_BITS), np.arange(history.size)
    agent, time = plan.agent[row], plan.login[row] + offset
    counts = np.bincount(agent, minlength=told.size)
    number = 1 + place + (told + counts - np.cumsum(counts))[agent]
    told += counts
    concurrent = np.cumsum(_DELTA[kind])  # no session ends with a chat in hand, so one sum serves all
    state = _STATE[kind[np.maximum.accumulate(np.where(_STATE[kind] >= 0, place, 0))]]
    columns = {
        "row": row,
        "type": _TYPE[kind],
        "state": state,
        "timestamp": time,
        "prevState": np.where(_TYPE[kind] == EventType.LOGIN, AgentState.OFFLINE, np.roll(state, 1)),
        "prevConcurrentEng": concurrent - _DELTA[kind],
        "concurrentEng": concurrent,
        "maxConcurrentEng": np.where(_TYPE[kind] == EventType.CHAT, people.capacity[agent], NO_MAXIMUM),
        "sequence": number,
    }
    order = _by_time(time)
    frame = pl.DataFrame({name: values[order] for name, values in columns.items()}).hstack(people.said[agent[order]])
    return frame.with_columns(pl.format("{}-{}", "agentID", "sequence").alias("eventId"))


def _by_time(time: Ints) -> Ints:
    """The stable order by time. Time and place packed in one number sort much faster than an argsort."""
    packed = (time - time.min(initial=INT64_MAX) << _PLACE_BITS) + np.arange(time.size)
    packed.sort()
    order: Ints = packed & (1 << _PLACE_BITS) - 1
    return order


def _journey(centre: Centre, time: Ints, rng: Generator) -> tuple[pl.Series, pl.Series]:
    """When each event reaches shiftlog, and when once more (null: never)."""
    count = time.size
    late, once = rng.random(count) < centre.late, rng.random(count) >= centre.repeat
    arrives = time + np.where(late, rng.integers(HOUR, 30 * HOUR, count), rng.integers(200, 5 * SECOND, count))
    repeated = pl.Series("repeatedAt", arrives + rng.integers(SECOND, 2 * HOUR, count))
    return pl.Series("arrivesAt", arrives), repeated.set(pl.Series(once), None)


# ── the truth ──


def _known(centre: Centre, people: _People, plan: _Plan, chats: _Chats, end: Ints) -> Truth:
    """The truth, with `nextLogin` in place of `closedAt`."""
    agent = people.said["agentID"].to_numpy()[plan.agent]
    row, state, start, until = _stretches(plan, end)
    in_state = np.zeros((len(_STATE_MS), end.size), np.int64)
    np.add.at(in_state, (state, row), until - start)
    states = (plan.number[row], agent[row], state, start, until)
    talks = (plan.number[chats.row], agent[chats.row], chats.start, chats.end)
    return Truth(
        _sessions(centre, plan, chats, agent, end).with_columns(map(pl.Series, _STATE_MS, in_state)),
        pl.DataFrame(dict(zip(STATES, states, strict=True))),
        pl.DataFrame(dict(zip(CHATS, talks, strict=True))).sort("session", "start", "end"),
    )


def _sessions(centre: Centre, plan: _Plan, chats: _Chats, agent: Ints, end: Ints) -> pl.DataFrame:
    chatted, talked = np.zeros((2, end.size), np.int64)
    np.add.at(chatted, chats.row, 1)
    np.add.at(talked, chats.row, chats.end - chats.start)
    events = plan.taken.sum(axis=1) + 2 * chatted + plan.logs_out
    columns = {
        "session": plan.number,
        "agentID": agent,
        "start": plan.login,
        "end": end,
        "events": events,
        "chats": chatted,
        "chat_ms": talked,
    }
    session_id = pl.format("{}.{}", "agentID", "session") if centre.session_ids else pl.lit(None, pl.String)
    return pl.DataFrame(columns).with_columns(
        session_id.alias("sessionId"),
        pl.when(pl.Series(plan.logs_out)).then("end").alias("endTime"),
        pl.Series("nextLogin", plan.next_login).replace(0, None),
    )


def _stretches(plan: _Plan, end: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Row of the plan, state, start and end of every stretch in one state, in order; none is empty."""
    row, state, start = np.nonzero(plan.taken)[0], plan.states[plan.taken], plan.edges[plan.taken]
    until = np.roll(start, -1)
    until[np.diff(row, append=-1) != 0] = end
    stays = start < until
    return row[stays], state[stays], start[stays], until[stays]
