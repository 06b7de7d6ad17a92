"""Published parts: lists by generated time, pages, the instant that is covered, and what stays of deleted parts."""

from __future__ import annotations

import random
from dataclasses import fields
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa

from catalog.contract import HOUR, NOW, CatalogContract, OnPostgresql, OnSqlite, insert_parts, make_account, part_row
from shiftlog.catalog import Catalog, parts, tables
from shiftlog.errors import Missing
from shiftlog.names import PartName


def listing(catalog: Catalog, account: str = "A", now: int = NOW, **options: Any) -> parts.Listing:
    with catalog.read() as conn:
        return parts.listing(conn, account, now=now, **options)


def seqs(found: parts.Listing) -> list[int]:
    return [part.seq for part in found.parts]


class PartsContract(CatalogContract):
    """Lists, the manifest, and single parts."""

    @pytest.fixture
    def hundred(self, catalog: Catalog, account: str) -> list[dict[str, Any]]:
        """A hundred parts, some of which were generated at the same instant."""
        dice = random.Random(1)
        times = sorted(NOW - 1_000 + dice.randrange(300) for _ in range(100))
        rows = [part_row(account, seq, generated) for seq, generated in enumerate(times, 1)]
        insert_parts(catalog, rows)
        return rows

    # ── lists ──

    def test_a_part_comes_back(self, catalog: Catalog, account: str):
        """With every column, and its name."""
        row = part_row(account, 3, NOW - 1, part=2, revision=12)
        insert_parts(catalog, [row])
        [part] = listing(catalog).parts
        assert {"account": account} | {name: getattr(part, name) for name in (field.name for field in fields(parts.Part))} == row
        assert str(part.name) == f"Agent.{3 * HOUR}.{4 * HOUR}.part-00002-12"

    @pytest.mark.parametrize(("start", "end", "found"), [(10, 11, [1]), (10, 10, []), (9, 10, []), (11, 20, []), (0, 11, [1]), (12, 5, [])])
    def test_a_window_is_half_open(self, catalog: Catalog, account: str, start: int, end: int, found: list[int]):
        """The generated time lies at its start or after, and before its end."""
        insert_parts(catalog, [part_row(account, 1, 10)])
        assert seqs(listing(catalog, start=start, end=end)) == found

    def test_no_end_is_now(self, catalog: Catalog, account: str):
        """And an end in the future is too."""
        insert_parts(catalog, [part_row(account, 1, NOW - 1), part_row(account, 2, NOW)])
        assert seqs(listing(catalog)) == seqs(listing(catalog, end=NOW + 10**9)) == [1]
        assert listing(catalog).covered_until == listing(catalog, end=NOW + 10**9).covered_until == NOW

    def test_a_part_appears_at_its_generated_time(self, catalog: Catalog, account: str):
        """Not before, though it is committed; what is covered never reaches beyond it while it is hidden."""
        insert_parts(catalog, [part_row(account, 1, NOW + 2_000)])
        for now in (NOW, NOW + 2_000):
            found = listing(catalog, now=now)
            assert (seqs(found), found.covered_until) == ([], now)
        assert seqs(listing(catalog, now=NOW + 2_001, start=NOW + 2_000)) == [1]

    def test_what_is_covered_ends_with_the_window(self, catalog: Catalog, account: str):
        """The smaller of its end and now is the safe next start."""
        assert [listing(catalog, end=end).covered_until for end in (5, NOW, NOW + 5, None)] == [5, NOW, NOW, NOW]

    def test_a_commit_under_way_holds_back_what_is_covered(self, catalog: Catalog, account: str):
        """No list claims to cover the floor or anything after it."""
        with catalog.write() as conn:
            conn.execute(sa.update(tables.accounts).values(floor=NOW - 50))
        assert [listing(catalog, end=end).covered_until for end in (5, NOW - 50, NOW - 49, None)] == [5, NOW - 50, NOW - 50, NOW - 50]

    def test_an_edition_is_the_lists(self, catalog: Catalog, account: str):
        """It is another when a part comes or goes, or the account's setting changes what a list says; none while a part is hidden."""

        def edition(now: int = NOW) -> parts.Edition | None:
            with catalog.read() as conn:
                return parts.standing(conn, account, now=now, end=None).edition

        def change(**values: Any) -> None:
            with catalog.write() as conn:
                conn.execute(sa.update(tables.accounts).where(tables.accounts.c.account == account).values(values))

        make_account(catalog, "B")
        seen = [edition()]
        change(last_seq=1, last_generated=NOW)
        assert edition() is None
        assert edition(NOW + 1) is not None
        change(last_generated=NOW - 1)
        seen.append(edition())
        for values in ({"time_zone": "Asia/Kolkata"}, {"pgp_key": "a key"}):
            change(**values)
            seen.append(edition())
        for _ in range(2):
            with catalog.write() as conn:
                parts.mark_removed(conn)
            seen.append(edition())
        assert len(set(seen)) == len(seen)
        assert edition() == seen[-1]

    def test_where_an_account_stands_says_what_its_lists_cover(self, catalog: Catalog, account: str):
        """As the lists themselves do; an account that is not there has no lists."""
        for floor in (None, NOW - 50):
            with catalog.write() as conn:
                conn.execute(sa.update(tables.accounts).values(floor=floor))
            for end in (5, NOW - 50, NOW - 49, NOW + 5, None):
                with catalog.read() as conn:
                    covered = parts.standing(conn, account, now=NOW, end=end).covered_until
                assert covered == listing(catalog, end=end).covered_until
        with catalog.read() as conn, pytest.raises(Missing):
            parts.standing(conn, "nobody", now=NOW, end=None)

    def test_a_poller_sees_every_part_once(self, catalog: Catalog, hundred: list[dict[str, Any]]):
        """One that begins each window where the last list's coverage ended."""
        seen, start, dice = [], 0, random.Random(2)
        for now in [*sorted(NOW - 1_100 + dice.randrange(500) for _ in range(40)), NOW]:
            found = listing(catalog, now=now, start=start)
            seen, start = seen + seqs(found), found.covered_until
        assert seen == list(range(1, 101))

    def test_neighbouring_windows_part_the_list(self, catalog: Catalog, hundred: list[dict[str, Any]]):
        """Wherever they are cut, nothing is left out or shown twice."""
        dice = random.Random(3)
        cuts = [0, *sorted(NOW - 1_050 + dice.randrange(400) for _ in range(20)), NOW]
        found = [seq for start, end in pairwise(cuts) for seq in seqs(listing(catalog, start=start, end=end))]
        assert found == seqs(listing(catalog)) == list(range(1, 101))

    @pytest.mark.parametrize("limit", [1, 7, 99, 100, 1_000, 2**63 - 1])
    def test_pages_are_the_list(self, catalog: Catalog, hundred: list[dict[str, Any]], limit: int):
        """Each begins after the last part of the one before, also within parts of one instant."""
        after, found, more = (-1, -1), [], True
        while more:
            page = listing(catalog, after=after, limit=limit)
            assert len(page.parts) == limit or not page.more
            found, more, after = found + seqs(page), page.more, (page.parts[-1].generated, page.parts[-1].seq)
        assert found == list(range(1, 101))

    def test_a_list_without_limit_is_whole(self, catalog: Catalog, hundred: list[dict[str, Any]]):
        """It is never cut."""
        assert len(listing(catalog).parts) == 100
        assert not listing(catalog).more

    def test_a_list_is_in_the_order_of_appearance(self, catalog: Catalog, account: str):
        """By generated time and sequence number, not by the hour covered."""
        insert_parts(catalog, [part_row(account, seq, t, scope_start=h * HOUR) for seq, t, h in ((1, 50, 3), (2, 50, 1), (3, 60, 2))])
        assert seqs(listing(catalog)) == [1, 2, 3]

    @pytest.mark.parametrize(
        ("low", "high", "found"), [(None, None, [1, 2, 3]), (2, None, [2, 3]), (None, 2, [1]), (2, 3, [2]), (3, 2, [])]
    )
    def test_a_list_by_the_hours_covered(self, catalog: Catalog, account: str, low: int | None, high: int | None, found: list[int]):
        """A half-open range of scope starts, besides the window."""
        insert_parts(catalog, [part_row(account, seq, 10) for seq in (1, 2, 3)])
        scopes = {"scope_from": None if low is None else low * HOUR, "scope_to": None if high is None else high * HOUR}
        assert seqs(listing(catalog, **scopes)) == found
        assert seqs(listing(catalog, start=11, **scopes)) == []

    def test_other_accounts_parts_are_not_listed(self, catalog: Catalog, account: str):
        """Nor found, nor in the manifest, nor near."""
        other = make_account(catalog, "B")
        insert_parts(catalog, [part_row(other, 1, 10)])
        with catalog.read() as conn:
            assert parts.find(conn, account, PartName(HOUR, 2 * HOUR, 0, 0), NOW) is None
            assert parts.manifest(conn, account, now=NOW, after=0, limit=10) == []
            assert parts.overlapping(conn, account, 0, NOW) == parts.of_scopes(conn, account, [HOUR]) == []
            assert (parts.revisions(conn, account, [HOUR]), parts.first_scope(conn, account)) == ({}, None)
        assert seqs(listing(catalog)) == []

    def test_an_unknown_account_has_no_parts(self, catalog: Catalog):
        """Whether there is one is asked elsewhere."""
        assert listing(catalog, "nobody") == parts.Listing([], NOW, False)

    # ── single parts, and those that were deleted ──

    def test_a_part_is_found_by_its_name(self, catalog: Catalog, account: str):
        """Every number of it counts."""
        insert_parts(
            catalog, [part_row(account, seq, 10, scope_start=HOUR, part=p, revision=r) for seq, p, r in ((1, 0, 0), (2, 0, 1), (3, 1, 0))]
        )
        asked = {1: (0, 0), 2: (0, 1), 3: (1, 0), None: (1, 1)}
        with catalog.read() as conn:
            for seq, (part, revision) in asked.items():
                found = parts.find(conn, account, PartName(HOUR, 2 * HOUR, part, revision), NOW)
                assert (found and found.seq) == seq
            assert parts.find(conn, account, PartName(HOUR, 2 * HOUR + 1, 0, 0), NOW) is None

    def test_a_part_is_found_when_it_is_visible(self, catalog: Catalog, account: str):
        """Its name can be guessed, its bytes are not there before its generated time."""
        insert_parts(catalog, [part_row(account, 1, NOW)])
        name = PartName(HOUR, 2 * HOUR, 0, 0)
        with catalog.read() as conn:
            assert parts.find(conn, account, name, NOW - 1) is None
            assert parts.find(conn, account, name, NOW).seq == 1

    def test_a_deleted_part_leaves_a_tombstone(self, catalog: Catalog, account: str):
        """It is not listed any more, but stays in the manifest and can be told from one that never was."""
        insert_parts(catalog, [part_row(account, 1, 10, gz_gone=NOW - 5), part_row(account, 2, 11, twin_gone=NOW - 5)])
        assert seqs(listing(catalog)) == [2]
        with catalog.read() as conn:
            assert [part.seq for part in parts.manifest(conn, account, now=NOW, after=0, limit=10)] == [1, 2]
            assert parts.find(conn, account, PartName(HOUR, 2 * HOUR, 0, 0), NOW).gz_gone == NOW - 5

    def test_the_manifest_goes_on_after_a_number(self, catalog: Catalog, hundred: list[dict[str, Any]]):
        """In pages of at most `limit`, until none is left."""
        found: list[int] = []
        with catalog.read() as conn:
            while page := parts.manifest(conn, "A", now=NOW, after=found[-1] if found else 0, limit=7):
                found += [part.seq for part in page]
        assert found == list(range(1, 101))

    def test_the_manifest_hides_what_is_not_visible_yet(self, catalog: Catalog, account: str):
        """As the list does."""
        insert_parts(catalog, [part_row(account, 1, NOW - 1), part_row(account, 2, NOW)])
        with catalog.read() as conn:
            assert [part.seq for part in parts.manifest(conn, account, now=NOW, after=0, limit=10)] == [1]

    # ── what late events need ──

    @pytest.mark.parametrize(
        ("low", "high", "found"), [(0, 9, []), (0, 10, [1]), (20, 30, [1, 2]), (21, 29, []), (15, 15, [1]), (41, 99, []), (0, 99, [1, 2])]
    )
    def test_parts_with_events_in_a_stretch(self, catalog: Catalog, account: str, low: int, high: int, found: list[int]):
        """Both ends belong to it."""
        insert_parts(
            catalog,
            [part_row(account, 1, 10, min_timestamp=10, max_timestamp=20), part_row(account, 2, 10, min_timestamp=30, max_timestamp=40)],
        )
        with catalog.read() as conn:
            assert [part.seq for part in parts.overlapping(conn, account, low, high)] == found

    def test_revisions_come_with_their_scope(self, catalog: Catalog, account: str):
        """They may supersede what lies in the stretch, wherever their own events are, or if they have none."""
        scope = {"scope_start": HOUR}
        insert_parts(
            catalog,
            [
                part_row(account, 1, 10, **scope, min_timestamp=10, max_timestamp=20),
                part_row(account, 2, 10, **scope, part=1, min_timestamp=70, max_timestamp=80),
                part_row(account, 3, 10, **scope, revision=1, min_timestamp=70, max_timestamp=80),
                part_row(account, 4, 10, **scope, revision=2, min_timestamp=None, max_timestamp=None),
                part_row(account, 5, 10, revision=1, min_timestamp=70, max_timestamp=80),
            ],
        )
        with catalog.read() as conn:
            assert [part.seq for part in parts.overlapping(conn, account, 15, 16)] == [1, 3, 4]

    def test_parts_of_many_scopes(self, catalog: Catalog, hundred: list[dict[str, Any]]):
        """More than a database takes in one statement, in order of their numbers."""
        with catalog.read() as conn:
            assert [part.seq for part in parts.of_scopes(conn, "A", [HOUR * n for n in range(12_000, 0, -1)])] == list(range(1, 101))
            assert [part.seq for part in parts.of_scopes(conn, "A", [9 * HOUR, 4 * HOUR])] == [4, 9]

    def test_the_highest_revision_of_each_scope(self, catalog: Catalog, account: str):
        """By number, so that 10 is after 9."""
        insert_parts(catalog, [part_row(account, r + 1, 10, scope_start=HOUR, revision=r) for r in range(11)] + [part_row(account, 20, 10)])
        with catalog.read() as conn:
            assert parts.revisions(conn, account, [n * HOUR for n in range(12_000)]) == {HOUR: 10, 20 * HOUR: 0}
            assert parts.revisions(conn, account, [HOUR, 2 * HOUR]) == {HOUR: 10}
            assert parts.first_scope(conn, account) == HOUR


class TestPartsOnPostgresql(OnPostgresql, PartsContract):
    """On PostgreSQL."""


class TestPartsOnSqlite(OnSqlite, PartsContract):
    """On SQLite."""
