"""The publisher's side of an account: who holds the lease, and the one commit of a run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from catalog.contract import HOUR, NOW, VAULT, CatalogContract, OnPostgresql, OnSqlite, at_once, contents, make_account, part_row
from catalog.test_batches import claim, commit
from shiftlog.catalog import Catalog, batches, parts, publishing, tables
from shiftlog.catalog.parts import NewPart
from shiftlog.catalog.publishing import OBJECT_AGE, Lease, Outcome, State
from shiftlog.errors import Later, Missing, Overtaken

MINUTE = 60_000


def acquire(catalog: Catalog, holder: str = "one", *, account: str = "A", lease_ms: int = MINUTE, alive: bool = True) -> Lease | int:
    return publishing.acquire(catalog, account, holder, lease_ms, lambda _: alive)


def state(catalog: Catalog, account: str = "A") -> State:
    with catalog.read() as conn:
        return publishing.state(conn, account)


def new_part(scope: int, part: int = 0, revision: int = 0) -> NewPart:
    row = part_row("A", 0, 0, scope_start=scope, part=part, revision=revision)
    return NewPart(**{name: row[name] for name in NewPart.__slots__})


def outcome(catalog: Catalog, *new: NewPart, **changes: Any) -> Outcome:
    """What a run wants to change: these parts, and nothing else unless said otherwise."""
    now = catalog.now()
    nothing = Outcome(now, now, NOW, 0, None, 0, 0, new, {}, 0, None, 0)
    return replace(nothing, **changes)


def publish(catalog: Catalog, *new: NewPart, lead: int = 0, **changes: Any) -> int:
    """A whole run: acquire, commit, release; returns the generated time."""
    lease = acquire(catalog)
    generated = publishing.commit(catalog, VAULT, lease, state(catalog), outcome(catalog, *new, **changes), lead)
    publishing.release(catalog, lease)
    return generated


def listed(catalog: Catalog, now: int, account: str = "A") -> parts.Listing:
    with catalog.read() as conn:
        return parts.listing(conn, account, now=now)


class PublishingContract(CatalogContract):
    """Leases and commits."""

    # ── the lease ──

    def test_a_free_lease_is_acquired(self, catalog: Catalog, account: str):
        """With the account's next epoch."""
        assert acquire(catalog) == Lease(account, "one", 1)

    def test_a_held_lease_is_waited_for(self, catalog: Catalog, account: str):
        """The answer is how long it lasts, in ms; nothing is changed."""
        acquire(catalog)
        before = contents(catalog)
        assert 0 < acquire(catalog, "two") <= MINUTE
        assert contents(catalog) == before

    def test_a_released_lease_is_free(self, catalog: Catalog, account: str):
        """The next holder has an epoch of its own, also if it is the same worker."""
        publishing.release(catalog, acquire(catalog))
        assert acquire(catalog) == Lease(account, "one", 2)

    def test_an_expired_lease_is_taken_over(self, catalog: Catalog, account: str):
        """Its holder may be asleep: whoever comes next is the holder."""
        acquire(catalog, lease_ms=0)
        assert acquire(catalog, "two") == Lease(account, "two", 2)

    def test_a_dead_holders_lease_is_taken_over(self, catalog: Catalog, account: str):
        """At once, where it is known to be dead."""
        acquire(catalog)
        assert acquire(catalog, "two", alive=False) == Lease(account, "two", 2)

    def test_a_lease_can_be_renewed(self, catalog: Catalog, account: str):
        """From now on, for as long as is asked."""
        lease = acquire(catalog, lease_ms=0)
        assert publishing.renew(catalog, lease, MINUTE)
        assert isinstance(acquire(catalog, "two"), int)

    def test_an_overtaken_lease_cannot_be_renewed(self, catalog: Catalog, account: str):
        """And to release it leaves the new holder's alone."""
        old, new = acquire(catalog, lease_ms=0), acquire(catalog, "two")
        assert not publishing.renew(catalog, old, MINUTE)
        publishing.release(catalog, old)
        assert isinstance(acquire(catalog, "three"), int)
        assert publishing.renew(catalog, new, MINUTE)

    def test_leases_are_an_accounts_own(self, catalog: Catalog, account: str):
        """Two accounts are published beside each other."""
        make_account(catalog, "B")
        acquire(catalog)
        assert acquire(catalog, "two", account="B") == Lease("B", "two", 1)

    def test_one_of_several_gets_the_lease(self, catalog: Catalog, account: str):
        """When all ask at once."""
        answers = at_once(*[lambda n=n: acquire(catalog, str(n)) for n in range(6)])
        assert sum(isinstance(answer, Lease) for answer in answers) == 1

    def test_an_unknown_account_is_missing(self, catalog: Catalog):
        """It has neither lease nor state."""
        with pytest.raises(Missing, match="there is no account nobody"):
            acquire(catalog, account="nobody")
        with pytest.raises(Missing, match="there is no account nobody"):
            state(catalog, "nobody")

    # ── the commit ──

    def test_a_commit_makes_all_its_parts_visible(self, catalog: Catalog, account: str):
        """Numbered on from the last, with one generated time, at which they are listed."""
        publish(catalog, new_part(0))
        generated = publish(catalog, new_part(HOUR), new_part(2 * HOUR))
        assert [part.seq for part in listed(catalog, generated + 1).parts] == [1, 2, 3]
        assert [part.generated for part in listed(catalog, generated + 1).parts[1:]] == [generated] * 2
        assert [part.seq for part in listed(catalog, generated).parts] == [1]

    def test_a_part_is_stored_as_it_was_given(self, catalog: Catalog, account: str):
        """Every field of it."""
        given = new_part(5 * HOUR, part=2, revision=11)
        [part] = listed(catalog, publish(catalog, given) + 1).parts
        assert NewPart(**{name: getattr(part, name) for name in NewPart.__slots__}) == given

    def test_the_generated_time_is_ahead_of_the_clock(self, catalog: Catalog, account: str):
        """By the lead, so that the commit is over when it comes."""
        before = catalog.now()
        assert before + 5_000 <= publish(catalog, new_part(0), lead=5_000) <= catalog.now() + 5_000

    def test_generated_times_never_meet(self, catalog: Catalog, account: str):
        """However fast commits follow each other, and if the lead becomes shorter."""
        times = [publish(catalog, new_part(n * HOUR), lead=1_000 - n * 100) for n in range(10)]
        assert times == sorted(set(times))

    def test_a_commit_moves_the_account_on(self, catalog: Catalog, account: str):
        """All that the next run starts from."""
        generated = publish(catalog, new_part(0), consumed=0, carry_key="carry/1", carry_sessions=2, carry_events=7, repeats=3)
        assert state(catalog) == State(0, 0, "carry/1", 2, 7, NOW, 1, generated, 3)
        publish(catalog, watermark=NOW + HOUR, carry_key=None, repeats=4)
        assert state(catalog) == State(0, 0, None, 0, 0, NOW + HOUR, 1, generated, 7)

    def test_a_commit_without_parts_is_no_news(self, catalog: Catalog, account: str):
        """The watermark moves; the generated time of the last part stays."""
        generated = publish(catalog, new_part(0))
        assert publish(catalog, watermark=NOW + HOUR) == generated
        assert (state(catalog).watermark, state(catalog).last_seq) == (NOW + HOUR, 1)

    def test_a_commit_is_recorded(self, catalog: Catalog, account: str):
        """The last run says what it did."""
        publish(catalog, new_part(0), new_part(HOUR), repeats=4, started=NOW)
        with catalog.read() as conn:
            run = publishing.last_run(conn, account)
        assert {name: run[name] for name in ("started", "until", "parts", "sessions", "events", "repeats", "set_aside")} == {
            "started": NOW,
            "until": NOW,
            "parts": 2,
            "sessions": 2,
            "events": 6,
            "repeats": 4,
            "set_aside": 0,
        }
        publish(catalog, watermark=NOW + 1)
        with catalog.read() as conn:
            assert publishing.last_run(conn, account)["until"] == NOW + 1

    def test_an_account_that_was_never_published(self, catalog: Catalog, account: str):
        """It has no run, no watermark, and nothing set aside."""
        with catalog.read() as conn:
            assert publishing.last_run(conn, account) is None
            assert publishing.set_aside(conn, account) == 0
        assert state(catalog) == State(0, 0, None, 0, 0, None, 0, 0, 0)

    def test_events_that_are_set_aside_are_counted(self, catalog: Catalog, account: str):
        """Over all runs."""
        publish(catalog, aside_key="aside/1", aside_events=2)
        publish(catalog, aside_key="aside/2", aside_events=3)
        publish(catalog)
        with catalog.read() as conn:
            assert publishing.set_aside(conn, account) == 5

    def test_a_session_id_keeps_its_first_scope(self, catalog: Catalog, account: str):
        """Whatever scope it is published in again; ids that no batch has brought are left alone."""
        commit(catalog, "1", claim(account, s=1, t=1, u=1))
        publish(catalog, new_part(0), published_ids={"s": 0})
        publish(catalog, new_part(HOUR), published_ids={"s": HOUR, "t": HOUR, "other": HOUR})
        with catalog.read() as conn:
            assert batches.published(conn, account, 0) == {"s": 0, "t": HOUR}

    # ── commits that are refused ──

    def refused(self, catalog: Catalog, lease: Lease, base: State, wanted: Outcome) -> str:
        """What the refusal says; nothing but the floor was changed."""
        before = contents(catalog, "accounts"), state(catalog)
        with pytest.raises(Later) as refusal:
            publishing.commit(catalog, VAULT, lease, base, wanted, 0)
        assert (contents(catalog, "accounts"), state(catalog)) == before
        return str(refusal.value)

    def test_an_overtaken_commit_changes_nothing(self, catalog: Catalog, account: str):
        """A worker that wakes too late can do no harm."""
        old, base = acquire(catalog, lease_ms=0), state(catalog)
        acquire(catalog, "two")
        assert "another worker has taken over" in self.refused(catalog, old, base, outcome(catalog, new_part(0)))
        assert "another worker has taken over" in self.refused(catalog, old, base, outcome(catalog))

    def test_a_lease_that_was_given_back_and_taken_again(self, catalog: Catalog, account: str):
        """The holder's name is the same, the epoch is not."""
        old, base = acquire(catalog), state(catalog)
        publishing.release(catalog, old)
        acquire(catalog)
        with pytest.raises(Overtaken):
            publishing.commit(catalog, VAULT, old, base, outcome(catalog, new_part(0)), 0)

    def test_a_commit_after_release_changes_nothing(self, catalog: Catalog, account: str):
        """Without the lease there is no commit."""
        lease, base = acquire(catalog), state(catalog)
        publishing.release(catalog, lease)
        assert "another worker has taken over" in self.refused(catalog, lease, base, outcome(catalog, new_part(0)))

    @pytest.mark.parametrize("meanwhile", [{"consumed": 1}, {"carry_key": "carry/1"}])
    def test_an_account_that_has_moved_on(self, catalog: Catalog, account: str, meanwhile: dict[str, Any]):
        """A run that started from another state would publish events twice."""
        lease, base = acquire(catalog), state(catalog)
        publishing.commit(catalog, VAULT, lease, base, outcome(catalog, **meanwhile), 0)
        assert "was published meanwhile" in self.refused(catalog, lease, base, outcome(catalog, new_part(0)))

    def test_a_commit_that_was_done_already(self, catalog: Catalog, account: str):
        """The same run again has no second effect."""
        lease, base, wanted = acquire(catalog), state(catalog), outcome(catalog, new_part(0))
        publishing.commit(catalog, VAULT, lease, base, wanted, 0)
        assert "was published meanwhile" in self.refused(catalog, lease, base, wanted)

    def test_objects_that_are_too_old(self, catalog: Catalog, account: str):
        """Garbage collection could have met them: the run has to be repeated."""
        lease, base = acquire(catalog), state(catalog)
        old = outcome(catalog, new_part(0), written=catalog.now() - OBJECT_AGE - 1)
        assert "more than an hour" in self.refused(catalog, lease, base, old)

    def test_batches_that_land_meanwhile(self, catalog: Catalog, account: str):
        """They are no reason to refuse: the run never claimed to have consumed them."""
        lease, base = acquire(catalog), state(catalog)
        commit(catalog, "1", claim(account))
        publishing.commit(catalog, VAULT, lease, base, outcome(catalog, new_part(0)), 0)
        assert (state(catalog).landed, state(catalog).consumed) == (1, 0)

    # ── what a list may claim meanwhile ──

    def test_nothing_is_covered_from_the_beginning_of_a_commit_on(self, catalog: Catalog, account: str):
        """While one hangs between its two transactions, lists do not claim to cover the present."""
        lease, base, before = acquire(catalog), state(catalog), catalog.now()
        self.refused(catalog, lease, base, outcome(catalog, new_part(0), written=0))
        later = catalog.now() + 1_000
        assert before <= listed(catalog, later).covered_until < later
        publishing.release(catalog, lease)
        assert listed(catalog, later).covered_until == later

    def test_whoever_takes_over_lifts_the_floor(self, catalog: Catalog, account: str):
        """The commit that set it can no longer succeed."""
        lease, base = acquire(catalog, lease_ms=0), state(catalog)
        self.refused(catalog, lease, base, outcome(catalog, new_part(0), written=0))
        acquire(catalog, "two")
        later = catalog.now() + 1_000
        assert listed(catalog, later).covered_until == later

    def test_a_commit_lifts_the_floor(self, catalog: Catalog, account: str):
        """And its part was generated at it or after it."""
        publish(catalog, new_part(0), lead=200)
        generated = publish(catalog, new_part(HOUR))
        later = catalog.now() + 1_000
        assert listed(catalog, later).covered_until == later
        assert generated == listed(catalog, later).parts[-1].generated

    def test_many_publishers_make_one_sequence(self, catalog: Catalog, account: str):
        """Several that commit as fast as they can get the lease: numbers without gaps, times that rise."""

        def work(name: str) -> int:
            done = 0
            while done < 5:
                lease = acquire(catalog, name, lease_ms=10 * MINUTE)
                if isinstance(lease, int):
                    continue
                base = state(catalog)
                publishing.commit(catalog, VAULT, lease, base, outcome(catalog, new_part((base.last_seq + 1) * HOUR)), 0)
                publishing.release(catalog, lease)
                done += 1
            return done

        assert sum(at_once(*[lambda n=n: work(str(n)) for n in range(3)])) == 15
        found = listed(catalog, catalog.now() + MINUTE).parts
        assert [part.seq for part in found] == list(range(1, 16))
        assert [part.generated for part in found] == sorted({part.generated for part in found})
        with catalog.read() as conn:
            assert conn.scalar(sa.select(sa.func.count()).select_from(tables.runs)) == 15


class TestPublishingOnPostgresql(OnPostgresql, PublishingContract):
    """On PostgreSQL."""


class TestPublishingOnSqlite(OnSqlite, PublishingContract):
    """On SQLite."""
