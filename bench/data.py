"""The generated data: simulated, made once in build/bench, and made anew where what makes it has changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from shiftlog.house import House

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "bench"
ACCOUNT = "bench"
YEAR_BEGINS = 1_704_067_200_000  # 2024-01-01T00:00:00Z: in the past, so that everything is closed
DAY = 86_400_000
SIZES = {"1 M": 1_000_000, "10 M": 10_000_000, "50 M": 50_000_000}
SIZES_END = YEAR_BEGINS + 40 * DAY  # when all of them are due

# What the data follows from; where one of these changes, it is made again.
_MAKERS = ("simulate.py", "landing.py", "publish.py", "sessions.py", "container.py", "catalog/tables.py")


def made(name: str, size: float, make: Callable[[Path], dict[str, float]]) -> Path:
    """The directory of this data, which `make` fills, giving the facts about it (kept in facts.json)."""
    sources = [Path(__file__), *(ROOT / "src" / "shiftlog" / maker for maker in _MAKERS)]
    digest = blake2b(b"".join(source.read_bytes() for source in sources), digest_size=4).hexdigest()
    target = BUILD / f"{name}-{size:g}-{digest}"
    if not target.exists():
        for stale in [*BUILD.glob(f"{name}-{size:g}-*"), *BUILD.glob(f"{name}.partial")]:
            shutil.rmtree(stale)
        partial = BUILD / f"{name}.partial"
        partial.mkdir(parents=True)
        (partial / "facts.json").write_text(json.dumps(make(partial)))
        partial.rename(target)
    return target


def events(count: int, seed: int = 1, days: int = 1) -> pl.DataFrame:
    """About so many events of a centre, in the order in which they arrive, none late, repeated or missing."""
    import polars as pl

    return pl.concat(blocks(count, seed, days))


def blocks(count: int, seed: int = 1, days: int = 1) -> Iterator[pl.DataFrame]:
    """The same, some days at a time."""
    from shiftlog.simulate import Centre

    agents = max(1, round(count / 175 / days))  # who make about so many events on a working day, days off included
    # From a Wednesday on, which is no more and no less busy than other days.
    start = YEAR_BEGINS + 2 * DAY
    centre = Centre(ACCOUNT, agents=agents, days=days, start=start, seed=seed, no_logout=0, session_ids=True)
    return (block.drop("arrivesAt") for block in centre.arrivals())


@contextmanager
def deployment(directory: Path, *, create: bool = False) -> Iterator[House]:
    """A deployment with the account; parts are visible as soon as they are committed, so that no run waits for that."""
    from shiftlog.catalog import accounts
    from shiftlog.house import House
    from shiftlog.settings import Settings

    house = House.open(directory, create=create, settings=Settings(lead_milliseconds=0, time_zone="UTC"))
    try:
        with house.catalog.write() as conn:
            accounts.ensure(conn, ACCOUNT, house.catalog.now(), house.settings)
        yield house
    finally:
        house.close()


def land(house: House, frame: pl.DataFrame, batch: int) -> None:
    """Accept events in batches of so many."""
    from shiftlog.landing import Landing

    landing = Landing(house)
    try:
        for piece in frame.iter_slices(batch):
            landing.accept(ACCOUNT, piece)
    finally:
        landing.close()


def publish(house: House, now: int) -> None:
    """Publish what is due then (epoch ms)."""
    from shiftlog.lease import Worker
    from shiftlog.publish import publish as run

    with Worker(house) as worker:
        run(worker, ACCOUNT, now=now)


def make_sizes(directory: Path, size: float, names: Sequence[str]) -> dict[str, float]:
    """For each of these `SIZES`, two data directories: where they have landed, landed-N, and are published, published-N."""
    facts = {}
    for number, name in enumerate(names):
        facts[name] = 0.0
        with deployment(directory / f"landed-{number}", create=True) as house:
            for block in blocks(round(SIZES[name] * size), days=10):
                land(house, block, 50_000)
                facts[name] += block.height
        shutil.copytree(directory / f"landed-{number}", directory / f"published-{number}")
        with deployment(directory / f"published-{number}") as house:
            publish(house, SIZES_END)
    return facts
