"""Fuzz one target with atheris (libFuzzer): `run.py NAME [libFuzzer's options] CORPUS…`. Ends with its exit code: 0, nothing found."""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))

atheris.enabled_hooks.add("str")  # prefixes decide much here, and are no branches of Python's

with atheris.instrument_imports(include=["shiftlog", "fuzz"]):
    from fuzz.targets import TARGETS, attempt, every


def main() -> None:
    name, *options = sys.argv[1:]
    target = every if name == "every" else TARGETS[name]
    atheris.Setup([sys.argv[0], *options], lambda data: attempt(target, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
