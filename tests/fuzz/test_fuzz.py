"""Whatever is sent ends in an answer or in one of our own errors: earlier finds, and a short run. `make fuzz` runs long."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz import campaign
from fuzz.targets import TARGETS, attempt, seeds

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found_once_is_found_no_more(name: str):
    """Inputs of earlier finds and of what is known to be hard; and what a target is made for is read."""
    for seed in seeds(name):
        attempt(TARGETS[name], seed)
    for find in sorted((CORPUS / name).glob("*")):
        attempt(TARGETS[name], find.read_bytes())


def test_a_short_run_finds_nothing(tmp_path: Path):
    """No crash, no hang, no memory without bounds, and nothing read otherwise than it says."""
    pytest.importorskip("atheris", reason="atheris is not to be had for this machine; make fuzz needs it as well")
    done = campaign.fuzz("every", 60, tmp_path, runs=3_000)
    assert done.returncode == 0, done.stdout[-3_000:]
    assert campaign.executed(done) > 0
