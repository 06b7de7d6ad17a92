"""What the figures were measured on, and with."""

from __future__ import annotations

import os
import platform
import re
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_LIBRARIES = ("polars", "duckdb", "pandas", "pyarrow", "arro3-core", "isal", "msgspec", "granian")


def line() -> str:
    """The machine and the versions, in one line."""
    cpu = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    parts = [
        time.strftime("%Y-%m-%d", time.gmtime()),
        f"{cores} × {cpu[1] if cpu else platform.machine()}",
        f"{memory:.0f} GiB",
        f"{platform.system()} {platform.release()}",
        f"load {os.getloadavg()[0]:.1f} before",
        f"Python {platform.python_version()}",
        *(f"{name} {found}" for name in _LIBRARIES if (found := _version(name))),
    ]
    return " · ".join(parts)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
