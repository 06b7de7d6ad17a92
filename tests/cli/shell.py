"""A shell with one command."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import msgspec
import pytest

from shiftlog.cli import main


class Done(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return msgspec.json.decode(self.out)


class Shell:
    """Calls the entry point with arguments, which may be anything that has a text."""

    def __init__(self, captured: pytest.CaptureFixture[bytes]) -> None:
        self._captured = captured

    def __call__(self, *arguments: object) -> Done:
        sys.argv = ["shiftlog", *map(str, arguments)]
        self._captured.readouterr()
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
        sys.stdout.flush()
        out, err = self._captured.readouterr()
        return Done(code, out, err.decode())
