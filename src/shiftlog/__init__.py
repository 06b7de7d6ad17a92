"""shiftlog: agent activity of contact centres, as events, immutable hourly files, and numbers that anyone can reproduce."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shiftlog.archive import Archive, open
    from shiftlog.client import Client
    from shiftlog.errors import ShiftlogError

__all__ = ["Archive", "Client", "ShiftlogError", "open"]

# What a name is imported from when it is first asked for: importing shiftlog alone stays quick.
_ORIGINS = {"Archive": "archive", "Client": "client", "ShiftlogError": "errors", "open": "archive"}


def __getattr__(name: str) -> Any:
    if name not in _ORIGINS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ORIGINS[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
