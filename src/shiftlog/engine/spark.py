"""The engine of an Apache Spark cluster (4 or newer, standalone, YARN or Kubernetes, in client mode): `pip install 'shiftlog[spark]'`.

A partition is a row, which `mapInArrow` takes to the Python of an executor; results come back to the driver in the partitions' order.
Spark may run a task again, or twice at once: what a function writes has a key of its own every time.

The executors' Python has to have shiftlog of the same version, and finds the store by variables of its own (such as AWS_…): secrets do
not travel. docs/spark.md has how both are brought about.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import structlog

from shiftlog.errors import Later, ShiftlogError, Unusable

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

T = TypeVar("T")
R = TypeVar("R")

log = structlog.get_logger()

_IDLE = 30.0  # seconds without a task at work, after which it is said
_SLICES = 4  # for each that is worked on at once
_PATIENCE = 5.0  # seconds that a standalone master may take to be reached
_LOGGED = Path(__file__).with_name("log4j2.properties")
_SAYING_NOTHING = ("at ", "File ", "Driver stacktrace", "During", "The above", "JVM stacktrace", "An error occurred while calling")
_RESULTS = "number long, failed boolean, result binary"


class Spark:
    """Runs functions in the executors of a session."""

    distant = True

    def __init__(self, session: SparkSession) -> None:
        self._session = session

    @property
    def width(self) -> int:
        """As many tasks as the cluster has cores, twice: so that a slow one does not leave the others without work."""
        return 2 * int(self._session.sparkContext.defaultParallelism)

    def run(self, function: Callable[[T], R], partitions: Iterable[T], *, alone: bool = False) -> Iterator[R]:
        # `alone` needs nothing: every task has a Python process of its own.
        tasks = [(number, bytearray(_pickled(partition))) for number, partition in enumerate(partitions)]
        if tasks:
            yield from self._results(tasks, _working(_pickled(function)))

    def _results(
        self, tasks: list[tuple[int, bytearray]], work: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
    ) -> Iterator[Any]:
        with _explained(), self._watched(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PySpark's own, of pandas, which is not used
            # Small tasks share one of Spark's, whose own beginning and end cost more than they do.
            rows = self._session.sparkContext.parallelize(tasks, min(len(tasks), _SLICES * self.width)).toDF("number long, task binary")
            found = rows.mapInArrow(work, _RESULTS).toArrow().sort_by("number")
        for failed, result in zip(found["failed"], found["result"], strict=True):
            value = pickle.loads(result.as_py())  # noqa: S301 — of our own executors
            if failed.as_py():
                raise value
            yield value

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Say so where no task begins: Spark waits without end for a cluster that is full."""

        def look() -> None:
            tracker = self._session.sparkContext.statusTracker()
            stages = [found for stage in tracker.getActiveStageIds() if (found := tracker.getStageInfo(stage))]
            if stages and not any(stage.numActiveTasks or stage.numCompletedTasks for stage in stages):
                log.warning("spark.waiting", seconds=_IDLE, hint="no executor has begun: has the cluster cores and memory that are free?")

        timer = threading.Timer(_IDLE, look)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


@contextmanager
def connected(master: str) -> Iterator[Spark]:
    """The engine of a master (`spark://HOST:PORT`, `yarn`, `k8s://…`, `local[N]`); its session ends with the block.

    Raises:
        Unusable: PySpark or Java is not there, or the master does not answer.
    """
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError:
        raise Unusable("the engine spark needs PySpark: pip install 'shiftlog[spark]'") from None
    _check(master)
    for name in ("pyspark", "py4j"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    builder = SparkSession.builder.master(master).appName("shiftlog")
    for name, value in _settings().items():
        builder = builder.config(name, value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            session = builder.getOrCreate()
    except (PySparkException, OSError) as error:
        raise Unusable(f"Spark cannot be started ({_first_line(error)}); it needs Java 17 or newer, by JAVA_HOME or on the PATH") from None
    except Exception as error:  # Py4J's errors have no common class that can be had without Java
        raise Unusable(f"Spark at {master} cannot be used: {_first_line(error)}") from None
    try:
        yield Spark(session)
    finally:
        with suppress(Exception):  # a cluster that has gone cannot be left in good order
            session.stop()


def _settings() -> dict[str, str]:
    """What a session is told; all else is the cluster's to say (spark-defaults.conf, SPARK_CONF_DIR)."""
    return {
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={_LOGGED.as_uri()}",
        "spark.executorEnv.POLARS_MAX_THREADS": os.environ.get("POLARS_MAX_THREADS", "1"),  # a task has one core
        "spark.driver.maxResultSize": "4g",
    }


def _check(master: str) -> None:
    """Return if a standalone master can be reached: Spark itself takes a minute to say that it cannot."""
    if not master.startswith(("spark://", "local", "yarn", "k8s://")):
        raise Unusable(f"found the Spark master {master!r}; spark://HOST:PORT, yarn, k8s://… or local[N] is expected")
    if not master.startswith("spark://"):
        return
    for each in master.removeprefix("spark://").split(","):
        address = urlsplit(f"spark://{each}")
        with suppress(OSError, ValueError), socket.create_connection((address.hostname or "", address.port or 7077), _PATIENCE):
            return
    raise Unusable(f"no Spark master answers at {master}; is it running, and its port open to this machine?")


# ── in the executors ──


def _working(function: bytes) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """What `mapInArrow` is given: rows of (number, task) become rows of `_RESULTS`."""

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from shiftlog.engine import spark

        for batch in batches:
            yield spark.answered(function, batch)

    return work


def answered(function: bytes, batch: pa.RecordBatch) -> pa.RecordBatch:
    """The results of a batch of tasks. An error of shiftlog's is a result: to try again would not change it."""
    import pyarrow as pa

    call = pickle.loads(function)  # noqa: S301 — of our own driver
    rows = []
    for task in batch.to_pylist():
        try:
            failed, result = False, call(pickle.loads(task["task"]))  # noqa: S301
        except Later:
            raise  # the store may be there for the next try, which Spark makes
        except Exception as error:
            failed, result = True, error
        rows.append({"number": task["number"], "failed": failed, "result": _pickled(result)})
    return pa.RecordBatch.from_pylist(rows, pa.schema([("number", pa.int64()), ("failed", pa.bool_()), ("result", pa.binary())]))


def _pickled(thing: Any) -> bytes:
    from pyspark import cloudpickle

    dumps: Any = cloudpickle.dumps  # untyped; where pyspark is not installed, mypy has nothing to say of it
    return bytes(dumps(thing))


# ── what went wrong ──


@contextmanager
def _explained() -> Iterator[None]:
    """Spark's own errors as ours, in a line; those of shiftlog's that ended a task, as they were."""
    try:
        yield
    except ShiftlogError:
        raise
    except Exception as error:  # Py4J's, PySpark's
        text = str(error)
        if "No module named 'shiftlog'" in text:
            raise Unusable("the Python of Spark's workers has no shiftlog; install it there, or send it along: docs/spark.md") from None
        later = next((line for line in text.splitlines() if line.startswith("shiftlog.errors.")), None)
        if later is not None:
            raise Later(f"Spark gave up a task: {later.partition(': ')[2]}") from None
        raise Unusable(f"Spark gave up: {_reason(text)}") from None


def _reason(text: str) -> str:
    """The line that says most: the last of a Python traceback, else the first."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    ends = [line for line in lines if not line.startswith(_SAYING_NOTHING)]
    python = next((i for i, line in enumerate(ends) if line.startswith("Traceback")), None)
    if python is not None:
        for line in ends[python + 1 :]:
            name, found, _ = line.partition(": ")
            if found and name.replace(".", "").isidentifier():
                return line[:300]
    return (ends or ["no reason is known"])[0][:300]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
