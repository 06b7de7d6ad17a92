"""Three servers and two publishers on PostgreSQL and S3, under load, while one after the other is taken away."""

from __future__ import annotations

import signal
import time

import pytest
import sqlalchemy as sa

from cluster.bed import Bed
from cluster.load import START, Load, check
from database import Postgresql
from readers import all_parts, every_row, standing
from s3 import Server
from scenes import DAY
from shiftlog.catalog import tables
from shiftlog.client import Client, Profile
from shiftlog.hours import iso, parse
from shiftlog.simulate import simulate

LOOK = 2_000 + 10_000  # ms from one look of a publisher's to the next, and how late it may be on a busy machine


@pytest.mark.parametrize(
    ("accounts", "batches", "pause", "away"),
    [(6, 30, 1.0, 3.0), pytest.param(20, 60, 5.0, 20.0, marks=pytest.mark.soak)],
    ids=["short", "long"],
)
def test_whatever_is_taken_away_nothing_is_lost_or_doubled(
    bed: Bed, s3_server: Server, postgresql: Postgresql, accounts: int, batches: int, pause: float, away: float
):
    """A server and a publisher are killed, PostgreSQL restarts, the S3 server stops answering; clients are told to come later at most."""
    load = Load(bed, accounts, batches)
    load.start()
    time.sleep(2)
    load.meets("the end of a server")
    bed.kill("server-0")
    time.sleep(pause)
    load.meets("the end of a publisher")
    bed.kill("publisher-0")
    time.sleep(pause)
    load.meets("the restart of PostgreSQL")
    postgresql.restart()
    time.sleep(pause)
    load.meets("the silence of S3")
    with s3_server.stopped():
        time.sleep(away)
    bed.begin("server-0")
    time.sleep(pause)
    load.finish(120)
    assert load.wrong == []
    assert load.seen["send: later"] > 0
    assert load.seen["look: done"] > 0
    assert sum(map(len, load.read.values())) > 0
    print(dict(load.seen), sum(map(len, load.accepted.values())), "events")
    check(bed, load)


def test_another_publisher_takes_over(bed: Bed):
    """One is killed with SIGKILL in mid-run; the other publishes the account once the lease has ended, and nothing twice."""
    for name in bed.publishers:
        bed.kill(name)
    client = Client(Profile(bed.urls[0], "B", bearer=bed.key("B")["bearer"]))
    events = simulate("B", agents=150, days=4, start=START, seed=3).events
    client.post_events(events)
    until = time.monotonic() + 120
    t = tables.accounts
    lease = sa.select(t.c.holder, t.c.lease_until).where(t.c.account == "B")
    with bed.opened() as house:
        for name in bed.publishers:
            bed.begin(name)
        holder = None
        while holder is None:
            assert time.monotonic() < until
            with house.catalog.read() as conn:
                holder = conn.scalar(lease)
        # A holder's name has its process in it.
        [killed] = [name for name in bed.publishers if f"-{bed.pid(name)}-" in holder]
        [other] = set(bed.publishers) - {killed}
        bed.kill(killed, signal.SIGKILL)
        with house.catalog.read() as conn:
            left = conn.execute(lease).one()
        assert left.holder == holder
        assert all_parts(house, "B") == []
    while not client.list(0).files:
        assert time.monotonic() < until
        time.sleep(0.1)
    [taken] = [line for line in bed.log(other) if line["event"] == "lease.taken_over" and line["account"] == "B"]
    assert taken["before"] == holder
    assert left.lease_until <= parse(taken["timestamp"]) <= left.lease_until + LOOK
    assert bed.number(other, "shiftlog_lease_takeovers_total") >= 1
    bed.run("publish", "--account", "B", "--now", iso(START + 10 * DAY))
    with bed.opened() as house:
        rows = standing(every_row(house, suffix="parquet", account="B"))
    assert rows["eventId"].n_unique() == rows.height == events.height
