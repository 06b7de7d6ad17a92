"""Retention: files leave first, twins later, catalog rows never; and nothing is deleted that is named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from catalog.contract import at_once
from readers import all_parts, at, every_row, land, publish_at, standing
from scenes import DAY, HOUR, T0, event, login, logout, sent
from shiftlog import chain
from shiftlog.catalog import accounts, batches, chained, deployment, parts, publishing, sweeping, tables, trail
from shiftlog.catalog.trail import Nonce
from shiftlog.house import House
from shiftlog.retention import Swept, sweep
from shiftlog.settings import Settings
from shiftlog.store import Object, Store

pytestmark = pytest.mark.usefixtures("account")
SAFETY = Settings().safety


def keys(house: House, prefix: str = "") -> set[str]:
    return {found.key for found in house.store.list(prefix)} - {deployment.OBJECT}


def a_part(house: House) -> parts.Part:
    """A session, published."""
    land(house, sent(login(T0), logout(T0 + HOUR)))
    [part] = publish_at(house, T0 + 3 * HOUR)
    return part


# ── files and twins ──


def test_a_file_leaves_when_its_retention_is_over(house: House):
    """Thirty days after it was generated, whatever hour it covers; its twin stays."""
    part = a_part(house)
    assert sweep(at(house, part.generated + 30 * DAY)).files == 0
    assert sweep(at(house, part.generated + 30 * DAY + 1)).files == 1
    assert keys(house, "parts") == {part.twin_key}


def test_a_twin_leaves_when_the_history_is_over(house: House):
    """Metrics and late events need it for 400 days."""
    part = a_part(house)
    sweep(at(house, part.generated + 400 * DAY))
    assert keys(house, "parts") == {part.twin_key}
    assert sweep(at(house, part.generated + 400 * DAY + 1)).twins == 1
    assert keys(house, "parts") == set()


def test_a_file_that_has_left_is_a_tombstone(house: House):
    """It is not listed any more; the manifest and its name still tell of it, and when it went."""
    part, now = a_part(house), house.catalog.now() + 31 * DAY
    sweep(at(house, now))
    with house.catalog.read() as conn:
        assert parts.listing(conn, "A", now=now).parts == []
        [gone] = parts.manifest(conn, "A", now=now, after=0, limit=10)
        public = {key.id: key.public for key in chained.keys(conn, "A")}
        assert (gone.gz_gone, gone.removed_reason) == (now, "retention")
        assert replace(gone, gz_gone=None, removed_reason=None, removed_by=None, removed_signature=None) == part
        assert chain.is_signed(public[gone.removed_by], chain.removal("A", 1, part.link, "retention", now), gone.removed_signature)
        assert parts.find(conn, "A", part.name, now).gz_gone == now


def test_lists_are_told_that_a_file_has_left(house: House):
    """And only then: a sweep that finds nothing leaves those that are kept as they are."""
    part = a_part(house)

    def edition() -> parts.Edition:
        with house.catalog.read() as conn:
            found = parts.standing(conn, "A", now=part.generated + 1, end=None).edition
        assert found is not None
        return found

    first = edition()
    sweep(house)
    assert edition() == first
    sweep(at(house, part.generated + 31 * DAY))
    assert edition() != first


def test_numbers_go_on_after_a_tombstone(house: House):
    """The next part of the hour is its next revision, and has the next number."""
    part = a_part(house)
    sweep(at(house, part.generated + 31 * DAY))
    land(house, sent(event(T0 + 1, state=2)))
    [late] = publish_at(house, T0 + 3 * HOUR)
    assert (late.seq, late.revision) == (2, 1)
    assert standing(pl.read_parquet(house.store.source(late.twin_key)))["timestamp"].to_list() == [T0, T0 + 1, T0 + HOUR]


def test_an_account_has_its_own_retention(house: House):
    """Other accounts' files stay."""
    part = a_part(house)
    with house.catalog.write() as conn:
        accounts.ensure(conn, "B", T0, house.settings)
        accounts.update(conn, "B", {"retention_days": 1})
    land(house, sent(login(T0), logout(T0 + HOUR)), "B")
    [other] = publish_at(house, T0 + 3 * HOUR, "B")
    assert sweep(at(house, other.generated + DAY + 1)).files == 1
    assert keys(house, "parts") == {part.gz_key, part.twin_key, other.twin_key}


def test_the_history_is_a_setting(house: House):
    """Of the deployment."""
    part = a_part(house)
    short = replace(house, settings=Settings(history_days=1))
    assert sweep(at(short, part.generated + DAY + 1)).twins == 1


# ── landing batches ──


def test_a_published_batch_leaves_after_the_safety_time(house: House):
    """All in it is published; nothing else would ever read it."""
    a_part(house)
    [landed] = house.store.list("landing")
    with house.catalog.read() as conn:
        [batch] = batches.after(conn, "A", 0)
    assert sweep(at(house, batch.received_at + SAFETY)).landing == 0
    assert keys(house, "landing") == {landed.key}
    assert sweep(at(house, batch.received_at + SAFETY + 1)).landing == 1
    assert keys(house, "landing") == set()


def test_a_batch_that_waits_is_never_deleted(house: House):
    """However long nobody publishes; afterwards nothing is missing."""
    land(house, sent(login(T0), logout(T0 + HOUR)))
    assert sweep(at(house, house.catalog.now() + 1_000 * DAY)) == Swept(0, 0, 0, 0)
    publish_at(house, T0 + 3 * HOUR)
    assert standing(every_row(house))["timestamp"].to_list() == [T0, T0 + HOUR]


def test_open_sessions_outlive_their_batch(house: House):
    """Their events are in the carried object, which is named; that of the run before is not."""
    land(house, sent(login(T0)))
    publish_at(house, T0 + 2 * HOUR)
    [before] = keys(house, "carry")
    land(house, sent(event(T0 + HOUR, state=2)))
    publish_at(house, T0 + 3 * HOUR)
    sweep(at(house, house.catalog.now() + 2 * DAY))
    assert (len(keys(house, "carry") - {before}), before in keys(house), keys(house, "landing")) == (1, False, set())
    land(house, sent(logout(T0 + 2 * HOUR)))
    publish_at(house, T0 + 4 * HOUR)
    assert standing(every_row(house))["timestamp"].to_list() == [T0, T0 + HOUR, T0 + 2 * HOUR]


def test_what_was_set_aside_is_kept(house: House):
    """Somebody has to look at it."""
    part = a_part(house)
    sweep(at(house, part.generated + 401 * DAY))
    land(house, sent(event(T0 + 1, state=2)))
    publish_at(house, T0 + 3 * HOUR)
    sweep(at(house, house.catalog.now() + 1_000 * DAY))
    assert len(keys(house, "aside")) == 1


# ── what nobody names ──


def test_an_object_that_nobody_names_is_deleted(house: House):
    """Of an attempt that failed, say; once it is so old that no commit can name it any more."""
    house.store.put("parts/A/lost.gz", b"x")
    [lost] = house.store.list("parts")
    assert sweep(at(house, lost.modified + SAFETY)).unnamed == 0
    assert sweep(at(house, lost.modified + SAFETY + 1)).unnamed == 1
    assert keys(house) == set()


def test_half_an_object_is_deleted(house: House):
    """What a crash has left in the middle of a put."""
    house.store.put("parts/A/1.gz", b"x")
    (house.directory / "objects/parts/A/1.gz").rename(house.directory / "objects/parts/A/1.gz#half-0123abcd")
    assert sweep(at(house, house.catalog.now() + 2 * DAY)).unnamed == 1


def test_a_sweep_that_was_cut_off_is_finished_by_the_next(house: House):
    """The catalog had marked the file, and the process was killed before it deleted the bytes."""
    part, now = a_part(house), house.catalog.now() + 31 * DAY
    with house.catalog.write() as conn:
        assert sweeping.expire_parts(conn, "gz", "A", now - 30 * DAY, now) == [part.gz_key]
    assert sweep(at(house, now)) == Swept(files=0, twins=0, landing=1, unnamed=1)
    assert keys(house) == {part.twin_key}


@dataclass(frozen=True, slots=True)
class StoreWith:
    """A store in which something happens after each listing."""

    inner: Store
    meanwhile: Callable[[], object]

    def list(self, prefix: str = "") -> Iterator[Object]:
        yield from self.inner.list(prefix)
        self.meanwhile()

    def delete(self, keys: Iterable[str]) -> None:
        self.inner.delete(keys)


def test_what_is_named_after_the_listing_is_kept(house: House):
    """A commit in the middle of a sweep wins."""
    house.store.put("carry/A/1.parquet", b"x")

    def commit() -> None:
        lease = publishing.acquire(house.catalog, "A", "test", 60_000, lambda _: True)
        with house.catalog.read() as conn:
            base = publishing.state(conn, "A")
        now = house.catalog.now()
        outcome = publishing.Outcome(now, now, T0, 0, "carry/A/1.parquet", 1, 1, (), {}, 0, None, 0)
        publishing.commit(house.catalog, house.vault, lease, base, outcome, 0)

    busy = replace(at(house, house.catalog.now() + 2 * DAY), store=StoreWith(house.store, commit))
    assert sweep(busy).unnamed == 0
    assert keys(house) == {"carry/A/1.parquet"}


# ── all of it ──


def test_nothing_named_is_ever_deleted(house: House):
    """Weeks of publishing, late events and sweeps: all that the catalog names is there, and nothing else that is old."""
    for week in range(8):
        start = T0 + 7 * week * DAY
        land(house, sent(login(start), logout(start + HOUR), login(start + DAY, agentID=2)))
        publish_at(house, start + 2 * DAY)
        land(house, sent(event(start + 1, state=2)))
        publish_at(house, start + 2 * DAY)
        house.store.put(f"parts/A/lost-{week}.gz", b"x")
        age_parts(house, 7 * DAY)
        sweep(at(house, house.catalog.now() + 2 * DAY))
        with house.catalog.read() as conn:
            assert keys(house) | {deployment.OBJECT} == sweeping.named_objects(conn)
    found = all_parts(house)
    assert [part.gz_gone is not None for part in found] == sorted((part.gz_gone is not None for part in found), reverse=True)
    assert {part.gz_gone is None for part in found} == {True, False}


def age_parts(house: House, by: int) -> None:
    with house.catalog.write() as conn:
        conn.execute(sa.update(tables.parts).values(generated=tables.parts.c.generated - by))


def test_sweeping_again_does_nothing(house: House):
    """There is nothing left that is too old."""
    part = a_part(house)
    later = at(house, part.generated + 31 * DAY)
    assert sweep(later) == Swept(files=1, twins=0, landing=1, unnamed=0)
    assert sweep(later) == Swept(0, 0, 0, 0)


def test_several_sweep_at_once(house: House):
    """Each file is counted once, and none is missed."""
    part = a_part(house)
    later = at(house, part.generated + 31 * DAY)
    swept = at_once(*[lambda: sweep(later)] * 4)
    assert [sum(getattr(one, kind) for one in swept) for kind in ("files", "twins", "landing")] == [1, 0, 1]
    assert keys(house) == {part.twin_key}


def test_an_empty_deployment_is_swept(house: House):
    """Nothing there is nothing too old."""
    assert sweep(house) == Swept(0, 0, 0, 0)


def test_old_nonces_and_session_ids_are_forgotten(house: House):
    """With their time window; with the history."""
    land(house, sent(login(T0, sessionId="s"), logout(T0 + HOUR, sessionId="s")))
    nonce = Nonce(1, 1, "n", house.catalog.now() + 1_000)
    with house.catalog.write() as conn:
        trail.use(conn, [nonce])
    sweep(at(house, nonce.expires + 1))
    with house.catalog.write() as conn:
        assert trail.use(conn, [nonce]) == [True]
        assert batches.owners(conn, "A", ["s"]) == {"s": 1}
    sweep(at(house, house.catalog.now() + 401 * DAY))
    with house.catalog.read() as conn:
        assert batches.owners(conn, "A", ["s"]) == {}


def test_the_files_on_disk_are_those_of_the_store(house: House):
    """Nothing hides beside them."""
    a_part(house)
    sweep(at(house, house.catalog.now() + 500 * DAY))
    assert [path.name for path in Path(house.directory / "objects").rglob("*") if path.is_file()] == [deployment.OBJECT]
