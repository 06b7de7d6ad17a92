"""Intervals added up by agent and bucket in one pass, by a compiled kernel; the same numbers as `metrics` gets from Polars.

The kernel is `kernels/sweep.c`; the definitions are those of docs/metrics.md, section 2.
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_int64, c_void_p

import numpy as np
import polars as pl

from shiftlog import kernels
from shiftlog.intervals import COUNTS, Buckets

#: What is summed, in the kernel's order.
SUMS = (
    *("login_ms", "online_ms", "back_soon_ms", "away_ms", "offline_ms", "irrelevant_ms", "unknown_ms", "chatting_ms", "online_chatting_ms"),
    *("online_idle_ms", "online_at_max_ms", "chat_ms", "online_chat_ms", "online_capacity_ms", "online_capacity_chat_ms", "open_ms"),
    *COUNTS,
)
_NUMBERS = ("start", "end", "state", "concurrency", "maximum")


class _Sweeping(ctypes.Structure):
    """`sweeping` of kernels/sweep.c."""

    _fields_ = (
        *(("rows", c_int64), ("agent", c_void_p), ("owner", c_void_p)),
        *((name, c_void_p) for name in _NUMBERS),
        *(("open", c_void_p), ("counts", c_void_p * len(COUNTS)), ("edges", c_void_p)),
        *((name, c_int64) for name in ("buckets", "window_start", "window_end", "room")),
        ("out", c_void_p),
    )


def sums(events: pl.DataFrame, into: Buckets, owner: str | None = None) -> pl.DataFrame | None:
    """`SUMS` of `intervals.steps` by agent_id, the column `owner` where one is named, and bucket; a key may have several rows.

    None where the kernel is not there, or an agent or owner is not known.
    """
    library = kernels.load()
    keys = ["agent_id", *([owner] if owner else [])]
    if library is None or events.select(pl.sum_horizontal(pl.col(keys).null_count())).item():
        return None
    columns = {name: _memory(events[name].cast(pl.Int64)) for name in (*keys, *_NUMBERS[:-1], *COUNTS)}
    columns["maximum"] = _memory(events["maximum"].fill_null(0).cast(pl.Int64))
    opened, edges = _memory(events["open"].cast(pl.UInt8)), _memory(into.edges)
    at = {name: column.ctypes.data for name, column in columns.items()}
    task = _Sweeping(
        *(events.height, at["agent_id"], at[owner] if owner else None),
        *(at[name] for name in _NUMBERS),
        *(opened.ctypes.data, (c_void_p * len(COUNTS))(*(at[name] for name in COUNTS)), edges.ctypes.data),
        *(len(edges) - 1, into.start, into.end),
    )
    out = np.empty((3 + len(SUMS), library.sweep(byref(task))), np.int64)
    task.room, task.out = out.shape[1], out.ctypes.data
    library.sweep(byref(task))
    agent, owned, bucket, *summed = out
    named = {"agent_id": agent, **({owner: owned} if owner else {}), "bucket": bucket, **dict(zip(SUMS, summed, strict=True))}
    return pl.DataFrame(named, schema_overrides={key: events.schema[key] for key in keys})


def _memory(values: pl.Series) -> np.ndarray:
    return np.ascontiguousarray(values.to_numpy())
