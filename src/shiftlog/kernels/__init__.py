"""What is compiled: inner loops over bytes that neither Polars nor Arrow has, each with a twin in Python that gives the same.

Wheels bring the library; where it is missing, the twins do the work.
"""

from __future__ import annotations

import ctypes
from functools import cache

from shiftlog.kernels.compile import library


@cache
def load() -> ctypes.CDLL | None:
    """The compiled library, or None. Its functions run without the interpreter's lock."""
    try:
        loaded = ctypes.CDLL(str(library()))
    except OSError:
        return None
    loaded.scan.restype = loaded.take.restype = loaded.spell.restype = loaded.sweep.restype = ctypes.c_int64
    return loaded
