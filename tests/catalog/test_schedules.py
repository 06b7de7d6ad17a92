"""Schedules in the catalog: an import is the truth for its agents in its window, and for nothing else."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.contract import CatalogContract, OnPostgresql, OnSqlite, at_once, make_account
from shiftlog.catalog import Catalog
from shiftlog.catalog.schedules import planned, replace
from shiftlog.schedules import Planned


def plans(low: int, high: int) -> st.SearchStrategy[list[Planned]]:
    """Stretches of up to two agents that do not overlap, in [low, high)."""
    cuts = st.lists(st.integers(low, high), min_size=2, max_size=6, unique=True).map(sorted)
    one = st.builds(lambda at, state: [(a, b, state) for a, b in zip(at[::2], at[1::2], strict=False)], cuts, st.integers(1, 4))
    each = st.dictionaries(st.sampled_from([1, 2]), one, max_size=2)
    return each.map(lambda found: [Planned(agent, *row) for agent, rows in sorted(found.items()) for row in rows])


def instants(rows: list[Planned]) -> dict[tuple[int, int], int]:
    """What is planned for each agent at each instant."""
    return {(row.agent_id, at): row.state for row in rows for at in range(row.start, row.end)}


class SchedulesContract(CatalogContract):
    """What every back-end does."""

    # The same property of each back-end: to hypothesis it is one test that is run by several classes.
    @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors])
    @given(before=plans(0, 30), after=plans(10, 20))
    def test_an_import_replaces_its_agents_in_its_window(self, catalog: Catalog, account: str, before: list[Planned], after: list[Planned]):
        """Instant by instant: inside the window the new plan, outside the old one, and of other agents the old one everywhere."""
        with catalog.write() as conn:
            replace(conn, account, [Planned(agent, 0, 1, 1) for agent in (1, 2)], -100, 100)
            replace(conn, account, before, 0, 100)
            start = planned(conn, account)
            replace(conn, account, after, 10, 20)
            found = planned(conn, account)
        agents = {row.agent_id for row in after}
        kept = {(agent, at): state for (agent, at), state in instants(start).items() if agent not in agents or not 10 <= at < 20}
        assert instants(found) == kept | instants(after)
        assert found == sorted(found)

    def test_a_window_finds_what_meets_it(self, catalog: Catalog, account: str):
        """Half-open on both sides; without bounds everything."""
        rows = [Planned(1, 0, 10, 2), Planned(1, 10, 20, 4), Planned(2, 20, 30, 2)]
        with catalog.write() as conn:
            replace(conn, account, rows, 0, 30)
            assert planned(conn, account) == rows
            assert planned(conn, account, 10, 20) == rows[1:2]
            assert planned(conn, account, start=19) == rows[1:]
            assert planned(conn, account, end=1) == rows[:1]

    def test_accounts_are_apart(self, catalog: Catalog, account: str):
        """The same agent of another account has another schedule."""
        other = make_account(catalog, "B")
        with catalog.write() as conn:
            replace(conn, account, [Planned(1, 0, 10, 2)], 0, 10)
            replace(conn, other, [Planned(1, 0, 10, 4)], 0, 10)
            assert [planned(conn, name)[0].state for name in (account, other)] == [2, 4]

    def test_two_import_at_once(self, catalog: Catalog, account: str):
        """One comes after the other, and the last one's plan is the plan."""

        def bring(state: int) -> None:
            with catalog.write() as conn:
                replace(conn, account, [Planned(agent, 0, 10, state) for agent in range(50)], 0, 10)

        at_once(*[lambda state=state: bring(state) for state in (1, 2, 3, 4)])
        with catalog.read() as conn:
            assert len(planned(conn, account)) == 50
            assert len({row.state for row in planned(conn, account)}) == 1


class TestSchedulesOnPostgresql(OnPostgresql, SchedulesContract):
    """On PostgreSQL."""


class TestSchedulesOnSqlite(OnSqlite, SchedulesContract):
    """On SQLite."""
