"""The Day page of 500 agents, its charts with it: how long does someone wait for what the server does?"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote, urlencode

from data import ACCOUNT, DAY, YEAR_BEGINS, deployment, land, made, publish
from measure import Contestant, Question, Scene, Target, Work, of
from server import serve

_AGENTS, _ROUNDS = 500, 20
_TODAY = YEAR_BEGINS + 2 * DAY  # a Wednesday
_CHARTS = ("timeline", "staffing", "concurrency", "occupancy")
_SEEN, _NEW = "a window seen before", "a window never seen"


def _data(size: float) -> Path:
    return made("day", size, lambda directory: _make(directory, max(1, round(_AGENTS * size))))


def _make(directory: Path, agents: int) -> dict[str, float]:
    """A data directory with three published days, the second of which is looked at."""
    from shiftlog.simulate import simulate

    # Not all work on every day, and on the day that is looked at these are as many as were asked for.
    centre = simulate(ACCOUNT, agents=round(agents * 1.25), days=3, start=_TODAY - DAY, seed=1)
    arrived = centre.arrivals()
    with deployment(directory / "data", create=True) as house:
        land(house, arrived.drop("arrivesAt"), 10_000)
        publish(house, _TODAY + 7 * DAY)
    today = arrived.filter(arrived["timestamp"].is_between(_TODAY, _TODAY + DAY, closed="left"))
    return {"events": today.height, "agents": today["agentID"].n_unique()}


def _prepare(scene: Scene, *, new: bool) -> Work:
    """A server, someone who has signed in, and the page seen once."""
    from shiftlog.catalog import keys

    shutil.copytree(scene.data / "data", scene.scratch / "data")
    with deployment(scene.scratch / "data") as house, house.catalog.write() as conn:
        bearer = keys.create(conn, house.vault, ACCOUNT, ["read"], house.catalog.now()).bearer
    connection = HTTPConnection("127.0.0.1", serve(scene.scratch / "data"))
    connection.request("POST", "/sign-in", f"token={quote(bearer)}", {"Content-Type": "application/x-www-form-urlencoded"})
    answer = connection.getresponse()
    answer.read()
    cookie = {"Cookie": answer.headers["set-cookie"].partition(";")[0], "Accept-Encoding": "gzip"}

    def look(path: str, query: str) -> float:
        start = time.perf_counter()
        connection.request("GET", f"{path}?{query}", headers=cookie)
        found = connection.getresponse()
        body = found.read()
        if found.status != 200 or len(body) < 1000:
            raise RuntimeError(f"{path}?{query} was answered by {found.status}: {body[:200]!r}")
        return time.perf_counter() - start

    def view(minutes: int) -> str:
        start, end = (_text(instant + minutes * 60_000) for instant in (_TODAY, _TODAY + DAY))
        return urlencode({"account": ACCOUNT, "from": start, "to": end, "tz": "UTC"})

    def round_(minutes: int) -> tuple[float, float]:
        query = view(minutes)
        return look("/day", query), sum(look(f"/charts/{name}.json", query) for name in _CHARTS)

    round_(0)
    return lambda: [round_(number + 1 if new else 0) for number in range(_ROUNDS)]


def _text(instant: int) -> str:
    from shiftlog.hours import iso

    return iso(instant)[:16]


def _waits(took: Sequence[tuple[float, float]], _: Scene) -> Mapping[str, float]:
    page, charts = (statistics.median(column) * 1000 for column in zip(*took, strict=True))
    return {"page_ms": page, "charts_ms": charts, "all_ms": statistics.median(sum(row) for row in took) * 1000}


QUESTION = Question(
    title="The Day page of 500 agents",
    text="`GET /day` of a published day, and the four charts of the page one after the other, from a `shiftlog serve` that has answered "
    f"the same before; medians of {_ROUNDS} rounds, as the client waits for them. A window that was seen is answered from memory; of one "
    "that was never seen, everything is read and counted.",
    data=_data,
    contestants=[
        Contestant(_SEEN, lambda scene: _prepare(scene, new=False), figures=_waits),
        Contestant(_NEW, lambda scene: _prepare(scene, new=True), figures=_waits),
    ],
    targets=[
        Target("the page and its charts, a window seen before", of(_SEEN, "all_ms"), most=300, unit="ms"),
        Target("the page, a window never seen", of(_NEW, "page_ms"), most=300, unit="ms"),
    ],
    repetitions=3,
    warm=0,
)
