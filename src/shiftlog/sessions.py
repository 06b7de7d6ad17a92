"""Sessions: events folded into what lies between a login and a logout. Pure functions over Polars frames.

The rule. Events of one (agentID, sessionId or none) are taken in order of (timestamp, `sequence`, landing position),
after repeats (the same `eventId` of one agent) were dropped, of which the first to land stays.

- With a `sessionId`, all of them are one session.
- Without, a session begins at a login, after a logout, and after `timeout` without an event. These three depend on
  neighbouring events alone, so a stretch of an agent's events can be folded again without the rest of the history.

A session's closing instant is its logout; else the next login, where that comes before the time-out; else its last
event + `timeout`. Whether it is closed *yet* is for the caller, who knows what time it is.

Folding again. Rows that were folded before carry their session's `agentSessionId` and, once published, its `scope`;
`unfold` gives them back as they were sent. A session keeps the identity under which it was published: of the sessions
that now hold its events, the one with the earliest of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import polars as pl

from shiftlog.events import ACCEPTED, FLAT, NO_MAXIMUM, EventType
from shiftlog.hours import HOUR

#: A session's event in full, one row an event: the flat frame and what only shiftlog's own files keep. `carried` has a
#: bit for each of `_CARRYABLE` that was left out and carried; `sentMaxConcurrentEng` is the maximum as it was sent;
#: `repeats` counts the dropped repeats of the event; `scope` is the start of the hour it was first published under.
FOLDED: dict[str, pl.DataType] = {
    **FLAT,
    "eventId": pl.String(),
    "sessionId": pl.String(),
    "sequence": pl.Int64(),
    "receivedAt": pl.Int64(),
    "position": pl.Int64(),
    "carried": pl.UInt8(),
    "sentMaxConcurrentEng": pl.Int64(),
    "repeats": pl.Int32(),
    "scope": pl.Int64(),
}
#: The Parquet twin of a part: what was folded, and where it was published.
TWIN: dict[str, pl.DataType] = {**{k: v for k, v in FOLDED.items() if k != "scope"}, "revision": pl.Int32(), "part": pl.String()}
#: What `fold` takes: accepted events, and of those that were folded before, how.
FOLDABLE: dict[str, pl.DataType] = {**ACCEPTED, "repeats": pl.Int32(), "agentSessionId": pl.String(), "scope": pl.Int64()}

_CARRYABLE = ("state", "prevState", "concurrentEng", "prevConcurrentEng")
_KEY = ("agentID", "sessionId")
_ORDER = ("timestamp", "sequence", "position")
_NUMBER = pl.col("number")

LOGIN, LOGOUT = pl.col("type") == EventType.LOGIN, pl.col("type") == EventType.LOGOUT
SAME_KEY = pl.col("agentID").eq(pl.col("agentID").shift()) & pl.col("sessionId").eq_missing(pl.col("sessionId").shift())


def bucket(column: str) -> pl.Expr:
    """The place of an agent in the hash space, a number of 32 bits: stable for ever, since parts are dealt by it."""
    return (pl.col(column).reinterpret(signed=False) * pl.lit(0x9E3779B97F4A7C15, pl.UInt64)) // pl.lit(2**32, pl.UInt64)


BUCKET = bucket("agentID")


def dealt(count: int) -> pl.Expr:
    """Which of `count` equal ranges of the hash space an agent lies in, from 0. Ranges of one count lie in or across few of another's."""
    return BUCKET * pl.lit(count, pl.UInt64) // pl.lit(2**32, pl.UInt64)


def foldable(accepted: pl.DataFrame) -> pl.DataFrame:
    """Accepted events that were never folded, as `fold` takes them."""
    return accepted.select(
        *ACCEPTED,
        pl.lit(0, pl.Int32).alias("repeats"),
        pl.lit(None, pl.String).alias("agentSessionId"),
        pl.lit(None, pl.Int64).alias("scope"),
    )


def unfold(folded: pl.DataFrame) -> pl.DataFrame:
    """Folded events as they were sent, with the identity they were folded under: what `fold` takes."""
    sent = [pl.when((pl.col("carried") & (1 << bit)) == 0).then(pl.col(name)).alias(name) for bit, name in enumerate(_CARRYABLE)]
    return folded.with_columns(*sent, pl.col("sentMaxConcurrentEng").alias("maxConcurrentEng")).select(FOLDABLE.keys())


def fold(events: pl.DataFrame, *, account: str, timeout: int, taken: frozenset[str] = frozenset()) -> pl.DataFrame:
    """The sessions of all `events` (columns `FOLDABLE`), as the columns of `FOLDED` and `closedAt` (epoch ms).

    `timeout` is in ms. `taken` are agentSessionIds that no new session may get. Rows of one session are adjacent, in
    order; sessions are ordered by (agentID, sessionId, first event). Dropped repeats are counted in `repeats`.
    """
    rows = _in_order(_without_repeats(events.select(FOLDABLE.keys())))
    gap = pl.col("timestamp") - pl.col("timestamp").shift()
    begins = ~SAME_KEY | (pl.col("sessionId").is_null() & (LOGIN | LOGOUT.shift() | (gap >= timeout)))
    rows = rows.with_columns(begins.fill_null(True).alias("begins")).with_columns(pl.col("begins").cum_sum().alias("session"))
    sessions = _identified(_closed(rows, timeout), rows, account, taken)
    # Sessions are numbered from 1 in the order of the rows, and stand in this order.
    theirs = sessions.drop("session").select(pl.all().gather(rows["session"] - 1))
    return _carried(rows).drop("agentSessionId", "scope").hstack(theirs).select(*FOLDED, "closedAt")


@dataclass(frozen=True, slots=True)
class Refolded:
    """What folding again changes.

    `due`: sessions to publish (columns `FOLDED`, `scope` filled); `waiting`: sessions that are not closed before `until`
    (`FOLDED` and `closedAt`); `withdrawn`: published identities that have no events any more, or are open again
    (`agentSessionId`, `agentID`, `scope`); `repeats`: how many events were dropped as repeats.
    """

    due: pl.DataFrame
    waiting: pl.DataFrame
    withdrawn: pl.DataFrame
    repeats: int


def refold(
    fresh: pl.DataFrame, prior: pl.DataFrame, *, account: str, timeout: int, until: int, taken: frozenset[str] = frozenset()
) -> Refolded:
    """Fold `fresh` (columns `FOLDABLE`: new and carried events) together with published sessions that it may change.

    `prior` (columns `FOLDED`) holds whole sessions as they are published now; those that come out with the same events
    are left alone. `until` (epoch ms) is the end of the last hour that is due.
    """
    folded = fold(pl.concat([fresh, unfold(prior)]), account=account, timeout=timeout, taken=taken)
    same = _unchanged(prior, folded)
    changed = folded if same.is_empty() else folded.join(same, on="agentSessionId", how="anti", maintain_order="left")
    is_due = pl.col("closedAt") < until
    scope = pl.coalesce("scope", pl.col("closedAt") - pl.col("closedAt") % HOUR).alias("scope")
    due = changed.filter(is_due).with_columns(scope).drop("closedAt")
    stay = pl.concat([same, due.select("agentSessionId")]).unique()
    published = prior.select("agentSessionId", "agentID", "scope").unique("agentSessionId", maintain_order=True)
    withdrawn = published.join(stay, on="agentSessionId", how="anti", maintain_order="left")
    return Refolded(due, changed.filter(~is_due), withdrawn, fresh.height + prior.height - folded.height)


def _unchanged(prior: pl.DataFrame, folded: pl.DataFrame) -> pl.DataFrame:
    """The identities that hold the same events as before, in the same order: all else in a session follows from these."""
    before = prior.group_by("agentSessionId").agg(pl.col("eventId").alias("before"))
    concerned = folded.join(before, on="agentSessionId", how="semi", maintain_order="left")
    after = concerned.group_by("agentSessionId", maintain_order=True).agg(pl.col("eventId").alias("after"))
    return before.join(after, on="agentSessionId").filter(pl.col("before") == pl.col("after")).select("agentSessionId")


def _without_repeats(events: pl.DataFrame) -> pl.DataFrame:
    """One row an (agentID, eventId): the first to land, with the count of the others."""
    key = ["agentID", "eventId"]
    # Where no two hashes are equal, no two keys are, which is nearly always so and quickly seen.
    hashes = pl.col("agentID").hash() ^ pl.col("eventId").hash()
    if events.select(hashes.n_unique()).item() == events.height or not events.select(pl.struct(key).is_duplicated().any()).item():
        return events
    counted = events.group_by(key).agg((pl.len().cast(pl.Int32) - 1 + pl.col("repeats").sum()).alias("repeats"))
    first = events.sort("position").unique(key, keep="first", maintain_order=True)
    return first.drop("repeats").join(counted, on=key, maintain_order="left").select(FOLDABLE.keys())


def _in_order(events: pl.DataFrame) -> pl.DataFrame:
    """By `_KEY` and `_ORDER`: by the first three of these as one number, which is quickest, and by the rest where that is the same."""
    low, high = events.select(low=pl.col("timestamp").min(), high=pl.col("timestamp").max()).row(0)
    keys = events.select(_KEY).unique().sort(_KEY).with_row_index("key")
    if events.is_empty() or keys.height * (high - low + 1) >= 1 << 63:
        return events.sort([*_KEY, *_ORDER], maintain_order=True)
    number = (pl.col("key").cast(pl.Int64) * (high - low + 1) + (pl.col("timestamp") - low)).alias("number")
    numbers = events.select(*_KEY, "timestamp").join(keys, on=_KEY, nulls_equal=True, maintain_order="left").select(number)
    order = numbers.select(pl.arg_sort_by("number")).to_series()
    ordered = numbers[order]
    tied = ordered.select((_NUMBER.eq(_NUMBER.shift()) | _NUMBER.eq(_NUMBER.shift(-1))).arg_true()).to_series()
    rows = order[tied]
    together = ordered[tied].hstack(events.select("sequence", "position")[rows]).with_columns(row=rows)
    order = order.scatter(tied, together.sort("number", "sequence", "position", "row")["row"])
    return events.rechunk()[order]  # in one piece, of which rows are taken much quicker


def _closed(rows: pl.DataFrame, timeout: int) -> pl.DataFrame:
    """One row a session: its first and last event's time, whether a logout ended it, and its closing instant."""
    sessions = rows.group_by("session", maintain_order=True).agg(
        pl.col("agentID", "sessionId").first(),
        pl.col("timestamp").first().alias("sessionStartTime"),
        pl.col("timestamp").last().alias("last"),
        LOGOUT.last().alias("logout"),
        LOGIN.first().alias("login"),
    )
    next_start = pl.col("sessionStartTime").shift(-1)
    follows = SAME_KEY.shift(-1) & pl.col("login").shift(-1) & (next_start - pl.col("last") < timeout)
    closed_at = pl.when(pl.col("logout")).then("last").when(follows).then(next_start).otherwise(pl.col("last") + timeout)
    end = pl.when(pl.col("logout")).then("last")
    return sessions.with_columns(closed_at.alias("closedAt"), end.alias("sessionEndTime"))


# ── identity ──


def _identified(sessions: pl.DataFrame, rows: pl.DataFrame, account: str, taken: frozenset[str]) -> pl.DataFrame:
    """The sessions with `agentSessionId` and `scope`: those they were published or carried under, else new ones."""
    before = rows.filter(pl.col("agentSessionId").is_not_null())
    kept = _kept(before)
    named = sessions.join(kept, on="session", how="left", maintain_order="left")
    own = pl.format("{}-{}", pl.lit(account), pl.col("sessionId"))
    named = named.with_columns(pl.coalesce(pl.when(pl.col("sessionId").is_not_null()).then(own), "agentSessionId").alias("agentSessionId"))
    missing = named.filter(pl.col("agentSessionId").is_null())
    used = set(taken) | set(before["agentSessionId"].unique()) | set(named["agentSessionId"].drop_nulls())
    given = [
        (session, _new_id(account, agent, start, used))
        for session, agent, start in missing.select("session", "agentID", "sessionStartTime").rows()
    ]
    new = pl.DataFrame(given, {"session": named.schema["session"], "newId": pl.String}, orient="row")
    return (
        named.join(new, on="session", how="left", maintain_order="left")
        .with_columns(pl.coalesce("agentSessionId", "newId").alias("agentSessionId"))
        .select("session", "agentSessionId", "scope", "sessionStartTime", "sessionEndTime", "closedAt")
    )


def _kept(before: pl.DataFrame) -> pl.DataFrame:
    """Which session keeps which earlier identity: the one that holds its earliest event, and at most one each."""
    holders = (
        before.with_row_index("at")
        .group_by("agentSessionId", maintain_order=True)
        .agg(pl.col("session", "at", "begins").first(), pl.col("scope").max())
        # An identity that no reader has seen stays only while it says when its session begins.
        .filter(pl.col("scope").is_not_null() | pl.col("begins"))
    )
    # Published identities before carried ones: readers know only those.
    return (
        holders.sort(pl.col("scope").is_null(), "at")
        .unique("session", keep="first", maintain_order=True)
        .select("session", "agentSessionId", "scope")
    )


def _new_id(account: str, agent: int, start: int, used: set[str]) -> str:
    """`{account}-9` and 15 digits from (agentID, first timestamp); the next of the row where that is used already."""
    turn = 0
    while True:
        digest = blake2b(f"{agent}.{start}.{turn}".encode(), digest_size=8).digest()
        name = f"{account}-9{int.from_bytes(digest) % 10**15:015d}"
        if name not in used:
            used.add(name)
            return name
        turn += 1


# ── values that were left out ──


def _carried(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with what was left out carried from the session's previous event, and `eventIndex`.

    A session's first row is filled with the defaults, so that filling forward never reaches into the session before.
    """
    first = pl.col("begins")
    state = _filled("state", 0)
    concurrent = _filled("concurrentEng", 0)
    maximum = _filled("maxConcurrentEng", NO_MAXIMUM)
    missing = pl.sum_horizontal(*(pl.col(name).is_null().cast(pl.UInt8) * (1 << bit) for bit, name in enumerate(_CARRYABLE)))
    filled = rows.with_columns(
        state.alias("state"),
        concurrent.alias("concurrentEng"),
        pl.when(LOGIN | LOGOUT).then(NO_MAXIMUM).otherwise(maximum).alias("maxConcurrentEng"),
        pl.col("maxConcurrentEng").alias("sentMaxConcurrentEng"),
        missing.cast(pl.UInt8).alias("carried"),
        (pl.int_range(pl.len()) - pl.int_range(pl.len()).filter(first).gather(pl.col("session") - 1)).cast(pl.Int32).alias("eventIndex"),
    )
    previous_state = pl.when(first).then(0).otherwise(pl.col("state").shift())
    previous_concurrent = pl.when(first).then(0).otherwise(pl.col("concurrentEng").shift())
    return filled.with_columns(
        pl.coalesce("prevState", previous_state).alias("prevState"),
        pl.coalesce("prevConcurrentEng", previous_concurrent).alias("prevConcurrentEng"),
    )


def _filled(name: str, default: int) -> pl.Expr:
    return pl.when(pl.col("begins") & pl.col(name).is_null()).then(default).otherwise(pl.col(name)).forward_fill()
