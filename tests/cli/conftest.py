"""The command line in this process: what a command prints, and how it exits."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import structlog
from shell import Shell


@pytest.fixture
def shiftlog(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Iterator[Shell]:
    """Runs a command as the entry point does."""
    monkeypatch.delenv("SHIFTLOG_DATA", raising=False)
    monkeypatch.setattr(sys, "argv", sys.argv)
    before = structlog.get_config()
    yield Shell(capfdbinary)
    # The command line sends its log to the standard error of its time, which is closed by the next test's.
    structlog.configure(**before)
