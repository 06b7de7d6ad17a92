"""Nonces and audit lines, group-committed: what queued during one commit is committed together by the next one."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field

from shiftlog.catalog import Catalog, trail
from shiftlog.catalog.trail import Entry, Nonce
from shiftlog.group import Committer

_GROUP = 1_000  # at most so many are committed together: bounds how long the catalog's write lock is held


@dataclass(slots=True)
class _Line:
    nonce: Nonce | None
    entry: Entry | None
    answer: Future[bool] = field(default_factory=Future)
    weight: int = 1


class Ledger:
    """Writes nonces and audit lines durably, from any number of threads."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._committer = Committer[_Line]("ledger", self._commit, limit=_GROUP)

    def use(self, nonce: Nonce) -> Future[bool]:
        """Take a nonce; the future says whether it is its first use. It raises Later where the catalog does not answer."""
        return self._submit(_Line(nonce, None))

    def record(self, entry: Entry | None, nonce: Nonce | None = None) -> Future[bool]:
        """Append an audit line, and take the nonce that comes with it: neither where that was used before. The future says whether it was
        done, once it is durable.

        It raises Later where the catalog does not answer.
        """
        return self._submit(_Line(nonce, entry))

    def close(self) -> None:
        """Commit what was submitted, and stop."""
        self._committer.close()

    def _submit(self, line: _Line) -> Future[bool]:
        self._committer.submit(line)
        return line.answer

    def _commit(self, group: list[_Line]) -> None:
        nonces = [line.nonce for line in group if line.nonce is not None]
        with self._catalog.write() as conn:
            first_uses = iter(trail.use(conn, nonces))
            good = [line.nonce is None or next(first_uses) for line in group]
            trail.record(conn, [line.entry for line, fresh in zip(group, good, strict=True) if fresh and line.entry is not None])
        for line, fresh in zip(group, good, strict=True):
            line.answer.set_result(fresh)
