"""The engine of a real Spark cluster: a standalone master with two workers, each a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl
import pytest

import cluster_of_spark
from database import Postgresql
from readers import all_parts, every_row, land, standing
from scenes import DAY
from shiftlog.archive import Archive
from shiftlog.catalog import accounts
from shiftlog.catalog.parts import Part
from shiftlog.engine import Engine
from shiftlog.engine.local import LOCAL
from shiftlog.engine.spark import Spark, connected
from shiftlog.errors import Damaged, Later, Unusable
from shiftlog.events import SENT
from shiftlog.hours import HOUR, iso, parse
from shiftlog.house import House
from shiftlog.lease import Worker
from shiftlog.publish import publish
from shiftlog.settings import Settings
from shiftlog.simulate import simulate
from shiftlog.sources import HouseSource

from .contract import EngineContract

pytest.importorskip("pyspark", reason="scripts/spark.sh install has PySpark installed")

Run: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]
SPECULATED = Path(__file__).with_name("speculated.py")
SHIFTLOG = str(Path(sys.executable).with_name("shiftlog"))
START = parse("2026-03-02T00:00:00Z")
DAYS = 7


@pytest.fixture(scope="module")
def s3_variables(request: pytest.FixtureRequest) -> dict[str, str]:
    """What leads to the S3 server; nothing where none can be had."""
    try:
        variables: dict[str, str] = request.getfixturevalue("s3_server").environment
    except pytest.skip.Exception:
        variables = {}
    return variables


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of everyone who asks the cluster for something: half of its cores at most, so that there is room for two."""
    directory = tmp_path_factory.mktemp("configuration")
    (directory / "spark-defaults.conf").write_text("spark.cores.max 2\nspark.executor.memory 512m\n")
    return directory


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory, s3_variables: dict[str, str]) -> Iterator[str]:
    with cluster_of_spark.running(tmp_path_factory.mktemp("spark"), {**s3_variables, "CORES": "2", "MEMORY": "2g"}) as url:
        yield url


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Another master, for the command line alone: a session of this process may hold all of the first one."""
    with cluster_of_spark.running(tmp_path_factory.mktemp("another")) as url:
        yield url


@pytest.fixture(scope="module")
def spark(master: str, configuration: Path) -> Iterator[Spark]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("SPARK_CONF_DIR", str(configuration))
        with connected(master) as engine:
            yield engine


@pytest.fixture
def shiftlog(configuration: Path) -> Run:
    """The command line."""

    def run(*words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        usual = {"PYSPARK_PYTHON": sys.executable, "SPARK_CONF_DIR": str(configuration), "SHIFTLOG_LEAD_MILLISECONDS": "0"}
        return subprocess.run(
            [SHIFTLOG, *map(str, words)], env={**os.environ, **usual, **variables}, capture_output=True, text=True, timeout=400
        )

    return run


class TestSpark(EngineContract):
    """Executors keep the contract."""

    @pytest.fixture(autouse=True)
    def _engine(self, spark: Spark) -> None:
        self.engine = spark

    def run(self, function: Callable[[Any], Any], partitions: Iterable[Any]) -> Iterator[Any]:
        return self.engine.run(function, partitions)

    def test_the_function_runs_elsewhere(self):
        """In processes of the workers."""
        assert os.getpid() not in set(self.run(lambda _: os.getpid(), range(4)))

    def test_errors_of_shiftlog_arrive_as_they_are(self):
        """What was found is told to whoever asked, not that a task failed."""

        def fails(_: int) -> None:
            raise Damaged("the object is not what it should be")

        with pytest.raises(Damaged, match="the object is not what it should be"):
            list(self.run(fails, [1]))

    def test_what_may_pass_is_tried_again(self, tmp_path: Path):
        """By Spark, on some executor; the result comes once."""

        def the_second_time(n: int) -> int:
            tried = tmp_path / str(n)
            if not tried.exists():
                tried.touch()
                raise Later("the store does not answer")
            return n

        assert list(self.run(the_second_time, range(3))) == [0, 1, 2]

    def test_what_does_not_pass_is_told_in_a_line(self):
        """After four tries."""

        def never(_: int) -> None:
            raise Later("the store does not answer")

        with pytest.raises(Later, match=r"^Spark gave up a task: the store does not answer$"):
            list(self.run(never, [1]))

    def test_an_executor_that_dies_harms_nothing(self, tmp_path: Path):
        """Its task is run by another."""

        def dies_once(n: int) -> int:
            died = tmp_path / "died"
            if n == 1 and not died.exists():
                died.touch()
                os._exit(1)
            return n

        assert list(self.run(dies_once, range(4))) == [0, 1, 2, 3]


# ── the same life on this machine and on a cluster ──


@contextmanager
def deployment(directory: Path, store: str | None = None, catalog: str | None = None) -> Iterator[House]:
    settings = Settings(lead_milliseconds=0, part_events=700, fold_events=4_000)
    house = House.open(directory, create=True, settings=settings, store=store, catalog=catalog)
    with house.catalog.write() as conn:
        accounts.ensure(conn, "A", house.catalog.now(), house.settings)
    yield house
    house.close()


@pytest.fixture(scope="module")
def week() -> pl.DataFrame:
    """A week of a centre's events in the order of their arrival, some late and some repeated."""
    return simulate("A", agents=20, days=DAYS, start=START, seed=11, late=0.03, repeat=0.02).arrivals()


def live(house: House, week: pl.DataFrame, engine: Engine) -> None:
    """Take in what came in each two days, and publish it."""
    for day in range(2, DAYS + 4, 2):
        low, high = START + (day - 2) * DAY, START + day * DAY
        came = week.filter(pl.col("arrivesAt").is_between(low, high, closed="left"))
        if came.height:
            land(house, came.select(SENT.keys()))
        with Worker(house) as worker:
            publish(worker, "A", now=high, engine=engine)


def bytes_of(house: House) -> list[tuple[Part, bytes, pl.DataFrame]]:
    """Every part, its file, and its twin but for when events arrived, which is another time in each life."""
    found = []
    for part in all_parts(house):
        twin = pl.read_parquet(house.store.source(part.twin_key)).drop("receivedAt")
        plain = replace(part, gz_key="", twin_key="", twin_sha256="", twin_bytes=0, generated=0, link="")
        found.append((plain, house.store.get(part.gz_key), twin))
    return found


def check_same(one: House, other: House, engine: Engine) -> None:
    """Byte for byte, and in all numbers."""
    mine, theirs = bytes_of(one), bytes_of(other)
    assert len(mine) > DAYS * 3
    assert [part.revision for part, _, _ in mine].count(0) < len(mine)
    assert [(part, gz) for part, gz, _ in mine] == [(part, gz) for part, gz, _ in theirs]
    for (_, _, twin), (_, _, same) in zip(mine, theirs, strict=True):
        assert twin.equals(same)
    here, there = (Archive(HouseSource(house, "A")) for house in (one, other))
    for by in ("agent", "group", "profile", "account"):
        for every, window in (("1h", {}), ("all", {}), ("1d", {"start": START + HOUR, "end": START + 3 * DAY})):
            asked = {"by": by, "every": every, "tz": "Europe/Berlin", "until": "watermark", **window}
            expected = here.metrics(**asked).collect()
            assert expected.height
            assert there.on(engine).metrics(**asked).collect().equals(expected), asked


def test_a_week_is_the_same(tmp_path: Path, week: pl.DataFrame, spark: Spark):
    """Published in a directory, by this machine and by a cluster; late events, revisions and withdrawals among it."""
    with deployment(tmp_path / "here") as here, deployment(tmp_path / "there") as there:
        live(here, week, LOCAL)
        live(there, week, spark)
        check_same(here, there, spark)
        assert list(there.store.list("spill")) == []


def test_a_week_is_the_same_on_s3_with_postgresql(tmp_path: Path, week: pl.DataFrame, spark: Spark, s3: str, postgresql: Postgresql):
    """All three seams at once, against all three on one machine."""
    with postgresql.database() as catalog, deployment(tmp_path / "here") as here, deployment(tmp_path / "there", s3, catalog) as there:
        live(here, week, LOCAL)
        live(there, week, spark)
        check_same(here, there, spark)


def test_tasks_that_are_repeated_do_no_harm(tmp_path: Path, week: pl.DataFrame, cluster: str):
    """With spark.speculation, of each step a task is done by two executors at once: files are the same, and each event stands once."""
    configuration, marks = tmp_path / "configuration", tmp_path / "marks"
    configuration.mkdir()
    marks.mkdir()
    speculation = {"": "true", ".quantile": "0.5", ".multiplier": "1.1", ".interval": "100ms"}
    (configuration / "spark-defaults.conf").write_text("".join(f"spark.speculation{k} {v}\n" for k, v in speculation.items()))
    with deployment(tmp_path / "here") as here, deployment(tmp_path / "there") as there:
        for house in (here, there):
            land(house, week.select(SENT.keys()))
        now = START + (DAYS + 3) * DAY
        with Worker(here) as worker:
            publish(worker, "A", now=now)
        words = [sys.executable, SPECULATED, cluster, tmp_path / "there", marks, iso(now)]
        done = subprocess.run(
            words,
            env={**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_CONF_DIR": str(configuration)},
            capture_output=True,
            text=True,
            timeout=400,
        )
        assert done.returncode == 0, done.stderr
        slow, repeated = ({mark.stem for mark in marks.glob(f"*.{which}")} for which in ("first", "again"))
        assert slow == repeated
        assert len(slow) >= 2  # folding, and writing
        mine, theirs = bytes_of(here), bytes_of(there)
        assert len(mine) > DAYS * 3
        assert [(part, gz) for part, gz, _ in mine] == [(part, gz) for part, gz, _ in theirs]
        rows = standing(every_row(there, suffix="parquet"))
        assert rows["eventId"].n_unique() == rows.height == week["eventId"].n_unique()
        assert list(there.store.list("spill")) == []


# ── the command line ──


def test_the_command_line_publishes_and_reports_on_a_cluster(tmp_path: Path, week: pl.DataFrame, cluster: str, shiftlog: Run):
    """With the numbers that it has without, and nothing of Spark's on standard output."""
    with deployment(tmp_path / "data") as house:
        land(house, week.filter(pl.col("arrivesAt") < START + 2 * DAY).select(SENT.keys()))
    published = shiftlog("publish", "--data", tmp_path / "data", "--engine", "spark", "--spark-master", cluster, "--format", "csv")
    assert published.returncode == 0, published.stderr
    assert published.stdout.count("Agent.") > 10
    assert "log level" not in published.stderr  # which Spark says at its start, where it is let
    asked = ("report", "--data", tmp_path / "data", "--every", "1d", "--by", "group", "--format", "csv")
    here, there = shiftlog(*asked), shiftlog(*asked, "--engine", "spark", SHIFTLOG_SPARK_MASTER=cluster)
    assert here.stdout == there.stdout != ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--engine", "spark"), "--spark-master spark://HOST:PORT"),
        (("--spark-master", "local"), "is for --engine spark"),
        (("--engine", "spark", "--spark-master", "http://x"), "spark://HOST:PORT, yarn"),
        (("--engine", "spark", "--spark-master", "spark://127.0.0.1:1"), "no Spark master answers at spark://127.0.0.1:1"),
        (("--engine", "spark", "--watch"), "--watch publishes on this machine"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(house: House, words: tuple[str, ...], said: str, shiftlog: Run):
    """Before anything was done."""
    found = shiftlog("publish", "--data", house.directory, *words)
    assert found.returncode != 0
    assert said in " ".join(found.stderr.split())
    assert "Traceback" not in found.stderr


def test_a_worker_without_shiftlog_is_told(tmp_path: Path, cluster: str, shiftlog: Run):
    """And where that is explained."""
    bare = tmp_path / "python"
    run = "sys.argv = sys.argv[2:]; runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    start = f"import sys, runpy; sys.path.append({_only(tmp_path)!r}); {run}"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -c "{start}" "$@"\n')
    bare.chmod(0o755)
    with deployment(tmp_path / "data") as house:
        land(house, simulate("A", agents=2, days=1, start=START, seed=1).events)
    found = shiftlog("publish", "--data", tmp_path / "data", "--engine", "spark", "--spark-master", cluster, PYSPARK_PYTHON=str(bare))
    assert found.returncode != 0
    assert "the Python of Spark's workers has no shiftlog" in " ".join(found.stderr.split())


def _only(directory: Path) -> str:
    """A directory with all that .venv has but shiftlog."""
    here = directory / "packages"
    here.mkdir()
    for package in Path(pl.__file__).parents[1].iterdir():
        if "shiftlog" not in package.name:
            (here / package.name).symlink_to(package)
    return str(here)


def test_without_pyspark_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch):
    """The extra, by its name."""
    monkeypatch.setitem(sys.modules, "pyspark.errors", None)
    with pytest.raises(Unusable, match=r"pip install 'shiftlog\[spark\]'"), connected("local[1]"):
        pass
