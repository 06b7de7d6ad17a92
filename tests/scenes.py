"""Small scenes that several tests set: events by hand, and what they look like afterwards."""

from __future__ import annotations

from typing import Any

import polars as pl

from shiftlog.events import ACCEPTED, SENT

T0 = 1_790_000_000_000 - 1_790_000_000_000 % 86_400_000  # a midnight in 2026
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def event(timestamp: int, **fields: Any) -> dict[str, Any]:
    """One event as a producer sends it; agent 1 and type 1 unless said otherwise."""
    return {"agentID": 1, "type": 1, "timestamp": timestamp, **fields}


def login(timestamp: int, **fields: Any) -> dict[str, Any]:
    return event(timestamp, type=3, state=0, **fields)


def logout(timestamp: int, **fields: Any) -> dict[str, Any]:
    return event(timestamp, type=4, state=1, concurrentEng=0, **fields)


def sent(*events: dict[str, Any]) -> pl.DataFrame:
    """Events as `events.SENT`; the eventId is made of agent, time, type and sequence where none is given."""
    rows = []
    for fields in events:
        made = f"{fields['agentID']}.{fields['timestamp']}.{fields['type']}.{fields.get('state')}.{fields.get('sequence')}"
        rows.append({**dict.fromkeys(SENT), "eventId": made, **fields})
    return pl.DataFrame(rows, schema=SENT)


def accepted(*events: dict[str, Any], received: int = T0) -> pl.DataFrame:
    """Events as `events.ACCEPTED`, landed in the order given."""
    frame = sent(*events)
    columns = {"receivedAt": pl.lit(received, pl.Int64), "position": pl.int_range(pl.len(), dtype=pl.Int64)}
    return frame.with_columns(**columns).select(ACCEPTED.keys())
