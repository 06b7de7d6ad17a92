"""A real Apache Spark for tests (`scripts/spark.sh`): a standalone master and two workers on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "spark.sh"


@contextmanager
def running(directory: Path, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """The master's URL; the workers' processes have these variables, too."""
    variables = {**os.environ, "PYSPARK_PYTHON": sys.executable, **(environment or {})}
    started = subprocess.run([SCRIPT, "start", directory], env=variables, stdout=subprocess.PIPE, text=True, check=True)
    try:
        yield started.stdout.strip()
    finally:
        subprocess.run([SCRIPT, "stop", directory], check=True)
