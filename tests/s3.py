"""A real S3 server for tests (`scripts/s3.sh`): started once for all processes of a run, and ended with it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "s3.sh"
_NOT_HERE = 3


@dataclass(frozen=True)
class Server:
    """A running server: what it has in a directory, and the variables that lead to it."""

    directory: Path
    environment: dict[str, str]

    @classmethod
    def start(cls, directory: Path) -> Server:
        """Start it, or find it started; the tests are skipped where it cannot be had."""
        # The processes of a run are children of one that outlives them: the server ends after it, however it ends.
        owner = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
        done = subprocess.run([SCRIPT, "start", directory], env={**os.environ, "S3_OWNER": str(owner)}, stdout=subprocess.PIPE, text=True)
        if done.returncode == _NOT_HERE:
            warnings.warn("NOTHING WAS TESTED AGAINST S3: no server can be had here (see above)", stacklevel=2)
            pytest.skip("no S3 server can be had here")
        assert done.returncode == 0
        return cls(directory, dict(line.split("=", 1) for line in done.stdout.splitlines()))

    @property
    def endpoint(self) -> str:
        return self.environment["AWS_ENDPOINT_URL"]

    def place(self) -> str:
        """The URL of a store that nobody else uses."""
        return f"s3://{self.environment['AWS_BUCKET']}/{uuid.uuid4().hex[:12]}"

    # ── what befalls it ──

    @property
    def _gateway(self) -> int:
        return int((self.directory / "s3" / "rgw.pid").read_text())

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """It neither answers nor ends connections."""
        os.kill(self._gateway, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._gateway, signal.SIGCONT)

    @contextmanager
    def killed(self) -> Iterator[None]:
        """It is gone; afterwards it is there again, with all that it had acknowledged."""
        pid = self._gateway
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
            time.sleep(0.01)
        try:
            yield
        finally:
            self.start(self.directory)
