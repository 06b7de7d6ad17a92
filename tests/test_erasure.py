"""Forgetting an agent: nothing names the agent any more, wherever it lay, and all there is of others stays as it was."""

from __future__ import annotations

import gzip
import io
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from client.lakes import at, everything, globbed, pulled
from client.servers import SHIFTLOG, running, shiftlog_client
from database import Postgresql
from readers import all_parts, every_row, land, publish_at, standing, unchained
from scenes import DAY, HOUR, MINUTE, T0, event, login, logout, sent
from shiftlog import archive, pending
from shiftlog.catalog import Catalog, accounts, forgetting, parts, schedules, tables
from shiftlog.catalog.keys import NewKey
from shiftlog.client.answers import Manifest
from shiftlog.client.verify import verify
from shiftlog.erasure import Forgotten, forget
from shiftlog.errors import Gone
from shiftlog.events import FLAT
from shiftlog.house import House
from shiftlog.landing import Landing
from shiftlog.lease import Worker
from shiftlog.proof import prove
from shiftlog.schedules import Planned
from shiftlog.settings import Settings
from shiftlog.sources import HouseSource
from shiftlog.store import Store

NAMES = {
    "agentUsername": "Wilhelmina Quackenbush",
    "agentNickname": "Willaquack",
    "agentLoginname": "wquackenbush@example.net",
    "agentEmployeeId": "EMP-990017",
}
OTHER = {"agentUsername": "Bo", "agentNickname": "bo", "agentLoginname": "bo@example.net", "agentEmployeeId": "2"}
BEE = dict.fromkeys(NAMES, "Bee")
FIRST = T0 - 9 * DAY


def day(agent: int, start: int, names: dict[str, str], **more: Any) -> list[dict[str, Any]]:
    """A session of an agent that lasts for ten minutes."""
    who = {"agentID": agent, **names, **more}
    return [login(start, **who), event(start + MINUTE, state=2, concurrentEng=1, **who), logout(start + 10 * MINUTE, **who)]


@pytest.fixture
def filled(house: House, account: str, keys: NewKey) -> House:
    """Two agents in three hours: with a late event, an open session, one that landed only, and names, schedules and other accounts."""
    fill(house)
    return house


def fill(house: House) -> None:
    with house.catalog.write() as conn:
        accounts.ensure(conn, "B", house.catalog.now(), house.settings)
        accounts.name(conn, "A", [("agent", 1, 0, NAMES["agentUsername"]), ("agent", 2, 0, "Bo"), ("group", 1, 0, "First")])
        plan = [Planned(agent, FIRST, FIRST + HOUR, 2) for agent in (1, 2)]
        schedules.replace(conn, "A", plan, FIRST, FIRST + HOUR)
    for hour in range(3):
        start = FIRST + hour * HOUR
        land(house, sent(*day(1, start, NAMES), *day(2, start + 1, OTHER)))
        publish_at(house, start + 2 * HOUR)
    # late: a revision of the first hour; and one of a session that has an id
    land(house, sent(event(FIRST + 2 * MINUTE, state=4, agentID=1, **NAMES), event(FIRST + 3 * MINUTE, state=4, agentID=2, **OTHER)))
    land(house, sent(*day(2, FIRST + 20 * MINUTE, OTHER, sessionId="two"), *day(1, FIRST + 20 * MINUTE, NAMES, sessionId="one")))
    # open, and carried on
    land(house, sent(login(FIRST + 4 * HOUR, agentID=1, **NAMES), login(FIRST + 4 * HOUR, agentID=2, **OTHER)))
    publish_at(house, FIRST + 6 * HOUR)
    # landed only, with another account in the same object
    landing = Landing(house)
    late = event(FIRST + 4 * HOUR + MINUTE, state=2, agentID=1, **NAMES)
    answers = [
        landing.submit("B", sent({**late, **BEE})),
        landing.submit("A", sent(late, {**late, "agentID": 2, **OTHER})),
        landing.submit("B", sent({**late, "timestamp": FIRST + 5 * HOUR, **BEE})),
    ]
    assert [answer.result() for answer in answers] == [1, 2, 1]
    landing.close()


def run(house: House, agent: int = 1, *, remove: bool = False, account: str = "A") -> Forgotten:
    with Worker(house) as worker:
        return forget(worker, account, agent, remove=remove)


def traces(directory: Path) -> list[str]:
    """The files of a directory in which the agent is named, as they lie there or unpacked."""
    words = [word.encode() for word in NAMES.values()]
    found = []
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        data = path.read_bytes()
        texts = [data]
        if data[:2] == b"\x1f\x8b":
            texts.append(gzip.decompress(data))
        if data[:4] == b"PAR1":
            texts.append(pl.read_parquet(io.BytesIO(data), hive_partitioning=False).write_ndjson().encode())
        found += [str(path.relative_to(directory)) for text in texts if any(word in text or word[:12] in text for word in words)]
    return found


def numbers(house: House, account: str = "A") -> pl.DataFrame:
    """The report of everyone but the agent, open sessions among them."""
    return all_numbers(house, account).filter(pl.col("agent_id") != 1)


def all_numbers(house: House, account: str = "A") -> pl.DataFrame:
    return archive.Archive(HouseSource(house, account)).metrics(every="1h", by="agent", start=FIRST, end=FIRST + 12 * HOUR).collect()


def test_the_scene_names_the_agent_everywhere(filled: House):
    """Else the tests below would prove nothing: landing, parts and twins, carried sessions, the database."""
    kinds = {name.split("/")[1] if name.startswith("objects/") else name.partition("-")[0] for name in traces(filled.directory)}
    assert kinds >= {"landing", "parts", "carry"}
    assert any(name.startswith("catalog.sqlite") for name in traces(filled.directory))


@pytest.mark.parametrize("remove", [False, True])
def test_nothing_names_the_agent_any_more(filled: House, remove: bool, capfd: pytest.CaptureFixture[str]):
    """In no file as it lies or unpacked, not in the database's pages and log, and not in what is written to the log."""
    others, everyone = numbers(filled), all_numbers(filled)
    capfd.readouterr()
    done = run(filled, remove=remove)
    logged = "".join(capfd.readouterr())
    assert traces(filled.directory) == []
    assert not any(word in logged for word in NAMES.values())
    assert (done.clean, done.erased > 2, done.published > 2) == (True, True, True)
    assert numbers(filled).equals(others)
    assert everyone.equals(all_numbers(filled)) is not remove
    assert prove(filled, "A").wrong == []


@pytest.mark.parametrize("remove", [False, True])
def test_others_stay_as_they_were(filled: House, remove: bool):
    """Every session of theirs, event by event, once; with a pseudonym, those of the agent too, but for the names."""
    order, without = ["agentSessionId", "eventIndex"], ["revision"]
    before = standing(every_row(filled)).sort(order)
    done = run(filled, remove=remove)
    after = standing(every_row(filled)).sort(order)
    mine = pl.col("agentID") == 1
    assert after.filter(~mine).drop(without).equals(before.filter(~mine).drop(without))
    if remove:
        assert after.filter(mine).is_empty()
    else:
        pseudonyms = [pl.lit(done.pseudonym).alias(name) for name in NAMES]
        assert after.filter(mine).drop(without).equals(before.filter(mine).with_columns(pseudonyms).drop(without))


def every_event(house: House, account: str = "A") -> pl.DataFrame:
    return pending.live(house, account, house.catalog.now()).sessions


@pytest.mark.parametrize("remove", [False, True])
def test_what_arrives_later_names_the_agent_no_more(filled: House, remove: bool):
    """Neither in what is landed, nor in names and schedules; repeats stay repeats, and late events change sessions as ever."""
    done = run(filled, remove=remove)
    land(filled, sent(*day(1, FIRST + 8 * HOUR, NAMES), *day(2, FIRST + 8 * HOUR, OTHER)))
    land(filled, sent(*day(1, FIRST, NAMES), event(FIRST + 4 * MINUTE, state=4, agentID=1, **NAMES)))
    land(filled, sent(event(FIRST + 4 * MINUTE, state=3, agentID=2, **OTHER)))
    assert traces(filled.directory) == []
    publish_at(filled, FIRST + 12 * HOUR)
    assert traces(filled.directory) == []
    rows = standing(every_row(filled))
    assert set(rows.filter(agentID=1)["agentUsername"].unique()) == (set() if remove else {done.pseudonym})
    first = rows.filter((pl.col("agentID") == 2) & pl.col("timestamp").is_between(FIRST, FIRST + 5 * MINUTE))
    assert first["timestamp"].to_list() == [FIRST + 1, FIRST + MINUTE + 1, FIRST + 3 * MINUTE, FIRST + 4 * MINUTE]
    with filled.catalog.read() as conn:
        assert conn.scalar(sa.select(sa.func.count()).select_from(tables.asides)) == 0


@pytest.mark.parametrize("remove", [False, True])
def test_it_can_be_run_again(filled: House, remove: bool):
    """And changes nothing more; what was a pseudonym can be removed, and not the other way round."""
    first = run(filled, remove=remove)
    parts = all_parts(filled)
    second = run(filled, remove=False)
    assert (second.pseudonym, second.erased, second.published, second.rewritten) == (first.pseudonym, 0, 0, 0)
    assert all_parts(filled) == parts
    run(filled, remove=True)
    assert standing(every_row(filled)).filter(agentID=1).is_empty()


def test_another_account_with_the_same_number_is_another_person(filled: House):
    """What lies in the same objects stays as it was."""
    before = every_event(filled, "B")
    run(filled, remove=True)
    assert every_event(filled, "B").equals(before)
    assert before["agentUsername"].unique().to_list() == ["Bee"]


@pytest.mark.parametrize("remove", [False, True])
def test_rows_of_the_catalog(filled: House, remove: bool):
    """Names, schedules and session ids; the audit log says what was done, and not of whom."""
    done = run(filled, remove=remove)
    n, s, i = tables.names, tables.schedules, tables.session_ids
    with filled.catalog.read() as conn:
        called = list(conn.scalars(sa.select(n.c.name).where(n.c.kind == "agent").order_by(n.c.id)))
        planned = list(conn.scalars(sa.select(s.c.agent_id).order_by(s.c.agent_id)))
        ids = list(conn.scalars(sa.select(i.c.session_id).order_by(i.c.session_id)))
        [said] = conn.scalars(sa.select(tables.audit.c.target).where(tables.audit.c.action == "forget"))
        [row] = conn.execute(sa.select(tables.forgotten)).mappings()
    assert called == (["Bo"] if remove else [done.pseudonym, "Bo"])
    assert planned == ([2] if remove else [1, 2])
    assert ids == (["two"] if remove else ["one", "two"])
    assert said == f"an agent: {'all there was is removed' if remove else f'is {done.pseudonym} from now on'}"
    assert (row["removed"], row["done"] is not None, row["digest"] != "1") == (int(remove), True, True)


def test_lists_are_told(filled: House):
    """One that is kept is not taken for what it was, whether parts come in the place of those that went or not."""

    def removed() -> str | None:
        with filled.catalog.read() as conn:
            edition = parts.standing(conn, "A", now=filled.catalog.now() + HOUR, end=None).edition
        assert edition is not None
        return edition.removed

    before = removed()
    run(filled)
    assert removed() != before


def test_the_manifest_says_why(filled: House, keys: NewKey):
    """The old rows stay, with their checksums; the reason is signed, and the chain holds."""
    before = all_parts(filled)
    run(filled)
    with shiftlog_client(filled, keys) as client:
        found = client.manifest()
        raw = client._get(f"{client._api}/manifest").json()
    assert unchained(raw) == []
    gone = {part.name: part for part in found.parts if part.removed is not None}
    assert found.erased == len(gone) > 2
    assert {part.removed.reason for part in gone.values()} == {"erasure"}
    assert [part.sha256 for part in found.parts][: len(before)] == [part.gz_sha256 for part in before]


def test_a_file_that_went_says_why(filled: House, keys: NewKey):
    """410, and where the rest of it is."""
    part = all_parts(filled)[0]
    run(filled)
    with shiftlog_client(filled, keys) as client, pytest.raises(Gone, match="so that an agent is forgotten; the rest of it is in a later"):
        client._get(client.href(part.name), accept="application/gzip")


class Stopped(BaseException):
    """As if the process had been killed."""


class Fuse:
    """Burns down at the n-th change, before it or after it is made; then nothing can be changed any more."""

    def __init__(self, left: int, *, after: bool) -> None:
        self._left, self._after = left, after

    @contextmanager
    def burn(self) -> Iterator[None]:
        self._left -= 1
        if self._left < 0 and not (self._after and self._left == -1):
            raise Stopped
        yield
        if self._left < 0:
            raise Stopped


class FragileStore:
    """A store on a fuse."""

    def __init__(self, inner: Store, fuse: Fuse) -> None:
        self._inner, self._fuse = inner, fuse

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def put(self, key: str, data: bytes) -> None:
        with self._fuse.burn():
            self._inner.put(key, data)

    @contextmanager
    def batch(self) -> Iterator[Callable[[str, bytes], None]]:
        yield self.put

    def delete(self, keys: Iterable[str]) -> None:
        with self._fuse.burn():
            self._inner.delete(keys)


class FragileCatalog(Catalog):
    """A catalog on a fuse."""

    def __init__(self, engine: sa.Engine, fuse: Fuse) -> None:
        super().__init__(engine)
        self._fuse = fuse

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        with self._fuse.burn(), super().write() as conn:
            yield conn

    def persist(self, attempt: Any) -> Any:
        with self._fuse.burn():
            return super().persist(attempt)

    def scrub(self) -> bool:
        with self._fuse.burn():
            return super().scrub()


class Meanwhile(FragileStore):
    """A store that has something done before the first object is put."""

    def __init__(self, inner: Store, action: Callable[[], object]) -> None:
        super().__init__(inner, Fuse(1_000, after=False))
        self._actions = [action]

    def put(self, key: str, data: bytes) -> None:
        while self._actions:
            self._actions.pop()()
        super().put(key, data)


def test_who_lands_while_an_agent_is_forgotten_keeps_to_it(filled: House):
    """What was made ready before, and would be committed after, is made ready again, and the object that names the agent is deleted."""

    def begin() -> None:
        with filled.catalog.write() as conn:
            forgetting.begin(conn, filled.vault, "A", 1, removed=False, now=T0)

    before = {found.key for found in filled.store.list("landing/")}
    land(replace(filled, store=Meanwhile(filled.store, begin)), sent(*day(1, FIRST + 9 * HOUR, NAMES)))
    [new] = {found.key for found in filled.store.list("landing/")} - before
    assert pl.read_parquet(filled.store.source(new))["agentUsername"].unique().to_list() == [run(filled).pseudonym]
    assert traces(filled.directory) == []


@pytest.mark.parametrize("remove", [False, True])
def test_on_postgresql(postgresql: Postgresql, tmp_path: Path, remove: bool):
    """No row of any table names the agent, and no object; the others' numbers stay."""
    with postgresql.database() as url:
        house = House.open(tmp_path / "data", create=True, settings=Settings(lead_milliseconds=0), catalog=url)
        with house.catalog.write() as conn:
            accounts.ensure(conn, "A", house.catalog.now(), house.settings)
        fill(house)
        others = numbers(house)
        assert named_in_rows(house) == {"names"}
        assert run(house, remove=remove).clean
        assert (named_in_rows(house), traces(house.directory)) == (set(), [])
        assert numbers(house).equals(others)
        assert prove(house, "A").wrong == []
        house.close()


def named_in_rows(house: House) -> set[str]:
    """The tables with a row in which the agent is named."""
    with house.catalog.read() as conn:
        rows = {table.name: str(conn.execute(sa.select(table)).all()) for table in tables.metadata.sorted_tables}
    return {name for name, text in rows.items() if any(word in text for word in NAMES.values())}


def test_on_s3(s3: str, tmp_path: Path):
    """No object of the bucket names the agent."""
    house = House.open(tmp_path / "data", create=True, settings=Settings(lead_milliseconds=0), store=s3)
    with house.catalog.write() as conn:
        accounts.ensure(conn, "A", house.catalog.now(), house.settings)
    fill(house)
    others = numbers(house)
    run(house)
    for found in house.store.list():
        (tmp_path / "data" / found.key.replace("/", "_")).write_bytes(house.store.get(found.key))
    assert traces(house.directory) == []
    assert numbers(house).equals(others)
    house.close()


def test_publishers_of_other_accounts_go_on(filled: House):
    """What they were about to read lies elsewhere: they look again."""
    actions = [lambda: run(filled)]

    class Forgetting(FragileStore):
        def source(self, key: str) -> str | bytes:
            while actions:
                actions.pop()()
            return self._inner.source(key)

    publish_at(replace(filled, store=Forgetting(filled.store, Fuse(1_000, after=False))), FIRST + 40 * DAY, "B")
    assert standing(every_row(filled, "B")).height == 2


def test_the_command(filled: House):
    """Says what was done, also while a server has the catalog open."""
    command = [SHIFTLOG, "forget", "--data", filled.directory, "--agent", "1", "--format", "csv"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (refused.returncode, "--account is expected" in refused.stderr) == (2, True)
    with running(filled):
        done = subprocess.run([*command, "--account", "A"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("account,pseudonym,erased,published,rewritten,rows,clean\nA,forgotten-")
    assert traces(filled.directory) == []


# ── lakes ──


@pytest.mark.parametrize("remove", [False, True])
@pytest.mark.parametrize("keep_raw", [False, True])
def test_a_lake_follows_with_its_next_pull(filled: House, keys: NewKey, tmp_path: Path, remove: bool, keep_raw: bool):
    """The files go, published ones too, and the others come; by its snapshot and by a plain glob it is what a reader keeps."""
    directory = tmp_path / "lake"
    with shiftlog_client(filled, keys) as client:
        pulled(client, directory, keep_raw=keep_raw)
        assert traces(directory)
        run(filled, remove=remove)
        summary = pulled(client, directory, keep_raw=keep_raw)
        assert (summary.erased > 2, summary.failed) == (True, {})
        again = pulled(client, directory, keep_raw=keep_raw)
        assert (again.new, again.erased) == (0, 0)
        assert verify(directory, client, now=T0).wrong == []
    assert traces(directory) == []
    expected = standing(every_row(filled)).select(FLAT.keys()).sort("agentSessionId", "eventIndex")
    assert everything(directory).select(FLAT.keys()).equals(expected)
    assert globbed(directory).equals(everything(directory))


def test_a_lake_that_looks_too_early_stays_whole(filled: House, keys: NewKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Old files go when those in their place are visible, and not before."""
    directory = tmp_path / "lake"
    monkeypatch.setattr("shiftlog.erasure.wait_until", lambda *_: None)
    with shiftlog_client(filled, keys) as client:
        pulled(client, directory)
    before = everything(directory)
    run(replace(filled, settings=Settings(lead_milliseconds=30_000)))
    with shiftlog_client(filled, keys) as client:
        early = pulled(client, directory)
        assert (early.new, early.erased, early.gone, early.failed) == (0, 0, 0, {})
        assert everything(directory).equals(before)
        assert client.manifest().erased == 0
    with shiftlog_client(at(filled, filled.catalog.now() + 31_000), keys) as client:
        later = pulled(client, directory)
        assert (later.new > 2, later.erased > 2) == (True, True)
    assert traces(directory) == []


def test_a_lake_that_looks_just_then_stays_whole(filled: House, keys: NewKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Between its list and its manifest an agent is forgotten: the old files go with the next pull, which brings the others."""
    directory, actions = tmp_path / "lake", [lambda: run(filled)]
    with shiftlog_client(filled, keys) as client:
        pulled(client, directory)
        before, manifest = everything(directory), client.manifest

        def meanwhile(after: int = 0) -> Manifest:
            while actions:
                actions.pop()()
            return manifest(after)

        monkeypatch.setattr(client, "manifest", meanwhile)
        assert (pulled(client, directory).erased, everything(directory).equals(before)) == (0, True)
        assert pulled(client, directory).erased > 2
        assert verify(directory, client, now=T0).wrong == []
    assert traces(directory) == []


# ── stopped anywhere ──


def stopped(house: House, steps: int, *, after: bool, remove: bool) -> bool:
    """Forget until so many changes are made; whether that was before the end."""
    fuse = Fuse(steps, after=after)
    try:
        run(replace(house, store=FragileStore(house.store, fuse), catalog=FragileCatalog(house.catalog.engine, fuse)), remove=remove)
    except Stopped:
        return True
    return False


def stop_everywhere(filled: House, tmp_path: Path, *, remove: bool, every: int) -> int:
    """Stop at each of the steps (or at every so-manieth), run again, and look; how many steps there were."""
    others = numbers(filled)
    for steps in count(0, every):
        for after in (False, True):
            copy = tmp_path / f"{steps}-{after}"
            shutil.copytree(filled.directory, copy)
            house = House.open(copy, settings=filled.settings)
            ended = not stopped(house, steps, after=after, remove=remove)
            house.close()
            house = House.open(copy, settings=filled.settings)
            assert numbers(house).equals(others), (steps, after)
            with house.catalog.read() as conn:
                half = forgetting.unfinished(conn)
            assert half == ["A"] or traces(copy) == [] or (steps, after) == (0, False), (steps, after)
            assert run(house, remove=remove).clean
            with house.catalog.read() as conn:
                assert forgetting.unfinished(conn) == []
            assert traces(copy) == [], (steps, after)
            assert numbers(house).equals(others), (steps, after)
            assert prove(house, "A").wrong == [], (steps, after)
            assert prove(house, "A").remarks == [], (steps, after)
            house.close()
            shutil.rmtree(copy)
        if ended:
            return steps
    raise AssertionError


@pytest.mark.parametrize("remove", [False, True])
def test_stopped_at_some_steps_it_is_finished_by_running_it_again(filled: House, tmp_path: Path, remove: bool):
    """Before and after a change; in between, the others' numbers are as they were."""
    assert stop_everywhere(filled, tmp_path, remove=remove, every=9) > 9


@pytest.mark.soak
@pytest.mark.parametrize("remove", [False, True])
def test_stopped_at_any_step_it_is_finished_by_running_it_again(filled: House, tmp_path: Path, remove: bool):
    """The same at every step there is."""
    assert stop_everywhere(filled, tmp_path, remove=remove, every=1) > 20


@pytest.mark.soak
def test_killed_at_any_time_it_is_finished_by_running_it_again(filled: House, tmp_path: Path):
    """The process itself, at thirty instants of its life."""
    command = [SHIFTLOG, "forget", "--agent", "1", "--account", "A", "--data"]
    others, kills = numbers(filled), 0
    for number in range(30):
        copy = tmp_path / f"killed-{number}"
        shutil.copytree(filled.directory, copy)
        process = subprocess.Popen([*command, copy], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(0.4 + number / 30)
        except subprocess.TimeoutExpired:
            process.kill()
            kills += 1
        process.wait()
        subprocess.run([*command, copy], capture_output=True, check=True)
        assert traces(copy) == []
        house = House.open(copy, settings=filled.settings)
        assert (numbers(house).equals(others), prove(house, "A").wrong) == (True, [])
        house.close()
        shutil.rmtree(copy)
    assert kills
