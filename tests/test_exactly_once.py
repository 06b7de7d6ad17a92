"""Every accepted event is published in exactly one session, whatever happens: late and repeated events, several
publishers, one that sleeps, and processes that are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import polars as pl
import pytest

from database import Postgresql
from readers import all_parts, every_row, land, publish_at, standing
from scenes import DAY, HOUR, T0, login, logout, sent
from shiftlog.catalog import parts
from shiftlog.catalog.parts import Part
from shiftlog.errors import Later
from shiftlog.events import SENT
from shiftlog.hours import parse
from shiftlog.house import House
from shiftlog.settings import Settings
from shiftlog.simulate import Simulation, simulate

pytestmark = pytest.mark.usefixtures("account")


@pytest.fixture
def house(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A deployment in a directory, whose catalog is in it or in PostgreSQL; the processes of the test open the same."""
    with ExitStack() as stack:
        if getattr(request, "param", "sqlite") == "postgresql":
            server: Postgresql = request.getfixturevalue("postgresql")
            monkeypatch.setenv("SHIFTLOG_CATALOG", stack.enter_context(server.database()))
        opened = House.open(tmp_path / "data", create=True, settings=Settings(lead_milliseconds=0))
        stack.callback(opened.close)
        yield opened


ON_BOTH = pytest.mark.parametrize("house", ["sqlite", "postgresql"], indirect=True)
WORKERS = str(Path(__file__).with_name("workers.py"))
START = parse("2026-03-01T00:00:00+01:00")


def start(*arguments: object, **settings: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "SHIFTLOG_LEAD_MILLISECONDS": "0"} | {f"SHIFTLOG_{k.upper()}": str(v) for k, v in settings.items()}
    return subprocess.Popen([sys.executable, WORKERS, *map(str, arguments)], stdout=subprocess.PIPE, text=True, env=environment)


def in_batches(arrivals: pl.DataFrame, count: int, seed: int) -> list[pl.DataFrame]:
    """The arrivals cut in batches by time, the events of each in random order."""
    size = -(-arrivals.height // count)
    shuffled = [arrivals.slice(i * size, size).sample(fraction=1, shuffle=True, seed=seed + i) for i in range(count)]
    return [batch.with_columns(batch=pl.lit(i)) for i, batch in enumerate(shuffled) if batch.height]


def check_against_truth(house: House, simulation: Simulation) -> None:
    """Each distinct event is in exactly one standing session, and the sessions are those of the simulation."""
    rows = standing(every_row(house, suffix="parquet"))
    assert rows["eventId"].n_unique() == rows.height == simulation.events.height
    assert set(rows["eventId"]) == set(simulation.events["eventId"])
    assert_sessions(rows, simulation)


def assert_sessions(rows: pl.DataFrame, simulation: Simulation) -> None:
    key = ["agentID", "start", "end", "endTime", "events"]
    found = rows.group_by("agentSessionId").agg(
        pl.col("agentID").first(),
        pl.col("timestamp").min().alias("start"),
        pl.col("timestamp").max().alias("end"),
        pl.col("sessionEndTime").first().alias("endTime"),
        pl.len().cast(pl.Int64).alias("events"),
    )
    truth = simulation.truth().sessions
    assert found.select(key).sort(key, nulls_last=True).equals(truth.select(key).sort(key, nulls_last=True))


def run_month(house: House, *, agents: int, days: int, batches: int) -> Simulation:
    simulation = simulate("A", agents=agents, days=days, start=START, seed=3, late=0.02, repeat=0.02)
    hour = START + HOUR
    for batch in in_batches(simulation.arrivals(), batches, seed=5):
        land(house, batch.select(SENT.keys()))
        while hour + 5 * 60_000 <= batch["arrivesAt"].min():
            publish_at(house, hour + 5 * 60_000)
            hour += HOUR
    publish_at(house, START + (days + 4) * DAY)
    return simulation


def test_late_and_repeated_events_end_in_the_true_sessions(house: House):
    """A week with 2 % late and 2 % repeated events, published hour by hour, is the simulation's truth; again changes nothing."""
    simulation = run_month(house, agents=60, days=7, batches=150)
    check_against_truth(house, simulation)
    assert publish_at(house, START + 20 * DAY) == ()
    wire = standing(every_row(house))
    assert wire.height == simulation.events.height
    assert_sessions(wire, simulation)


@pytest.mark.soak
def test_a_month_ends_in_the_true_sessions(house: House):
    """The same for a month in 500 batches."""
    simulation = run_month(house, agents=100, days=30, batches=500)
    check_against_truth(house, simulation)
    assert publish_at(house, START + 60 * DAY) == ()


def test_any_order_ends_in_the_true_sessions(house: House):
    """All events in random order, most of them late, published as they come."""
    simulation = simulate("A", agents=15, days=4, start=START, seed=8, repeat=0.05)
    shuffled = simulation.arrivals().sample(fraction=1, shuffle=True, seed=1)
    size = -(-shuffled.height // 12)
    for i in range(12):
        land(house, shuffled.slice(i * size, size).select(SENT.keys()))
        publish_at(house, START + i * DAY // 2)
    publish_at(house, START + 10 * DAY)
    check_against_truth(house, simulation)


# ── several publishers ──


def one_day(house: House, agents: int = 40) -> Simulation:
    simulation = simulate("A", agents=agents, days=1, start=START, seed=2)
    land(house, simulation.events)
    return simulation


@ON_BOTH
def test_two_publishers_at_once_do_no_harm(house: House):
    """Of two that start together one publishes, and the other finds nothing left to do."""
    simulation = one_day(house)
    both = [start("publish", house.directory, "A", START + 4 * DAY) for _ in range(2)]
    said = sorted(process.communicate(timeout=60)[0].split()[-1] for process in both)
    assert said[0] == "0"
    assert int(said[1]) == len(all_parts(house)) > 0
    check_against_truth(house, simulation)


def publish_while_it_sleeps(house: House, sleeper: subprocess.Popen[str]) -> Sequence[Part]:
    """Publish beside a publisher that is stopped. Where it was stopped while it renewed its lease, the database keeps that row locked,
    and we are told to come again: then it is stopped at another moment."""
    for _ in range(5):
        sleeper.send_signal(signal.SIGSTOP)
        try:
            return publish_at(house, START + 4 * DAY)
        except Later:
            sleeper.send_signal(signal.SIGCONT)
            time.sleep(0.05)
    raise AssertionError("the publisher that sleeps holds a lock each time")


@ON_BOTH
def test_a_publisher_that_sleeps_is_overtaken(house: House):
    """Stopped in mid-publish, it loses its lease to another; woken, it changes nothing and says so."""
    simulation = one_day(house)
    sleeper = start("publish", house.directory, "A", START + 4 * DAY, lease_seconds=1)
    assert sleeper.stdout is not None
    assert sleeper.stdout.readline() == "part\n"
    try:
        assert len(publish_while_it_sleeps(house, sleeper)) > 0
        before = [(str(part.name), part.gz_sha256) for part in all_parts(house)]
    finally:
        sleeper.send_signal(signal.SIGCONT)
    assert "overtaken" in sleeper.communicate(timeout=60)[0]
    assert sleeper.returncode == 3
    assert [(str(part.name), part.gz_sha256) for part in all_parts(house)] == before
    check_against_truth(house, simulation)


@ON_BOTH
def test_a_publisher_that_died_is_replaced(house: House):
    """At once on one machine, where its lock dies with it though its lease has an hour to go; else when its lease is over."""
    simulation = one_day(house)
    victim = start("publish", house.directory, "A", START + 4 * DAY, lease_seconds=3600 if house.catalog.one_machine else 2)
    assert victim.stdout is not None
    assert victim.stdout.readline() == "part\n"
    victim.kill()
    victim.communicate()
    assert len(publish_at(house, START + 4 * DAY)) > 0
    check_against_truth(house, simulation)


# ── kill -9 ──


def killed_at_random(house: House, tmp_path: Path, kills: int, seed: int) -> None:
    simulation = simulate("A", agents=30, days=2, start=START, seed=seed, late=0.02, repeat=0.02)
    batches, acks = tmp_path / "batches.parquet", tmp_path / "acks"
    pl.concat(in_batches(simulation.arrivals(), 400, seed)).write_parquet(batches)
    acks.touch()
    rng = random.Random(seed)
    for _ in range(kills):
        process = start("work", house.directory, "A", batches, acks, 4)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.35))
        process.kill()
        process.communicate()
    process = start("work", house.directory, "A", batches, acks, 20)
    assert process.communicate(timeout=120)[0].endswith("done\n")
    publish_at(house, START + 10 * DAY)
    check_against_truth(house, simulation)


@ON_BOTH
def test_kill_9_loses_and_doubles_nothing(house: House, tmp_path: Path):
    """Killed at random moments of ingest and publish and started again, every acknowledged event is published once."""
    killed_at_random(house, tmp_path, kills=12, seed=4)


@ON_BOTH
@pytest.mark.soak
def test_kill_9_fifty_times(house: House, tmp_path: Path):
    """The same at fifty moments."""
    killed_at_random(house, tmp_path, kills=50, seed=6)


# ── pollers ──


def poll(house: House, seen: list[str], stop: threading.Event) -> None:
    """Ask [last Covered-Until, now) every 100 ms, as a client does; once more after the end."""
    since = 0
    while True:
        last = stop.is_set()
        with house.catalog.read() as conn:
            listing = parts.listing(conn, "A", now=house.catalog.now(), start=since)
        seen += [str(part.name) for part in listing.parts]
        since = listing.covered_until
        if last:
            return
        time.sleep(0.1)


@ON_BOTH
def test_a_poller_sees_every_part_exactly_once(house: House):
    """While two processes publish 200 hours, with late events among them."""
    events = [e for h in range(200) for e in (login(T0 + h * HOUR, agentID=h), logout(T0 + h * HOUR + 1, agentID=h))]
    land(house, sent(*events))
    seen: list[str] = []
    stop = threading.Event()
    poller = threading.Thread(target=poll, args=(house, seen, stop))
    poller.start()
    script = f"""
import sys
from pathlib import Path
from shiftlog.house import House
from shiftlog.settings import Settings
from shiftlog.lease import Worker
from shiftlog.publish import publish
house = House.open(Path({str(house.directory)!r}))
with Worker(house) as worker:
    for hour in range(1, 201):
        publish(worker, "A", now={T0} + hour * {HOUR} + 300_000)
"""
    environment = {**os.environ, "SHIFTLOG_LEAD_MILLISECONDS": "40"}
    both: Sequence[subprocess.Popen[bytes]] = [subprocess.Popen([sys.executable, "-c", script], env=environment) for _ in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    time.sleep(0.1)
    stop.set()
    poller.join()
    published = [str(part.name) for part in all_parts(house)]
    assert len(published) == 200
    assert sorted(seen) == sorted(published)
