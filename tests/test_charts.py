"""Charts: what they show is what intervals and metrics say, and what cannot be shown is said in a line."""

from __future__ import annotations

import sys
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from oracle import Session, flat
from scenes import DAY, HOUR, MINUTE, T0, event, login, logout
from shiftlog import charts
from shiftlog.charts import BY, CHARTS, STATES, About, chart, labels, stretches, to_spec, typical_week
from shiftlog.drawing import MOST_ROWS
from shiftlog.errors import Invalid, TooLarge, Unusable
from shiftlog.events import ACCEPTED
from shiftlog.hours import parse
from shiftlog.intervals import INTERVALS, intervals
from shiftlog.metrics import SCHEDULE, measures, metrics
from shiftlog.sessions import fold, foldable
from shiftlog.simulate import simulate

BERLIN = "Europe/Berlin"
MONDAY = parse("2026-03-02", BERLIN)


def shift(agent: int, start: int, **fields: Any) -> Session:
    """Two hours of an agent from `start`: Online, one chat from minute 30 to 60 and two to 90, Away from 100 to 110, of at most two."""
    said = {"agentID": agent, "agentNickname": f"Agent {agent}", **fields}
    states = ((1, 2, 0), (30, 2, 1), (60, 2, 2), (90, 2, 0), (100, 4, 0), (110, 2, 0))
    events = [event(start + at * MINUTE, state=state, concurrentEng=c, maxConcurrentEng=2, **said) for at, state, c in states]
    return Session([login(start, maxConcurrentEng=-9, concurrentEng=0, **said), *events, logout(start + 2 * HOUR, **said)])


def team(count: int) -> pl.DataFrame:
    """Agents 1 to `count`, each a minute after the one before."""
    return flat(*(shift(agent, T0 + 8 * HOUR + agent * MINUTE) for agent in range(1, count + 1)))


def centre(agents: int, days: int) -> pl.DataFrame:
    """A simulated centre from Monday on, folded."""
    events = simulate("demo", agents=agents, days=days, start=MONDAY, seed=1).events
    landed = {"receivedAt": pl.col("timestamp"), "position": pl.int_range(pl.len(), dtype=pl.Int64)}
    return fold(foldable(events.with_columns(**landed).select(ACCEPTED.keys())), account="demo", timeout=DAY)


@pytest.fixture(scope="module")
def crowd() -> pl.DataFrame:
    """Five hundred agents for three days."""
    return centre(500, 3)


def spec(name: str, sessions: Any, **options: Any) -> dict[str, Any]:
    return to_spec(chart(name, sessions, **{"account": "A", **options}))


def rows(found: dict[str, Any]) -> list[pl.DataFrame]:
    """The frames in a specification."""
    return [pl.DataFrame(data, infer_schema_length=None) for data in found["datasets"].values()]


def units(found: Any) -> list[dict[str, Any]]:
    """The parts of a specification that have a mark."""
    if not isinstance(found, dict):
        return []
    inner = [found.get("spec"), *found.get("layer", ()), *found.get("hconcat", ())]
    return [found] * ("mark" in found) + [unit for part in inner for unit in units(part)]


def marks(found: dict[str, Any]) -> list[str]:
    return [unit["mark"]["type"] for unit in units(found)]


# ── timeline ──


def test_few_agents_have_a_strip_each_with_their_chats() -> None:
    """Bands of the states, and step lines of chats in hand and capacity that begin and end with the session."""
    found = spec("timeline", flat(shift(1, T0)))
    (shown,) = rows(found)
    assert marks(found) == ["rect", "line"]
    bands = shown.filter(pl.col("floor").is_not_null())
    assert bands.select("state", (pl.col("end") - pl.col("start")) // MINUTE).rows() == [
        *(("before first status", 1), ("online", 99), ("away", 10), ("online", 10))
    ]
    line = shown.filter(pl.col("kind") == "chats in hand")
    assert line.select((pl.col("start") - T0) // MINUTE, "chats").rows() == [(0, 0), (30, 1), (60, 2), (90, 0), (120, 0)]
    assert set(shown.filter(pl.col("kind") == "capacity")["chats"]) == {None, 2}


def test_an_agents_sessions_are_lines_of_their_own() -> None:
    """Between two sessions nothing is drawn."""
    found = spec("timeline", flat(shift(1, T0), shift(1, T0 + 6 * HOUR)))
    line = units(found)[1]
    assert line["encoding"]["detail"]["field"] == "agentSessionId"
    assert rows(found)[0]["agentSessionId"].drop_nulls().n_unique() == 2


def test_many_agents_have_a_thin_row_each() -> None:
    """No lines; the agents stand in the order in which they began, and every so many have a label."""
    found = spec("timeline", team(200))
    (unit,) = units(found)
    y = unit["encoding"]["y"]
    assert marks(found) == ["rect"]
    assert y["scale"]["domain"] == [f"Agent {agent}" for agent in range(1, 201)]
    assert y["axis"]["values"] == [f"Agent {agent}" for agent in range(1, 201, 3)]
    assert found["height"] / len(y["axis"]["values"]) >= 12


def test_a_timeline_shows_all_login_time(crowd: pl.DataFrame) -> None:
    """Bands add up to the measures, by state."""
    end = MONDAY + DAY
    (shown,) = rows(spec("timeline", crowd, start=MONDAY, end=end, tz=BERLIN))
    drawn = dict(shown.group_by("state").agg((pl.col("end") - pl.col("start")).sum()).rows())
    sums = measures(crowd, by="account", start=MONDAY, end=end)
    assert drawn == {name: sums[measure].item() for name, (_, measure) in STATES.items() if sums[measure].item()}


def test_too_many_stretches_become_buckets(crowd: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state held longest stands for the bucket, the subtitle says so, and the rows stay few."""
    monkeypatch.setattr("shiftlog.series._BANDS", 7_500)
    found = spec("timeline", crowd, start=MONDAY, end=MONDAY + 3 * DAY, tz=BERLIN)
    assert found["title"]["subtitle"][1] == "each bucket of 15m is shown in the state that was held longest in it"
    (shown,) = rows(found)
    assert shown.height <= 7_500
    assert shown.filter(pl.col("start") > MONDAY).select((pl.col("start") % (15 * MINUTE) == 0).all()).item()


def test_a_long_window_is_shown_by_the_day() -> None:
    """Whichever way the agents are shared out, an hour's work on a day is that day; days that follow each other are one stretch."""
    sessions = [shift(agent, T0 + day * DAY + agent * HOUR) for agent in (1, 2) for day in (0, 1, 150)]
    whole, shares = flat(*sessions), [flat(*sessions[:3]), flat(*sessions[3:])]
    for source in (whole, shares):
        (shown,) = rows(spec("timeline", source, start=T0, end=T0 + 200 * DAY))
        days = shown.select("agent", (pl.col("start") - T0) // DAY, (pl.col("end") - T0) // DAY, "state").rows()
        assert days == [(f"Agent {agent}", a, b, "online") for agent in (1, 2) for a, b in ((0, 2), (150, 151))]


@pytest.mark.parametrize("agents", [3, 30])
def test_planned_states_stand_beside_the_actual(agents: int) -> None:
    """In the strip of few agents, in a second panel for many; agents who only were to come are shown as well."""
    plan = pl.DataFrame([(1, T0 + 8 * HOUR, T0 + 9 * HOUR, 2), (999, T0, T0 + HOUR, 4)], schema=SCHEDULE, orient="row")
    found = spec("timeline", team(agents), start=T0, end=T0 + DAY, schedule=plan)
    if agents == 3:
        planned = rows(found)[0].filter(pl.col("kind") == "planned")
        assert "'planned'" in units(found)[0]["encoding"]["y"]["axis"]["labelExpr"]
    else:
        assert [panel["title"]["text"] for panel in found["hconcat"]] == ["actual", "planned"]
        planned = pl.DataFrame(found["datasets"][found["hconcat"][1]["data"]["name"]])
    assert sorted(planned.select("agent", "state", "start", "end").rows()) == [
        ("999", "away", T0, T0 + HOUR),
        ("Agent 1", "online", T0 + 8 * HOUR, T0 + 9 * HOUR),
    ]


def test_unlisted_and_missing_codes_are_unknown() -> None:
    """A timeline and the time in state agree on what is unknown."""
    sessions = flat(Session([event(T0, state=7, agentID=None), event(T0 + HOUR, state=2), logout(T0 + 2 * HOUR)]))
    for name in ("timeline", "states"):
        assert rows(spec(name, sessions.with_columns(agentID=1)))[0]["state"].drop_nulls().unique().sort().to_list() == [
            "online",
            "unknown",
        ]


# ── states ──


def test_stacked_time_is_the_measures(crowd: pl.DataFrame) -> None:
    """Every agent's bar adds up to the login time, state by state, in hours; the longest comes first."""
    found = spec("states", crowd, start=MONDAY, end=MONDAY + 2 * DAY, tz=BERLIN)
    (shown,) = rows(found)
    sums = measures(crowd, start=MONDAY, end=MONDAY + 2 * DAY)
    assert marks(found) == ["bar"]
    for name, (_, measure) in STATES.items():
        assert shown.filter(pl.col("state") == name)["ms"].sum() == sums[measure].sum()
    assert shown["hours"].sum() == pytest.approx(sums["login_ms"].sum() / HOUR)
    bars = shown.group_by("agent").agg(pl.col("hours", "share").sum())
    order = units(found)[0]["encoding"]["y"]["scale"]["domain"]
    hours = dict(bars.select("agent", "hours").rows())
    assert bars.select((pl.col("share") - 1).abs().max()).item() < 1e-9
    assert [round(hours[agent], 6) for agent in order] == sorted((round(hours[agent], 6) for agent in order), reverse=True)


def test_states_are_stacked_and_listed_in_their_order() -> None:
    """Colours and order are the same in every chart; the legend leaves out what is not there."""
    found = spec("states", team(2))
    colour = units(found)[0]["encoding"]["color"]
    assert colour["scale"]["domain"] == [*STATES]
    assert colour["legend"]["values"] == ["online", "away", "before first status"]
    assert set(rows(found)[0].select("state", "order").rows()) == {("online", 0), ("away", 2), ("before first status", 4)}


# ── occupancy ──


def test_occupancy_is_a_ratio_of_sums_by_hour_of_the_day() -> None:
    """The hours of two days are added up: one agent chatted an hour of them, and was idle the rest."""
    (shown,) = rows(spec("occupancy", flat(shift(1, T0), shift(1, T0 + DAY + HOUR))))
    cells = {row["hour"]: (row["share"], row["hours"]) for row in shown.iter_rows(named=True)}
    assert cells.keys() == {"00", "01", "02"}
    assert cells["00"] == (pytest.approx(30 / 59), pytest.approx(59 / 60))
    assert cells["01"] == (pytest.approx((30 + 30) / (50 + 59)), pytest.approx(109 / 60))


def test_hours_are_those_of_the_zone() -> None:
    """Midnight in UTC is half past five in Kolkata."""
    (shown,) = rows(spec("occupancy", flat(shift(1, T0)), tz="Asia/Kolkata"))
    assert shown["hour"].to_list() == ["05", "06", "07"]


def test_the_busiest_agent_comes_first(crowd: pl.DataFrame) -> None:
    """By the occupancy of the whole window."""
    domain = units(spec("occupancy", crowd, names={}))[0]["encoding"]["y"]["scale"]["domain"]
    busy = metrics(crowd).filter(pl.col("online_ms") > 0).sort("occupancy", "agent_id", descending=[True, False])
    assert domain == [str(agent) for agent in busy["agent_id"]]


def test_weekdays_by_hour() -> None:
    """Seven rows, whatever is in them; every second Monday counts as a Monday."""
    found = spec("occupancy", flat(shift(1, MONDAY), shift(1, MONDAY + 14 * DAY)), by="weekday", tz=BERLIN)
    (shown,) = rows(found)
    assert units(found)[0]["encoding"]["y"]["scale"]["domain"] == ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    assert shown.select("key", "hour").rows() == [("Mon", "00"), ("Mon", "01")]
    assert shown["hours"].sum() == pytest.approx(2 * 109 / 60)


def test_occupancy_needs_narrow_buckets() -> None:
    """A day's sum does not say which hour it was."""
    with pytest.raises(Invalid, match="an hour or less"):
        typical_week(measures(flat(shift(1, T0)), every="1d"))


# ── concurrency, staffing ──


def test_concurrency_is_the_area_under_the_curve() -> None:
    """The curve's area is chat_ms, the bars add up to login_ms, and times their level to chat_ms."""
    sessions, day = team(30), {"start": T0, "end": T0 + DAY}
    found = spec("concurrency", sessions, **day)
    sums = measures(sessions, by="account", **day)
    curve, bars = rows(found) if "series" in rows(found)[0].columns else rows(found)[::-1]
    assert marks(found) == ["line", "bar"]
    for series, measure in (("chats in hand", "chat_ms"), ("capacity", "online_capacity_ms")):
        assert area(curve, series) == pytest.approx(sums[measure].item())
    assert bars["ms"].sum() == sums["login_ms"].item()
    assert (bars["level"] * bars["ms"]).sum() == sums["chat_ms"].item()
    assert bars.filter(pl.col("state") == "online")["ms"].sum() == sums["online_ms"].item()


def test_staffing_is_the_area_under_its_curves() -> None:
    """Each curve's area is its measure, also over the hours in which nobody was there."""
    sessions = flat(shift(1, T0 + HOUR), shift(2, T0 + 90 * MINUTE), shift(1, T0 + 10 * HOUR))
    found = spec("staffing", sessions, start=T0, end=T0 + DAY, every="30m")
    (curve,) = rows(found)
    sums = measures(sessions, by="account", start=T0, end=T0 + DAY)
    for series, measure in (
        ("staffed", "login_ms"),
        ("online", "online_ms"),
        ("chatting", "chatting_ms"),
        ("at maximum", "online_at_max_ms"),
    ):
        assert area(curve, series) == pytest.approx(sums[measure].item())
    assert (curve["start"].min(), curve["start"].max()) == (T0, T0 + DAY)
    assert found["title"]["subtitle"][-1] == "averages of 30 minutes"


def area(curve: pl.DataFrame, series: str) -> float:
    """The area under a step line, each of whose values holds until the next."""
    points = curve.filter(pl.col("series") == series).sort("start", maintain_order=True)
    return float(((points["start"].shift(-1) - points["start"]) * points["value"]).sum())


def test_high_levels_share_a_bar() -> None:
    """Somebody with thousands of chats in hand does not stretch the picture."""
    many = flat(Session([event(T0 + c * MINUTE, state=2, concurrentEng=c * 10, maxConcurrentEng=3) for c in range(100)]))
    found = spec("concurrency", many)
    bars = next(frame for frame in rows(found) if "level" in frame.columns)
    assert bars["label"].to_list() == ["0", "10", "20", "30+"]
    assert bars["ms"].sum() == 99 * MINUTE


@pytest.mark.parametrize(("days", "bucket"), [(1, "5 minutes"), (2, "15 minutes"), (7, "30 minutes"), (31, "60 minutes"), (90, "a day")])
def test_a_curves_bucket_suits_its_window(days: int, bucket: str) -> None:
    """Several hundred buckets fill the window."""
    found = spec("staffing", flat(*(shift(1, T0 + day * DAY) for day in range(days))), start=T0, end=T0 + days * DAY)
    assert found["title"]["subtitle"][-1] == f"averages of {bucket}"


# ── from sessions ──


@pytest.mark.parametrize("name", CHARTS)
@pytest.mark.parametrize("by", [None, *BY])
def test_shares_of_the_agents_give_the_same_picture(name: str, by: str | None) -> None:
    """However the agents are shared out."""
    if by and "by" not in CHARTS[name].options:
        return
    sessions = centre(25, 2)
    agents = sessions["agentID"].unique().sort()
    shares = [sessions.filter(pl.col("agentID").is_in(part.implode())) for part in (agents[:7], agents[7:8], agents[8:])]
    one, other = (spec(name, source, by=by, tz=BERLIN) for source in (sessions, shares))
    for left, right in zip(*(sorted(rows(found), key=lambda frame: frame.columns) for found in (one, other)), strict=True):
        assert left.sort(left.columns).equals(right.sort(right.columns))


@pytest.mark.parametrize("name", CHARTS)
def test_five_hundred_agents_are_few_rows(name: str, crowd: pl.DataFrame) -> None:
    """Sums are made before drawing."""
    assert sum(frame.height for frame in rows(spec(name, crowd, tz=BERLIN))) <= MOST_ROWS


@pytest.mark.parametrize("name", CHARTS)
def test_the_title_names_account_window_zone_and_source(name: str) -> None:
    """In the zone's time."""
    found = spec(name, team(3), start=T0, end=T0 + DAY, tz="Asia/Kolkata", source="somewhere")
    window = f"account A · {pl.Series([T0]).cast(pl.Datetime('ms')).dt.strftime('%a %-d %b %Y')[0]} 05:30 – "
    assert found["title"]["subtitle"][0].startswith(window)
    assert found["title"]["subtitle"][0].endswith("05:30 · Asia/Kolkata")
    assert found["title"]["subtitle"][1].startswith("source: somewhere")
    assert found["title"]["text"] in found["description"]


def test_a_window_left_out_is_that_of_the_data() -> None:
    """From the first event to the last; half of it may be given."""
    x = units(spec("timeline", flat(shift(1, T0)), end=T0 + DAY))[0]["encoding"]["x"]["scale"]
    assert (x["type"], x["domainMin"], x["domainMax"]) == ("utc", T0, T0 + DAY)


def test_open_sessions_count_with_now() -> None:
    """Up to then; without it they are not there."""
    sessions = flat(Session([event(T0, state=2, agentID=1)], open=True))
    (shown,) = rows(spec("states", sessions, start=T0, end=T0 + DAY, now=T0 + HOUR))
    assert shown["ms"].sum() == HOUR
    with pytest.raises(Invalid, match="nothing to draw"):
        spec("states", sessions, start=T0, end=T0 + DAY)


def test_names_are_the_last_nicknames_or_those_given() -> None:
    """An agent without one is called by the id."""
    sessions = flat(
        shift(1, T0, agentNickname="Old"), shift(1, T0 + DAY, agentNickname="New"), shift(2, T0, agentNickname="", agentUsername="user")
    )
    assert set(rows(spec("states", sessions))[0]["agent"]) == {"New", "user"}
    assert set(rows(spec("states", sessions, names={1: "Ann"}))[0]["agent"]) == {"Ann", "2"}


@pytest.mark.parametrize("name", CHARTS)
def test_events_that_name_no_agent_have_a_row(name: str) -> None:
    """As a file of another make may have them."""
    nobody = pl.when(pl.col("agentID") == 1).then("agentID")
    found = spec(name, team(2).with_columns(nobody), start=T0, end=T0 + DAY)
    if "names" in CHARTS[name].options:
        assert "no agent" in str(found)


@given(st.dictionaries(st.integers(0, 30), st.sampled_from(["Ann", "Ann (1)", "Ann (2)", "3", "4", "", ")"]), max_size=20))
def test_no_two_agents_are_called_the_same(names: dict[int, str]) -> None:
    """Whatever names they were given."""
    called = labels(range(31), names)
    assert len(set(called.values())) == 31


@settings(max_examples=50)
@given(oracle.streams(T0, MINUTE, 60))
def test_stretches_are_the_time_of_the_intervals(sessions: list[Session]) -> None:
    """Merging loses nothing and adds nothing, and leaves no two that touch."""
    found = intervals(flat(*sessions))
    merged = stretches(found)
    assert (merged["end"] - merged["start"]).sum() == (found["end"] - found["start"]).sum()
    assert stretches(merged).equals(merged)


# ── what cannot be drawn ──


@pytest.mark.parametrize("name", CHARTS)
def test_nothing_to_draw(name: str) -> None:
    """One line, for no data and for a window without any."""
    for sessions, window in ((flat(), {}), (flat(), {"start": T0, "end": T0 + DAY}), (team(1), {"start": T0, "end": T0 + HOUR})):
        with pytest.raises(Invalid, match="nothing to draw") as error:
            chart(name, sessions, account="A", **window)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("pie", {}, "chart 'pie' is not known; allowed: timeline, states, occupancy, concurrency, staffing"),
        ("states", {"every": "1h"}, "does not take 'every'"),
        ("states", {"by": "agent"}, "does not take 'by'"),
        ("staffing", {"schedule": pl.DataFrame(schema=SCHEDULE)}, "does not take 'schedule'"),
        ("staffing", {"every": "7m"}, "bucket '7m' is not known"),
        ("occupancy", {"by": "group"}, "allowed: agent, weekday"),
        ("timeline", {"tz": "Mars/Olympus"}, "time zone 'Mars/Olympus' is not known"),
        ("timeline", {"start": T0 + DAY, "end": T0}, "its end must come after its start"),
        ("timeline", {"theme": "sepia"}, "theme 'sepia' is not known; allowed: light, dark"),
    ],
)
def test_a_wrong_question(name: str, options: dict[str, Any], message: str) -> None:
    """Says what is allowed."""
    with pytest.raises(Invalid, match=message):
        chart(name, team(1), **{"account": "A", **options})


@pytest.mark.parametrize("name", ["timeline", "states", "occupancy"])
def test_more_agents_than_there_is_room_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Says how many there are, and what to do."""
    monkeypatch.setattr("shiftlog.series.MOST_AGENTS", 3)
    with pytest.raises(TooLarge, match="has 4 agents, and room for 3; ask for some of them"):
        chart(name, team(4), account="A")


def test_more_points_than_there_is_room_for() -> None:
    """A year of five minutes is too much for a picture."""
    with pytest.raises(TooLarge, match="wider buckets"):
        spec("staffing", flat(*(shift(1, T0 + hour * 3 * HOUR) for hour in range(5_000))), every="5m")


def test_without_the_extra_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """And everything that needs no picture goes on."""
    import shiftlog

    monkeypatch.setitem(sys.modules, "altair", None)
    monkeypatch.delitem(sys.modules, "shiftlog.drawing", raising=False)
    monkeypatch.delattr(shiftlog, "drawing", raising=False)
    with pytest.raises(Unusable, match=r"pip install 'shiftlog\[charts\]'"):
        chart("states", team(1), account="A")
    assert stretches(intervals(team(1))).height > 0


def test_pure_functions_take_frames() -> None:
    """Without sessions: intervals and metrics are enough."""
    about = About("A", T0, T0 + DAY)
    frame, sums = intervals(team(3)), measures(team(3), every="1h")
    for drawn in (
        charts.timeline(frame.select(INTERVALS.keys()), about),
        charts.states(sums, about),
        charts.occupancy(sums, about),
        charts.concurrency(sums, charts.time_at_levels(frame), about),
        charts.staffing(sums, about),
    ):
        assert rows(to_spec(drawn))[0].height > 0
