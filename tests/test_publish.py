"""Publishing: hours, parts, late events and their revisions, and that nothing is lost or doubled."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import fastavro
import polars as pl
import pytest

from readers import all_parts, every_row, land, publish_at, sessions, standing
from scenes import DAY, HOUR, MINUTE, T0, event, login, logout, sent
from shiftlog import events, schema
from shiftlog.catalog import accounts, publishing, sweeping
from shiftlog.errors import Missing
from shiftlog.house import House
from shiftlog.simulate import simulate

SEED = Path(__file__).parent / "data" / "seed_document.json"

pytestmark = pytest.mark.usefixtures("account")


def now_standing(house: House) -> list[tuple[list[int], int, int, int | None]]:
    """The sessions that stand, as (times, scope, revision, end) after `T0`."""
    return [
        ([t - T0 for t in s["times"]], s["scope"] - T0, s["revision"], s["sessionEndTime"] and s["sessionEndTime"] - T0)
        for s in sessions(standing(every_row(house)))
    ]


def test_a_session_is_published_in_the_hour_of_its_logout(house: House):
    """After the hour's end and the grace, its part lies in the hour in which it closed."""
    land(house, sent(login(T0), event(T0 + 10 * MINUTE, state=2), logout(T0 + 70 * MINUTE)))
    assert publish_at(house, T0 + 2 * HOUR + 4 * MINUTE) == ()
    [part] = publish_at(house, T0 + 2 * HOUR + 5 * MINUTE)
    assert str(part.name) == f"Agent.{T0 + HOUR}.{T0 + 2 * HOUR}.part-00000-0"
    assert (part.sessions, part.events) == (1, 3)


def test_publishing_again_changes_nothing(house: House):
    """A second run finds nothing due, and writes nothing."""
    land(house, sent(login(T0), logout(T0 + 1)))
    publish_at(house, T0 + 2 * HOUR)
    before = {found.key for found in house.store.list()}
    assert publish_at(house, T0 + 2 * HOUR) == ()
    assert {found.key for found in house.store.list()} == before


def test_open_sessions_are_carried(house: House):
    """A session that spans hours is published once, whole, when it has closed."""
    land(house, sent(login(T0)))
    assert publish_at(house, T0 + 2 * HOUR) == ()
    land(house, sent(event(T0 + 3 * HOUR, state=2)))
    assert publish_at(house, T0 + 4 * HOUR) == ()
    land(house, sent(logout(T0 + 5 * HOUR)))
    publish_at(house, T0 + 7 * HOUR)
    assert now_standing(house) == [([0, 3 * HOUR, 5 * HOUR], 5 * HOUR, 0, 5 * HOUR)]


def test_a_session_without_logout_is_published_after_the_time_out(house: House):
    """It lies in the hour of its last event and 24 hours, and its end is null."""
    land(house, sent(login(T0), event(T0 + HOUR)))
    assert publish_at(house, T0 + 25 * HOUR) == ()
    publish_at(house, T0 + 27 * HOUR)
    assert now_standing(house) == [([0, HOUR], 25 * HOUR, 0, None)]


def test_a_late_event_gets_a_new_revision(house: House):
    """An event that arrives after its session was published republishes the whole session in the same scope."""
    land(house, sent(login(T0), logout(T0 + HOUR)))
    publish_at(house, T0 + 3 * HOUR)
    land(house, sent(event(T0 + 30 * MINUTE, state=2)))
    [part] = publish_at(house, T0 + 3 * HOUR)
    assert str(part.name).endswith("part-00000-1")
    assert now_standing(house) == [([0, 30 * MINUTE, HOUR], HOUR, 1, HOUR)]


def test_a_late_repeat_changes_nothing(house: House):
    """What was published is not published again because it was sent again; the repeat is counted."""
    events = sent(login(T0), event(T0 + 5, state=2), logout(T0 + HOUR))
    land(house, events)
    publish_at(house, T0 + 3 * HOUR)
    land(house, events[1:2])
    assert publish_at(house, T0 + 3 * HOUR) == ()
    with house.catalog.read() as conn:
        assert publishing.state(conn, "A").repeats == 1


def test_a_late_login_is_prepended(house: House):
    """The session keeps its id and hour, though it begins earlier now."""
    land(house, sent(event(T0 + HOUR, state=2), logout(T0 + 2 * HOUR)))
    publish_at(house, T0 + 4 * HOUR)
    [before] = sessions(standing(every_row(house)))
    land(house, sent(login(T0)))
    publish_at(house, T0 + 4 * HOUR)
    [after] = sessions(standing(every_row(house)))
    assert after["agentSessionId"] == before["agentSessionId"]
    assert now_standing(house) == [([0, HOUR, 2 * HOUR], 2 * HOUR, 1, 2 * HOUR)]


def test_a_late_login_splits_a_session(house: House):
    """The first part keeps the id and the hour; the second is a session of its own in the hour of its closing."""
    land(house, sent(login(T0), event(T0 + HOUR, state=2), logout(T0 + 4 * HOUR)))
    publish_at(house, T0 + 6 * HOUR)
    [before] = sessions(standing(every_row(house)))
    land(house, sent(login(T0 + 2 * HOUR)))
    publish_at(house, T0 + 6 * HOUR)
    first, second = sessions(standing(every_row(house)))
    assert first["agentSessionId"] == before["agentSessionId"] != second["agentSessionId"]
    assert now_standing(house) == [([0, HOUR], 4 * HOUR, 1, None), ([2 * HOUR, 4 * HOUR], 4 * HOUR, 1, 4 * HOUR)]


def test_a_late_logout_splits_a_session_into_an_earlier_hour(house: House):
    """The session that the late logout ends keeps its hour; what comes after it is published anew where it closes."""
    land(house, sent(login(T0), event(T0 + 3 * HOUR, state=2), logout(T0 + 4 * HOUR)))
    publish_at(house, T0 + 6 * HOUR)
    land(house, sent(logout(T0 + HOUR)))
    publish_at(house, T0 + 6 * HOUR)
    assert now_standing(house) == [([0, HOUR], 4 * HOUR, 1, HOUR), ([3 * HOUR, 4 * HOUR], 4 * HOUR, 1, 4 * HOUR)]


def test_a_late_event_joins_two_sessions(house: House):
    """Two sessions that a pause had parted become one; the second's identity is withdrawn in the same commit."""
    land(house, sent(login(T0), event(T0 + 30 * HOUR, state=2), logout(T0 + 31 * HOUR)))
    publish_at(house, T0 + 40 * HOUR)
    first, second = sessions(standing(every_row(house)))
    land(house, sent(event(T0 + 20 * HOUR, state=2)))
    revised = publish_at(house, T0 + 40 * HOUR)
    [joined] = sessions(standing(every_row(house)))
    assert joined["agentSessionId"] == first["agentSessionId"]
    assert now_standing(house) == [([0, 20 * HOUR, 30 * HOUR, 31 * HOUR], 24 * HOUR, 1, 31 * HOUR)]
    withdrawn = every_row(house).filter(pl.col("eventIndex").is_null())
    assert withdrawn.select("agentSessionId", "revision").rows() == [(second["agentSessionId"], 1)]
    assert sum(part.withdrawals for part in revised) == 1


def test_a_joined_session_that_is_split_again(house: House):
    """A withdrawn identity is not used a second time; no event is lost or doubled on the way."""
    land(house, sent(login(T0), event(T0 + 30 * HOUR, state=2), logout(T0 + 31 * HOUR)))
    publish_at(house, T0 + 40 * HOUR)
    old = {s["agentSessionId"] for s in sessions(standing(every_row(house)))}
    land(house, sent(event(T0 + 20 * HOUR, state=2)))
    publish_at(house, T0 + 40 * HOUR)
    land(house, sent(logout(T0 + 29 * HOUR)))
    publish_at(house, T0 + 40 * HOUR)
    now = sessions(standing(every_row(house)))
    assert [[t - T0 for t in s["times"]] for s in now] == [[0, 20 * HOUR, 29 * HOUR], [30 * HOUR, 31 * HOUR]]
    assert now[1]["agentSessionId"] not in old


def test_a_late_event_reopens_a_timed_out_session(house: House):
    """It is withdrawn while it is open, and comes back under its id and hour when it closes."""
    land(house, sent(login(T0)))
    publish_at(house, T0 + 26 * HOUR)
    [before] = sessions(standing(every_row(house)))
    land(house, sent(event(T0 + 20 * HOUR, state=2)))
    publish_at(house, T0 + 27 * HOUR)
    assert standing(every_row(house)).is_empty()
    land(house, sent(logout(T0 + 28 * HOUR)))
    publish_at(house, T0 + 30 * HOUR)
    [after] = sessions(standing(every_row(house)))
    assert after["agentSessionId"] == before["agentSessionId"]
    assert now_standing(house) == [([0, 20 * HOUR, 28 * HOUR], 24 * HOUR, 2, 28 * HOUR)]


def test_a_late_logout_of_another_hour_keeps_the_hour(house: House):
    """A session first published by its time-out stays in that hour, though its logout turns up in an earlier one."""
    land(house, sent(login(T0), event(T0 + 1)))
    publish_at(house, T0 + 26 * HOUR)
    land(house, sent(logout(T0 + 3 * HOUR)))
    publish_at(house, T0 + 26 * HOUR)
    assert now_standing(house) == [([0, 1, 3 * HOUR], 24 * HOUR, 1, 3 * HOUR)]


def test_a_new_session_in_an_hour_long_closed(house: House):
    """A whole session that arrives late lies in the hour it closed in, as the first revision if that hour was empty."""
    land(house, sent(login(T0 + 5 * HOUR), logout(T0 + 6 * HOUR)))
    publish_at(house, T0 + 8 * HOUR)
    land(house, sent(login(T0, agentID=2), logout(T0 + HOUR, agentID=2), login(T0 + 5 * HOUR, agentID=3), logout(T0 + 6 * HOUR, agentID=3)))
    names = [str(part.name) for part in publish_at(house, T0 + 8 * HOUR)]
    assert [name.rpartition("part-")[2] for name in names] == ["00000-0", "00000-1"]
    assert len(now_standing(house)) == 3


def test_a_session_id_is_found_again_whatever_the_time(house: House):
    """An event with the sessionId of a published session reopens it, though it happened after the watermark."""
    land(house, sent(login(T0, sessionId="s"), logout(T0 + HOUR, sessionId="s")))
    publish_at(house, T0 + 3 * HOUR)
    land(house, sent(event(T0 + 4 * HOUR, sessionId="s", state=2)))
    publish_at(house, T0 + 6 * HOUR)
    assert standing(every_row(house)).is_empty()
    land(house, sent(logout(T0 + 5 * HOUR, sessionId="s")))
    publish_at(house, T0 + 7 * HOUR)
    assert now_standing(house) == [([0, HOUR, 4 * HOUR, 5 * HOUR], HOUR, 2, 5 * HOUR)]


def test_late_events_far_apart_do_not_join_what_lies_between(house: House):
    """Sessions between two late events of one agent are folded with them, changed or not."""
    land(house, sent(login(T0), login(T0 + 10 * HOUR), logout(T0 + 11 * HOUR), event(T0 + 15 * HOUR), logout(T0 + 16 * HOUR)))
    publish_at(house, T0 + 60 * HOUR)
    land(house, sent(event(T0 - 20 * HOUR), event(T0 + 39 * HOUR)))
    publish_at(house, T0 + 90 * HOUR)
    times = [times for times, *_ in now_standing(house)]
    assert times == [[-20 * HOUR], [0], [10 * HOUR, 11 * HOUR], [15 * HOUR, 16 * HOUR], [39 * HOUR]]


def test_revisions_count_on_past_nine(house: House):
    """Twelve late events in twelve runs make twelve revisions, and the last one stands."""
    land(house, sent(login(T0), logout(T0 + HOUR)))
    publish_at(house, T0 + 3 * HOUR)
    for n in range(1, 13):
        land(house, sent(event(T0 + n * MINUTE, state=2)))
        publish_at(house, T0 + 3 * HOUR)
    assert all_parts(house)[-1].revision == 12
    assert len(now_standing(house)[0][0]) == 14


def test_parts_grow_with_the_data(house: House):
    """Past `part_events` an hour has more parts; each agent's sessions lie in one of them."""
    events = [e for agent in range(1, 41) for e in (login(T0, agentID=agent), logout(T0 + HOUR, agentID=agent))]
    small = House(house.directory, house.store, house.catalog, house.vault, house.settings.model_copy(update={"part_events": 20}))
    land(small, sent(*events))
    parts = publish_at(small, T0 + 3 * HOUR)
    assert [part.part for part in parts] == [0, 1, 2, 3]
    assert sum(part.events for part in parts) == 80
    assert every_row(house).group_by("agentID").agg(pl.col("scope").n_unique())["scope"].max() == 1


@pytest.mark.parametrize("fold_events", [7, 40])
def test_folding_in_shares_publishes_the_same(house: House, tmp_path, fold_events: int):
    """A run that folds a share of the agents at a time gives the same as one that folds all at once: many shares or few."""
    events = sent(
        *[e for a in range(1, 31) for e in (login(T0 + a, agentID=a), event(T0 + HOUR + a, agentID=a), logout(T0 + a * HOUR, agentID=a))]
    )
    land(house, events)
    publish_at(house, T0 + 40 * HOUR)
    other = House.open(tmp_path / "other", create=True, settings=house.settings.model_copy(update={"fold_events": fold_events}))
    with other.catalog.write() as conn:
        accounts.ensure(conn, "A", 0, other.settings)
    for some in events.iter_slices(20):
        land(other, some)
    publish_at(other, T0 + 40 * HOUR)
    assert [(str(p.name), p.gz_sha256) for p in all_parts(other)] == [(str(p.name), p.gz_sha256) for p in all_parts(house)]


def accepted_lines(house: House, agents: int, version: str) -> None:
    """Publish a simulated week in a schema version, and have every line read by an independent implementation of Avro."""
    with house.catalog.write() as conn:
        accounts.update(conn, "A", {"schema_version": version})
    simulation = simulate("A", agents=agents, days=7, start=T0, seed=1)
    land(house, simulation.events)
    publish_at(house, T0 + 10 * DAY)
    parsed = fastavro.parse_schema(schema.schema(version))
    events = 0
    for part in all_parts(house):
        lines = gzip.decompress(house.store.get(part.gz_key)).decode()
        for document in fastavro.json_reader(io.StringIO(lines), parsed):
            [record] = document["recordCollection"]
            events += len(record["body"]["agentSessionsData"])
    assert events == simulation.events.height


@pytest.mark.parametrize("version", schema.VERSIONS)
def test_every_line_is_avro(house: House, version: str):
    """fastavro's json_reader accepts every published line with the schema that is served."""
    accepted_lines(house, 20, version)


@pytest.mark.soak
@pytest.mark.parametrize("version", schema.VERSIONS)
def test_every_line_of_three_hundred_agents_is_avro(house: House, version: str):
    """The same for a week of 300 agents."""
    accepted_lines(house, 300, version)


def test_the_seeds_example_comes_out_as_it_is(house: House):
    """The seed's login event, ingested and published, is the seed's document, key for key and in order."""
    document, end = json.JSONDecoder().raw_decode(SEED.read_text())
    assert json.loads(SEED.read_text()[end:]) == document  # the seed shows it twice
    with house.catalog.write() as conn:
        accounts.ensure(conn, "75555851", 0, house.settings)
    [tagged] = document["recordCollection"][0]["body"]["com.liveperson.dataaccess.AgentActivityData"]["agentSessionsData"]["array"]
    plain = {name: next(iter(value.values())) for name, value in tagged.items()} | {"sessionId": "684867733"}
    body = json.dumps(plain).encode()
    land(house, events.parse(body, events.NDJSON, account="75555851", now=house.catalog.now()), account="75555851")
    [part] = publish_at(house, plain["timestamp"] + 3 * DAY, account="75555851")
    published = gzip.decompress(house.store.get(part.gz_key)).decode()
    assert json.dumps(json.loads(published)) == json.dumps(document)


def test_an_unknown_account_is_missing(house: House):
    """Publishing what is not there says so."""
    with pytest.raises(Missing, match="no account nobody"):
        publish_at(house, T0, account="nobody")


def test_an_event_whose_history_is_gone_is_set_aside(house: House):
    """Its session's twin was deleted: it is neither lost nor published alone."""
    land(house, sent(login(T0), logout(T0 + HOUR)))
    publish_at(house, T0 + 3 * HOUR)
    with house.catalog.write() as conn:
        sweeping.expire_parts(conn, "twin", "A", house.catalog.now() + DAY, house.catalog.now())
    land(house, sent(event(T0 + 30 * MINUTE, state=2)))
    assert publish_at(house, T0 + 3 * HOUR) == ()
    with house.catalog.read() as conn:
        assert publishing.set_aside(conn, "A") == 1
    asides = [found.key for found in house.store.list("aside")]
    assert pl.read_parquet(house.store.source(asides[0]))["timestamp"].to_list() == [T0 + 30 * MINUTE]
