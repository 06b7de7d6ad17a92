"""Agents who are forgotten: what of a frame names them, and what stands there instead.

An agent's number identifies nobody by itself: it stays, unless the agent is removed. Names, login and employee number go, and
a pseudonym comes in their place. Which agents are meant is told by keyed hashes alone, so that no list of them has to be kept.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import polars as pl

#: What of an event names its agent.
NAMING = ("agentEmployeeId", "agentUsername", "agentNickname", "agentLoginname")


@dataclass(frozen=True, slots=True)
class Agent:
    """A forgotten agent: the pseudonym, and whether all there was of the agent is removed."""

    id: int
    pseudonym: str
    removed: bool


@dataclass(frozen=True, slots=True)
class Rules:
    """Who of an account is forgotten: by the keyed hash of an agent's number, whether the agent is removed.

    `version` is another after every change.
    """

    account: str
    version: int
    key: bytes = field(repr=False)
    known: Mapping[str, bool]

    def agent(self, agent: int) -> Agent | None:
        """The agent, if forgotten."""
        removed = self.known.get(self.digest(agent)) if self.known else None
        return None if removed is None else Agent(agent, self.pseudonym(agent), removed)

    def agents(self, numbers: Iterable[int]) -> list[Agent]:
        """Of some agents, those who are forgotten."""
        return [agent for agent in map(self.agent, numbers) if agent is not None] if self.known else []

    def applied(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame without what names forgotten agents, and without the rows of those who are removed."""
        return applied(frame, self.agents(frame["agentID"].drop_nulls().unique())) if self.known else frame

    def named(self, names: Iterable[tuple[str, int, int, str]]) -> list[tuple[str, int, int, str]]:
        """What (kind, id, since when) are called, without what names forgotten agents."""
        found = []
        for kind, id_, start, text in names:
            agent = self.agent(id_) if kind == "agent" else None
            if agent is None or not agent.removed:
                found.append((kind, id_, start, text if agent is None else agent.pseudonym))
        return found

    def digest(self, agent: int) -> str:
        """Under which an agent is known."""
        return self._hash("agent", agent)

    def pseudonym(self, agent: int) -> str:
        """What an agent is called instead, always the same."""
        return f"forgotten-{self._hash('pseudonym', agent)[:12]}"

    def _hash(self, purpose: str, agent: int) -> str:
        return hmac.digest(self.key, f"{purpose}\n{self.account}\n{agent}".encode(), "sha256").hex()


def applied(frame: pl.DataFrame, agents: Iterable[Agent]) -> pl.DataFrame:
    """The frame, with the columns `agentID` and `NAMING`, without what names these agents and without the rows of those who are removed."""
    forgotten = {agent.id: agent for agent in agents}
    if not forgotten:
        return frame
    gone = [agent.id for agent in forgotten.values() if agent.removed]
    renamed = {agent.id: agent.pseudonym for agent in forgotten.values() if not agent.removed}
    kept = frame.filter(~pl.col("agentID").is_in(gone).fill_null(value=False)) if gone else frame
    if not renamed:
        return kept
    pseudonym = pl.col("agentID").replace_strict(renamed, default=None, return_dtype=pl.String)
    return kept.with_columns(
        pl.when(pl.col(name).is_not_null() & pseudonym.is_not_null()).then(pseudonym).otherwise(pl.col(name)).alias(name) for name in NAMING
    )


def concerned(frame: pl.DataFrame, agent: Agent) -> bool:
    """Whether a frame has anything of the agent that has to go."""
    return not applied(frame, [agent]).equals(frame)
