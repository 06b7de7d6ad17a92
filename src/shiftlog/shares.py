"""A source's sessions in shares of its agents: in memory where they fit there, else a share at a time from a directory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import polars as pl

_ROW_GROUP = 50_000  # rows of a scratch file that are read or passed over together


@dataclass(frozen=True, slots=True)
class Share:
    """The agents from `low` up to `high`, half-open; None is no bound, and takes in events that name no agent."""

    low: int | None
    high: int | None

    def holds(self, agent: str) -> pl.Expr:
        """Whether a row is of this share, by the column that has its agent."""
        above = pl.lit(True) if self.low is None else pl.col(agent) >= self.low
        below = pl.lit(True) if self.high is None else pl.col(agent) < self.high
        return (above & below).fill_null(self.low is None)


class Shares:
    """Flat frames of the agents' shares, each agent whole in one; in order of agents, from share to share.

    `most` events are in a share, unless one agent has more. Rows of a session stay adjacent and in order. They may be gone
    through more than once, as long as `scratch` is there.
    """

    def __init__(self, groups: Iterable[pl.LazyFrame], schema: dict[str, pl.DataType], scratch: Path, *, most: int) -> None:
        self._scratch, self._files, self._counts = scratch, list[Path](), Counter[int | None]()
        held = [pl.DataFrame(schema=schema)]
        for group in groups:
            held.append(group.collect())
            if sum(rows.height for rows in held) > most:
                self._spill(held)
                held = []
        if self._files and held:
            self._spill(held)
        self._whole = None if self._files else pl.concat(held)
        self._shares = _cut(self._counts, most)

    def __len__(self) -> int:
        return len(self._shares)

    def __iter__(self) -> Iterator[pl.DataFrame]:
        return (rows for _, rows in self.items())

    def items(self) -> Iterator[tuple[Share, pl.DataFrame]]:
        """Each share with its frame."""
        for share in self._shares:
            yield share, self._whole if self._whole is not None else self._read(share)

    @property
    def agents(self) -> int:
        """How many agents there are."""
        return len(self._counts) if self._whole is None else self._whole["agentID"].n_unique()

    def _spill(self, held: list[pl.DataFrame]) -> None:
        # By agent, so that reading a share passes over the rest; stably, so that sessions stay as they are.
        rows = pl.concat(held).sort("agentID", maintain_order=True)
        self._counts.update(dict(rows.group_by("agentID").len().rows()))
        self._files.append(self._scratch / f"{len(self._files)}.parquet")
        rows.write_parquet(self._files[-1], compression="lz4", row_group_size=_ROW_GROUP)

    def _read(self, share: Share) -> pl.DataFrame:
        return pl.scan_parquet(self._files).filter(share.holds("agentID")).collect()


def _cut(counts: Counter[int | None], most: int) -> list[Share]:
    """All agents there can be as shares, each of at most `most` events as far as agents can be told apart."""
    bounds, events = list[int](), counts[None]
    for agent, count in sorted((agent, count) for agent, count in counts.items() if agent is not None):
        if events and events + count > most:
            bounds.append(agent)
            events = 0
        events += count
    return [Share(low, high) for low, high in pairwise([None, *bounds, None])]
