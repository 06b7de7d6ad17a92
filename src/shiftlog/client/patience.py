"""Trying again: what is tried, how often, and how long after. Only `Later` is tried again; all else is for the caller."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from shiftlog.errors import Later

log = structlog.get_logger()
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """Waits double from `first` to `longest` s, each shortened by chance to as little as half, so that clients do not come in step.

    A server that names a time to wait is obeyed, as long as that is not more than `obeyed` s.
    """

    attempts: int = 6
    first: float = 0.5
    longest: float = 30.0
    obeyed: float = 600.0
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random  # [0, 1)

    def persist(self, attempt: Callable[[], T], progress: Callable[[], int] = lambda: 0) -> T:
        """What `attempt` returns, once it does; where `progress` has grown, it begins to count anew.

        Raises:
            Later: as often as `attempts` in a row, or for longer than is obeyed.
        """
        failed, before = 0, progress()
        while True:
            try:
                return attempt()
            except Later as later:
                now = progress()
                failed, before = (1 if now > before else failed + 1), max(now, before)
                told = later.retry_after or 0
                if failed >= self.attempts or told > self.obeyed:
                    raise
                seconds = max(told, self.wait(failed))
                log.info("request.again", after=round(seconds, 2), failed=failed, reason=str(later))
                self.sleep(seconds)

    def wait(self, failed: int) -> float:
        """Seconds to wait after so many failures in a row, where the server says nothing."""
        return float(min(self.longest, self.first * 2 ** (failed - 1)) * (1 - self.chance() / 2))
