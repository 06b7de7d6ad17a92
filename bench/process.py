"""Processes: started small, waited for, and asked what they took."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHILD = Path(__file__).with_name("child.py")
_KIB_PER_MB = 1e6 / 1024


class Failed(Exception):
    """A process ended with an error; the message has what it said."""


def child(order: dict[str, Any], cores: int = 2) -> dict[str, Any]:
    """Have child.py do this; its answer, and `peak_mb`.

    Raises:
        Failed: it could not.
    """
    # What counts threads by the machine has to be told.
    environment = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"} if cores == 1 else {}
    with tempfile.NamedTemporaryFile() as answer:
        took = command([sys.executable, str(CHILD), json.dumps({**order, "answer": answer.name})], environment)
        return {"peak_mb": took["peak_mb"], **json.loads(Path(answer.name).read_text())}


def command(words: Sequence[str], environment: dict[str, str] | None = None) -> dict[str, float]:
    """Run a command: its `seconds` from start to end, the processors' (`cpu_s`), and the most memory it held (`peak_mb`, resident).

    Raises:
        Failed: it ended with an error.
    """
    with tempfile.TemporaryFile() as said:
        redirect = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0), (os.POSIX_SPAWN_DUP2, said.fileno(), 2)]
        start = time.perf_counter()
        pid = os.posix_spawn(words[0], words, {**_environment(), **(environment or {})}, file_actions=redirect)
        _, status, usage = os.wait4(pid, 0)
        seconds = time.perf_counter() - start
        if status:
            said.seek(0)
            raise Failed(f"{' '.join(words)[:400]} ended with {os.waitstatus_to_exitcode(status)}:\n{said.read().decode(errors='replace')}")
        return {"seconds": seconds, "peak_mb": usage.ru_maxrss / _KIB_PER_MB, "cpu_s": usage.ru_utime + usage.ru_stime}


def _environment() -> dict[str, str]:
    """That of this process, but for one variable, with which every process would compile all that it imports."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
