"""Landing batches: numbered in the order in which they become visible, and session ids that belong to one agent."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from catalog.contract import HOUR, NOW, VAULT, CatalogContract, OnPostgresql, OnSqlite, at_once, contents, make_account
from shiftlog.catalog import Catalog, batches, publishing, tables
from shiftlog.catalog.batches import Batch, Claim
from shiftlog.catalog.publishing import Outcome
from shiftlog.errors import Missing


def claim(account: str, *, first_row: int = 0, rows: int = 10, **sessions: int) -> Claim:
    return Claim(account, first_row, rows, NOW - 5, NOW - 1, sessions)


def commit(catalog: Catalog, key: str, *claims: Claim, at: int = NOW) -> list[str]:
    with catalog.write() as conn:
        return batches.commit(conn, key, at, claims)


def numbers(catalog: Catalog, account: str, after: int = 0) -> list[int]:
    with catalog.read() as conn:
        return [batch.number for batch in batches.after(conn, account, after)]


def consume(catalog: Catalog, account: str, number: int) -> None:
    """As a publishing run does that takes in all batches up to a number."""
    lease = publishing.acquire(catalog, account, "test", 60_000, lambda _: True)
    with catalog.read() as conn:
        base = publishing.state(conn, account)
    outcome = Outcome(NOW, catalog.now(), NOW, number, None, 0, 0, (), {}, 0, None, 0)
    publishing.commit(catalog, VAULT, lease, base, outcome, 0)
    publishing.release(catalog, lease)


class BatchesContract(CatalogContract):
    """Batches and session ids."""

    def test_a_batch_comes_back(self, catalog: Catalog, account: str):
        """With its object, its rows, and its times."""
        assert commit(catalog, "landing/1", claim(account, first_row=7, rows=3)) == []
        with catalog.read() as conn:
            assert batches.after(conn, account, 0) == [Batch(1, "landing/1", 7, 3, NOW, NOW - 5, NOW - 1)]

    def test_batches_are_numbered_from_one(self, catalog: Catalog, account: str):
        """Each account's for itself, without gaps; one object may hold several accounts' rows."""
        other = make_account(catalog, "B")
        commit(catalog, "1", claim(account))
        commit(catalog, "2", claim(other, first_row=10), claim(account))
        commit(catalog, "3", claim(account))
        assert (numbers(catalog, account), numbers(catalog, other)) == ([1, 2, 3], [1])
        assert numbers(catalog, account, after=2) == [3]
        with catalog.read() as conn:
            assert publishing.state(conn, account).landed == 3

    def test_an_account_that_is_not_there(self, catalog: Catalog, account: str):
        """Nothing of the object becomes visible, and no number is used up."""
        with pytest.raises(Missing, match="there is no account nobody"):
            commit(catalog, "1", claim(account, s=1), claim("nobody"))
        assert numbers(catalog, account) == []
        commit(catalog, "2", claim(account))
        assert numbers(catalog, account) == [1]

    def test_numbers_appear_in_order(self, catalog: Catalog, account: str):
        """Whoever reads while several threads write sees 1 to n without gaps, and never less than before."""
        other = make_account(catalog, "B")
        written, seen = threading.Event(), []

        def write(writer: int) -> None:
            for n in range(15):
                commit(catalog, f"{writer}/{n}", *[claim(account), claim(other)][:: 1 if writer % 2 else -1])

        def watch() -> None:
            while not written.is_set():
                seen.append(numbers(catalog, account))

        watcher = threading.Thread(target=watch)
        watcher.start()
        at_once(*[lambda writer=writer: write(writer) for writer in range(4)])
        written.set()
        watcher.join()
        assert all(found == list(range(1, len(found) + 1)) for found in seen)
        assert [len(found) for found in seen] == sorted(len(found) for found in seen)
        assert numbers(catalog, account) == numbers(catalog, other) == list(range(1, 61))

    def test_a_session_id_belongs_to_its_first_agent(self, catalog: Catalog, account: str):
        """The same agent may go on with it; another is told which ids are not his."""
        assert commit(catalog, "1", claim(account, s=1, t=2)) == []
        assert commit(catalog, "2", claim(account, s=1)) == []
        assert commit(catalog, "3", claim(account, s=2, t=2, u=3)) == ["s"]

    def test_a_disputed_commit_is_rolled_back(self, catalog: Catalog, account: str):
        """Neither its rows nor the ids that it was the first to use are there afterwards."""
        commit(catalog, "1", claim(account, s=1))
        before = contents(catalog)

        def disputed() -> None:
            with catalog.write() as conn:
                if batches.commit(conn, "2", NOW + 1, [claim(account, s=2, new=2)]):
                    raise LookupError

        with pytest.raises(LookupError):
            disputed()
        assert contents(catalog) == before

    def test_session_ids_are_an_accounts_own(self, catalog: Catalog, account: str):
        """Another account may use the same text for another agent."""
        other = make_account(catalog, "B")
        commit(catalog, "1", claim(account, s=1))
        assert commit(catalog, "2", claim(other, s=2)) == []
        with catalog.read() as conn:
            assert batches.owners(conn, account, ["s", "unknown"]) == {"s": 1}
            assert batches.owners(conn, other, ["s"]) == {"s": 2}

    def test_one_of_several_agents_gets_a_session_id(self, catalog: Catalog, account: str):
        """When they ask at once, all others are refused."""

        def ask(agent: int) -> bool:
            return commit(catalog, str(agent), claim(account, s=agent)) == []

        assert sum(at_once(*[lambda agent=agent: ask(agent) for agent in range(6)])) == 1

    def test_many_session_ids(self, catalog: Catalog, account: str):
        """More than a database takes in one statement."""
        sessions = {f"s{n}": n for n in range(12_001)}
        assert commit(catalog, "1", claim(account, **sessions)) == []
        with catalog.read() as conn:
            assert batches.owners(conn, account, sessions) == sessions
            assert batches.published(conn, account, 0) == {}

    def test_published_session_ids_that_were_seen_lately(self, catalog: Catalog, account: str):
        """Those of the batches from an instant on; ids that were not published are not among them."""
        commit(catalog, "1", claim(account, s=1, t=1, u=1), at=NOW)
        with catalog.write() as conn:
            published = tables.session_ids.c.session_id.in_(["s", "t"])
            conn.execute(sa.update(tables.session_ids).where(published).values(scope_start=HOUR))
        commit(catalog, "2", claim(account, t=1, u=1), at=NOW + 5)
        with catalog.read() as conn:
            assert batches.published(conn, account, NOW) == {"s": HOUR, "t": HOUR}
            assert batches.published(conn, account, NOW + 5) == {"t": HOUR}

    def test_a_consumed_batch_is_forgotten(self, catalog: Catalog, account: str):
        """When it is old enough; its object's key is handed back, to be deleted."""
        commit(catalog, "1", claim(account), at=NOW)
        commit(catalog, "2", claim(account), at=NOW + 1)
        consume(catalog, account, 2)
        with catalog.write() as conn:
            assert batches.forget(conn, NOW) == []
            assert batches.forget(conn, NOW + 1) == ["1"]
            assert batches.keys_in_use(conn) == {"2"}
        assert numbers(catalog, account) == [2]

    def test_a_batch_that_waits_is_kept(self, catalog: Catalog, account: str):
        """However old it is: nothing has been published of it."""
        commit(catalog, "1", claim(account))
        commit(catalog, "2", claim(account))
        consume(catalog, account, 1)
        with catalog.write() as conn:
            assert batches.forget(conn, NOW + 10**12) == ["1"]
            assert batches.keys_in_use(conn) == {"2"}

    def test_an_object_is_kept_for_the_last_of_its_accounts(self, catalog: Catalog, account: str):
        """All its rows stay until every account has consumed its own."""
        other = make_account(catalog, "B")
        commit(catalog, "1", claim(account), claim(other, first_row=10))
        consume(catalog, account, 1)
        with catalog.write() as conn:
            assert batches.forget(conn, NOW + 1) == []
        consume(catalog, other, 1)
        with catalog.write() as conn:
            assert batches.forget(conn, NOW + 1) == ["1"]

    def test_numbers_go_on_after_forgetting(self, catalog: Catalog, account: str):
        """A number is never given twice."""
        commit(catalog, "1", claim(account))
        consume(catalog, account, 1)
        with catalog.write() as conn:
            batches.forget(conn, NOW + 1)
        commit(catalog, "2", claim(account))
        assert numbers(catalog, account) == [2]


class TestBatchesOnPostgresql(OnPostgresql, BatchesContract):
    """On PostgreSQL."""


class TestBatchesOnSqlite(OnSqlite, BatchesContract):
    """On SQLite."""
