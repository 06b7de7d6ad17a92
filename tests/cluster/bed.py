"""A whole deployment on loopback: PostgreSQL, an S3 server, servers and publishers, each a process of its own with a pid file.

    python -m cluster.bed DIR [--spark]   (make cluster) start it with a simulated load, print what to open, and end it with Ctrl-C

Everything is real, and installed by this repository's scripts. Nothing in it outlives the directory.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

import cluster_of_spark
from shiftlog.house import House
from shiftlog.settings import Settings

ROOT = Path(__file__).parents[2]
SHIFTLOG = str(Path(sys.executable).with_name("shiftlog"))
_PATIENCE = 60  # seconds


class Bed:
    """Three servers and two publishers of one catalog and one store; `settings` are for all of them."""

    def __init__(self, directory: Path, variables: dict[str, str], *, servers: int = 3, publishers: int = 2) -> None:
        """`variables` lead to catalog and store (SHIFTLOG_CATALOG, SHIFTLOG_STORE, AWS_…)."""
        self.directory = directory
        self.environment = {**os.environ, **variables, "SHIFTLOG_SECRET_KEY_FILE": str(directory / "secret.key")}
        self.servers, self.publishers = [f"server-{n}" for n in range(servers)], [f"publisher-{n}" for n in range(publishers)]
        self.ports = {name: _free_port() for name in (*self.servers, *self.publishers)}
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def urls(self) -> list[str]:
        return [self.url(name) for name in self.servers]

    def url(self, name: str) -> str:
        """Of a server; of a publisher only /metrics is there."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def start(self) -> None:
        for name in (*self.servers, *self.publishers):
            self.begin(name)
        for name in (*self.servers, *self.publishers):
            self.wait(name)

    def begin(self, name: str) -> None:
        """Start a process; it is not waited for."""
        words = ["serve", "--no-publish", "--port"] if name in self.servers else ["publish", "--watch", "--metrics-port"]
        words.append(str(self.ports[name]))
        with (self.directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen([SHIFTLOG, *words], env=self.environment, stdout=log, stderr=log, start_new_session=True)
        self._pid(name).write_text(str(process.pid))
        self._children[name] = process

    def wait(self, name: str) -> None:
        """Return when a process answers."""
        asked = f"{self.url(name)}/{'readyz' if name in self.servers else 'metrics'}"
        until = time.monotonic() + _PATIENCE
        while True:
            with suppress(httpx.TransportError):
                if httpx.get(asked).status_code == 200:
                    return
            if time.monotonic() > until:
                raise TimeoutError(f"{name} does not answer: {(self.directory / f'{name}.log').read_text()[-2000:]}")
            time.sleep(0.05)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """End a process, by its pid file; returns when it has ended."""
        with suppress(ProcessLookupError, FileNotFoundError):
            os.kill(self.pid(name), number)
            os.kill(self.pid(name), signal.SIGCONT)  # one that was stopped takes no other signal
            self._children[name].wait(_PATIENCE)
            self._pid(name).unlink()

    def stop(self) -> None:
        for name in (*self.servers, *self.publishers):
            self.kill(name, signal.SIGTERM)

    def run(self, *words: str) -> str:
        """What a command of shiftlog prints."""
        done = subprocess.run([SHIFTLOG, *words], env=self.environment, capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise RuntimeError(f"shiftlog {' '.join(words)}: {done.stderr}")
        return done.stdout

    @contextmanager
    def opened(self) -> Iterator[House]:
        """The deployment in this process, whose environment has to lead to it."""
        house = House.open(None, settings=Settings(secret_key_file=self.environment["SHIFTLOG_SECRET_KEY_FILE"], lead_milliseconds=0))
        try:
            yield house
        finally:
            house.close()

    def key(self, account: str, permissions: Sequence[str] = ("read", "write")) -> dict[str, str]:
        """A new key, and the account with it: the fields that `keys create` prints."""
        words = [word for permission in permissions for word in ("--permission", permission)]
        found: dict[str, str] = json.loads(self.run("keys", "create", "--account", account, *words, "--format", "json"))
        return found

    def log(self, name: str) -> list[dict[str, Any]]:
        """The lines of a process's log, from all of its lives."""
        lines = (self.directory / f"{name}.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def number(self, name: str, metric: str) -> float:
        """What a process counts, as Prometheus would have it."""
        found = [line.split() for line in httpx.get(f"{self.url(name)}/metrics").text.splitlines() if line.startswith(f"{metric} ")]
        return float(found[0][1])

    def pid(self, name: str) -> int:
        return int(self._pid(name).read_text())

    def _pid(self, name: str) -> Path:
        return self.directory / f"{name}.pid"


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# ── for a person ──


@contextmanager
def _backends(directory: Path) -> Iterator[dict[str, str]]:
    """PostgreSQL and the S3 server, and the variables that lead to them."""

    def script(name: str, command: str, where: Path, **more: str) -> str:
        return subprocess.run(
            [ROOT / "scripts" / name, command, where], env={**os.environ, **more}, stdout=subprocess.PIPE, text=True, check=True
        ).stdout.strip()

    try:
        catalog = script("postgresql.sh", "start", directory / "postgresql")
        s3 = dict(line.split("=", 1) for line in script("s3.sh", "start", directory / "s3", S3_OWNER=str(os.getpid())).splitlines())
        yield {"SHIFTLOG_CATALOG": catalog, "SHIFTLOG_STORE": f"s3://{s3['AWS_BUCKET']}/cluster", **s3}
    finally:
        script("s3.sh", "stop", directory / "s3")
        script("postgresql.sh", "remove", directory / "postgresql")


@contextmanager
def _spark(directory: Path, variables: dict[str, str]) -> Iterator[dict[str, str]]:
    """A master with two workers, which can reach the store, and the variables by which commands find it."""
    with cluster_of_spark.running(directory, variables) as master:
        yield {"SHIFTLOG_SPARK_MASTER": master, "PYSPARK_PYTHON": sys.executable}


def main(where: str, *options: str) -> None:
    directory = Path(where).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)  # PostgreSQL runs as another user
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("cluster: starting PostgreSQL and an S3 server", file=sys.stderr)
    with ExitStack() as stack:
        variables = stack.enter_context(_backends(directory))
        if "--spark" in options:
            print("cluster: starting a Spark master and two workers", file=sys.stderr)
            variables |= stack.enter_context(_spark(directory / "spark", variables))
        bed = Bed(directory, variables)
        print("cluster: starting 3 servers and 2 publishers", file=sys.stderr)
        key = bed.key("demo", ("read", "write", "admin"))
        bed.start()
        try:
            _show(bed, variables, key)
            _load(bed, key)
        except (KeyboardInterrupt, SystemExit):
            print("cluster: stopping", file=sys.stderr)
        finally:
            bed.stop()


def _show(bed: Bed, variables: dict[str, str], key: dict[str, str]) -> None:
    """What to open, and no secret but the account's key; the others are in a file that its owner alone can read."""
    secrets = bed.directory / "environment"
    secrets.touch(0o600)
    wanted = {**variables, "SHIFTLOG_SECRET_KEY_FILE": bed.environment["SHIFTLOG_SECRET_KEY_FILE"]}
    secrets.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in wanted.items()))
    print("\n".join(["", *(f"server     {url}" for url in bed.urls), f"account    demo\nbearer     {key['bearer']}"]))
    print("\n".join(f"publisher  {bed.url(name)}/metrics" for name in bed.publishers))
    print(f"catalog    {sa.make_url(variables['SHIFTLOG_CATALOG']).render_as_string(hide_password=True)}")
    print(f"store      {variables['SHIFTLOG_STORE']} at {variables['AWS_ENDPOINT_URL']}")
    if "SHIFTLOG_SPARK_MASTER" in variables:
        print(f"spark      {variables['SHIFTLOG_SPARK_MASTER']}")
    print(f"logs       {bed.directory}/*.log, pids in *.pid: kill one, and look what happens")
    print(f"commands   . {secrets}; {SHIFTLOG} doctor")
    print("\nOpen any of the servers and sign in with the bearer token; metrics are at /metrics. Ctrl-C ends all of it.\n")


def _load(bed: Bed, key: dict[str, str]) -> None:
    """Yesterday and today of 200 agents, as they happen, sent to the servers by turns; until it is interrupted."""
    from shiftlog.client import Client, Profile
    from shiftlog.client.patience import Patience
    from shiftlog.errors import Later
    from shiftlog.events import SENT
    from shiftlog.hours import DAY
    from shiftlog.simulate import simulate

    clients = [Client(Profile(url, "demo", bearer=key["bearer"]), patience=Patience(attempts=2)) for url in bed.urls]
    first = (int(time.time() * 1000) // DAY - 1) * DAY
    arrivals = simulate("demo", agents=200, days=3, start=first, seed=1).arrivals()
    sent = turn = 0
    while True:
        due = int((arrivals["arrivesAt"] <= int(time.time() * 1000)).sum())
        while sent < due:
            turn += 1
            batch = arrivals.slice(sent, min(due - sent, 5_000))
            try:
                clients[turn % len(clients)].post_events(batch.select(SENT.keys()))
                sent += batch.height
            except Later as error:
                print(f"cluster: sent again to the next server, since {error}", file=sys.stderr)
                time.sleep(0.2)
        print(f"\rcluster: {sent} events sent", end="", file=sys.stderr)
        time.sleep(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
