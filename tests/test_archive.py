"""Questions to a deployment and to files: the same numbers from everywhere, published or not, in shares or whole."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import shiftlog
from client.servers import running
from readers import all_parts, land, publish_at
from scenes import DAY, HOUR, MINUTE, T0, event, login, logout, sent
from shiftlog import archive
from shiftlog.catalog.keys import NewKey
from shiftlog.errors import Denied, Invalid, Missing
from shiftlog.hours import parse
from shiftlog.house import House
from shiftlog.simulate import Simulation, simulate

pytestmark = pytest.mark.usefixtures("account")

START = parse("2026-03-01T00:00:00+01:00")
TIMES = ["online_ms", "back_soon_ms", "away_ms", "offline_ms", "irrelevant_ms", "chat_ms"]


def published_week(house: House, agents: int = 20, days: int = 3, **rates: float) -> Simulation:
    simulation = simulate("A", agents=agents, days=days, start=START, seed=11, **rates)
    land(house, simulation.events)
    publish_at(house, START + (days + 3) * DAY)
    return simulation


def truth(simulation: Simulation) -> pl.DataFrame:
    sessions = simulation.truth().sessions
    login = (pl.col("end") - pl.col("start")).sum().alias("login_ms")
    return sessions.group_by("agentID").agg(login, pl.col(TIMES).sum(), pl.col("chats").sum()).sort("agentID")


def as_truth(metrics: pl.DataFrame) -> pl.DataFrame:
    return metrics.select(agentID="agent_id", login_ms="login_ms", **{name: name for name in TIMES}, chats="chats_started").sort("agentID")


def files(house: House, into: Path) -> list[Path]:
    into.mkdir()
    for part in all_parts(house):
        (into / f"{part.name}.gz").write_bytes(house.store.get(part.gz_key))
    return sorted(into.iterdir())


def every_answer(centre: shiftlog.Archive) -> list[pl.DataFrame]:
    by = [centre.metrics(every="1h", by=key, until="watermark") for key in ("agent", "group", "profile", "account")]
    return [frame.collect() for frame in [*by, centre.intervals(until="watermark")]]


def test_the_report_is_the_truth(house: House):
    """What a deployment answers for a published stretch of time is what the simulation knows, to the millisecond."""
    simulation = published_week(house)
    found = shiftlog.open(house.directory).metrics(until="watermark").collect()
    assert as_truth(found).equals(truth(simulation))


@pytest.mark.soak
def test_the_report_of_a_month_is_the_truth(house: House):
    """The same for a month of 300 agents."""
    simulation = published_week(house, agents=300, days=30)
    assert as_truth(shiftlog.open(house.directory).metrics(until="watermark").collect()).equals(truth(simulation))


def test_files_and_deployment_agree(house: House, tmp_path: Path):
    """The files alone give the same numbers in every bucket."""
    published_week(house)
    ours = shiftlog.open(house.directory).metrics(every="1h", tz="Europe/Berlin", until="watermark").collect()
    theirs = shiftlog.open(files(house, tmp_path / "files")).metrics(every="1h", tz="Europe/Berlin").collect()
    assert ours.equals(theirs)


def test_late_revisions_supersede_in_files_and_deployment(house: House, tmp_path: Path):
    """A session that was published twice counts once, as it stands."""
    land(house, sent(login(T0), logout(T0 + HOUR)))
    publish_at(house, T0 + 3 * HOUR)
    land(house, sent(event(T0 + 10 * MINUTE, state=2)))
    publish_at(house, T0 + 3 * HOUR)
    for source in (house.directory, files(house, tmp_path / "files")):
        [row] = shiftlog.open(source).metrics().collect().to_dicts()
        assert (row["login_ms"], row["online_ms"], row["logins"]) == (HOUR, 50 * MINUTE, 1)


def test_pending_events_count_before_they_are_published(house: House):
    """A late event that landed changes the live numbers at once, and the watermark's numbers not."""
    now = house.catalog.now()
    start = now - now % HOUR - 5 * HOUR
    land(house, sent(login(start), logout(start + HOUR)))
    publish_at(house, start + 3 * HOUR)
    land(house, sent(event(start + 10 * MINUTE, state=2)))
    centre = shiftlog.open(house.directory)
    assert centre.metrics().collect()["online_ms"].to_list() == [50 * MINUTE]
    assert centre.metrics(until="watermark").collect()["online_ms"].to_list() == [0]


def test_an_open_session_counts_up_to_now(house: House):
    """Its last interval is marked open; files alone know nothing of it."""
    now = house.catalog.now()
    land(house, sent(login(now - 2 * HOUR), event(now - HOUR, state=2)))
    centre = shiftlog.open(house.directory)
    [row] = centre.metrics().collect().to_dicts()
    assert HOUR <= row["online_ms"] == row["open_ms"] < HOUR + MINUTE
    assert row["irrelevant_ms"] == HOUR
    assert centre.metrics(until="watermark").collect().is_empty()


def test_shares_give_what_the_whole_gives(house: House, monkeypatch: pytest.MonkeyPatch):
    """A source too large for memory is answered a share of the agents at a time, with the same result."""
    published_week(house, no_logout=0.2)
    centre = shiftlog.open(house.directory)
    whole, found = every_answer(centre), centre.quality(until="watermark")
    monkeypatch.setattr(archive, "SHARE_EVENTS", 3_000)
    shared, again = every_answer(centre), centre.quality(until="watermark")
    assert [one.equals(other) for one, other in zip(whole, shared, strict=True)] == [True] * 5
    assert again[0].equals(found[0])
    assert again[1] == found[1]


def test_times_are_read_in_the_asked_zone(house: House):
    """ISO text without an offset is a time of the zone that is asked for, whose default is the account's."""
    published_week(house)
    centre = shiftlog.open(house.directory)
    berlin = centre.metrics(start="2026-03-02", end="2026-03-03", tz="Europe/Berlin", by="account").collect()
    explicit = centre.metrics(start="2026-03-02T00:00+01:00", end="2026-03-03T00:00+01:00", by="account").collect()
    assert berlin["login_ms"].to_list() == explicit["login_ms"].to_list() != [0]


def test_sessions_are_listed(house: House):
    """One row a session, with its end where a logout was seen."""
    simulation = published_week(house, no_logout=0.3)
    found = shiftlog.open(house.directory).sessions(until="watermark").collect()
    known = simulation.truth().sessions.sort("agentID", "start")
    assert found["sessionEndTime"].to_list() == known["endTime"].to_list()
    assert found["events"].sum() == simulation.events.height


def test_what_a_server_publishes(house: House, keys: NewKey, monkeypatch: pytest.MonkeyPatch):
    """Its URL gives what its files give, with the key of the environment; what was pulled goes with the archive."""
    published_week(house, agents=5, days=1)
    for name in ("consumer_key", "consumer_secret", "token", "token_secret"):
        monkeypatch.delenv(f"SHIFTLOG_{name.upper()}", raising=False)
    monkeypatch.setenv("SHIFTLOG_BEARER", keys.bearer)
    with running(house) as url, shiftlog.open(url, account="A") as centre:
        theirs = centre.metrics(every="1h", tz="UTC").collect()
        directory = Path(centre.source.directory)
        assert (centre.source.label, directory.is_dir()) == (url, True)
    assert not directory.exists()
    assert theirs.equals(shiftlog.open(house.directory).metrics(every="1h", tz="UTC", until="watermark").collect())


def test_a_server_that_refuses_the_key(house: House, keys: NewKey, monkeypatch: pytest.MonkeyPatch):
    """Is an error, and nothing stays behind."""
    monkeypatch.setenv("SHIFTLOG_BEARER", "wrong")
    with running(house) as url, pytest.raises(Denied):
        shiftlog.open(url, account="A")


def test_an_empty_window_is_refused(house: House):
    """A window that ends where it starts, or before, is an error, not an empty answer."""
    with pytest.raises(Invalid, match="window is empty"):
        shiftlog.open(house.directory).metrics(start="2026-03-02", end="2026-03-02")


def test_what_is_not_there_is_named(house: House, tmp_path: Path):
    """A file, an account: the message says which."""
    with pytest.raises(Missing, match="there is no file"):
        shiftlog.open(tmp_path / "nothing.gz")
    with pytest.raises(Missing, match="no account B"):
        shiftlog.open(house.directory, account="B")


def test_files_of_another_account_are_refused(house: House, tmp_path: Path):
    """Numbers of two accounts are never mixed."""
    published_week(house)
    with pytest.raises(Invalid, match="of account A, not B"):
        shiftlog.open(files(house, tmp_path / "files"), account="B").metrics()
