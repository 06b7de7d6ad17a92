"""A running deployment of three servers and two publishers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.bed import Bed
from database import Postgresql
from s3 import Server


@pytest.fixture
def bed(tmp_path: Path, s3: str, s3_server: Server, postgresql: Postgresql, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bed]:
    """Running; a part is visible 200 ms after its commit, and a publisher is dead after 3 s without a sign of life."""
    with postgresql.database() as catalog:
        variables = {
            **s3_server.environment,
            "SHIFTLOG_CATALOG": catalog,
            "SHIFTLOG_STORE": s3,
            "SHIFTLOG_LEAD_MILLISECONDS": "200",
            "SHIFTLOG_LEASE_SECONDS": "3",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        bed = Bed(tmp_path, variables)
        bed.key("first")  # whoever comes first makes the tables
        bed.start()
        try:
            yield bed
        finally:
            bed.stop()
