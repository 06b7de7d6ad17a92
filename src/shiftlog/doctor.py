"""What a deployment needs to work, looked at piece by piece, with what to do where something is wrong.

Every check is a function of an open deployment that gives findings; it changes nothing but a probe object, which it deletes.
"""

from __future__ import annotations

import importlib.util
import platform
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version

import sqlalchemy as sa

from shiftlog import hours, kernels
from shiftlog.catalog import accounts, forgetting, migrate, parts, publishing
from shiftlog.catalog.connection import SAFE_WAL
from shiftlog.errors import ShiftlogError
from shiftlog.hours import HOUR, MINUTE, SECOND, iso
from shiftlog.house import House

_EXTRAS = {"charts": "altair", "sql": "duckdb", "avro": "fastavro", "postgresql": "psycopg", "pgp": "pysequoia", "spark": "pyspark"}
_FREE_BYTES = 5 << 30
_SKEW = 2 * SECOND  # the catalog's clock stamps parts, this machine's checks signatures
_SLOW = 1.0  # seconds for one small object
_SAMPLE = 20  # of an account's newest parts, whose bytes are looked for


class Verdict(StrEnum):
    """What a finding means: nothing to do, worth a look, or broken."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and what to do about it (empty where there is nothing to do)."""

    check: str
    verdict: Verdict
    found: str
    advice: str = ""


def examine(house: House) -> Iterator[Finding]:
    """All findings, in the order of the checks; a check that fails by itself is a finding too."""
    for check in _CHECKS:
        try:
            yield from check(house)
        except ShiftlogError as error:
            yield Finding(check.__name__.strip("_"), Verdict.FAILED, str(error), "see the message; then run shiftlog doctor again")


def _judged(check: str, found: str, *wrong: tuple[bool, Verdict, str]) -> Finding:
    """The first of `wrong` (whether it is so, how bad that is, what to do) that is so, else that all is well."""
    return next((Finding(check, verdict, found, advice) for so, verdict, advice in wrong if so), Finding(check, Verdict.OK, found))


# ── this process ──


def _versions(house: House) -> Iterator[Finding]:
    there = [extra for extra, module in _EXTRAS.items() if importlib.util.find_spec(module)]
    libraries = ", ".join(f"{name} {version(name)}" for name in ("polars", "obstore", "sqlalchemy", "granian"))
    yield Finding("version", Verdict.OK, f"shiftlog {version('shiftlog')}, Python {platform.python_version()}, {libraries}")
    yield Finding("extras", Verdict.OK, ", ".join(there) or "none")
    compiled = kernels.load() is not None
    advice = "files and numbers take several times as long, and are the same: install a wheel, or have a C compiler (cc) and install again"
    yield _judged("kernels", "compiled" if compiled else "missing", (not compiled, Verdict.WARNING, advice))


def _permissions(house: House) -> Iterator[Finding]:
    private = () if house.directory is None else ((house.directory, 0o700), (house.directory / "secret.key", 0o600))
    for path, allowed in private:
        if path.exists():
            mode = stat.S_IMODE(path.stat().st_mode)
            open_to_others = bool(mode & 0o077 & ~allowed)
            advice = f"others on this machine can read it: chmod {allowed:o} {path}"
            yield _judged("permissions", f"{path} has mode {mode:o}", (open_to_others, Verdict.WARNING, advice))


# ── the catalog ──


def _catalog(house: House) -> Iterator[Finding]:
    engine = house.catalog.engine
    began = time.perf_counter()
    with house.catalog.read() as conn:
        conn.execute(sa.text("SELECT 1"))
        server = _server_version(conn)
    milliseconds = (time.perf_counter() - began) * 1000
    found = f"{server}, version {migrate.version(engine)}, answers in {milliseconds:.1f} ms"
    yield _judged(
        "catalog", found, (milliseconds > 250, Verdict.WARNING, "every request waits for it: move it nearer, or find what it does")
    )
    with house.catalog.write() as conn:
        nested = conn.begin_nested()
        conn.execute(sa.text("CREATE TABLE shiftlog_doctor (x INTEGER)"))
        nested.rollback()
    yield Finding("catalog", Verdict.OK, "can be written")
    if house.catalog.one_machine:
        yield from _sqlite(house)


def _server_version(conn: sa.Connection) -> str:
    sqlite = conn.dialect.name == "sqlite"
    text = conn.scalar(sa.text("SELECT sqlite_version()" if sqlite else "SHOW server_version"))
    return f"{'SQLite' if sqlite else 'PostgreSQL'} {text}"


def _sqlite(house: House) -> Iterator[Finding]:
    with house.catalog.read() as conn:
        text = str(conn.scalar(sa.text("SELECT sqlite_version()")))
        mode = str(conn.scalar(sa.text("PRAGMA journal_mode")))
        problems = [str(row[0]) for row in conn.execute(sa.text("PRAGMA quick_check(5)"))]
    old = tuple(map(int, text.split("."))) < SAFE_WAL
    advice = "it can lose commits in WAL mode, so WAL is off and readers wait for writers: install a pysqlite3 wheel, or use PostgreSQL"
    yield _judged("sqlite", f"SQLite {text}, journal mode {mode}", (old, Verdict.WARNING, advice))
    damaged = problems != ["ok"]
    yield _judged("sqlite", f"quick_check: {'; '.join(problems)}", (damaged, Verdict.FAILED, "stop the server and restore the last backup"))


def _clock(house: House) -> Iterator[Finding]:
    before = time.time_ns() // 1_000_000
    theirs = house.catalog.now()
    skew = abs(theirs - (before + time.time_ns() // 1_000_000) // 2)
    advice = "clients' signatures and events are judged by a wrong clock: let NTP set both machines"
    yield _judged("clock", f"this machine and the catalog differ by {skew} ms", (skew > _SKEW, Verdict.FAILED, advice))


# ── the store ──


def _store(house: House) -> Iterator[Finding]:
    key, data = f"probe/doctor-{secrets.token_hex(8)}", secrets.token_bytes(1_000)
    began = time.perf_counter()
    house.store.put(key, data)
    try:
        same = house.store.get(key) == data
        written = next((item.modified for item in house.store.list("probe") if item.key == key), None)
    finally:
        house.store.delete([key])
    seconds = time.perf_counter() - began
    yield _judged(
        "store",
        f"an object was written, read, listed and deleted in {seconds * 1000:.0f} ms",
        (not same, Verdict.FAILED, "what was read is not what was written: do not use this store"),
        (written is None, Verdict.FAILED, "a written object is not in the listing: garbage collection cannot work on this store"),
        (seconds > _SLOW, Verdict.WARNING, "every batch of events waits for the store: move it nearer, or find what slows it down"),
    )
    if written is not None:
        skew = abs(written - house.catalog.now())
        advice = "garbage collection judges objects' ages by it: set the store's clock"
        yield _judged("store", f"its clock and the catalog's differ by about {skew} ms", (skew > 5 * MINUTE, Verdict.FAILED, advice))


def _space(house: House) -> Iterator[Finding]:
    place = house.store.path("landing")
    if place is not None:
        free = shutil.disk_usage(place.parent).free
        advice = "a full disk refuses events: make room, or lower SHIFTLOG_HISTORY_DAYS"
        yield _judged("disk", f"{free / 1e9:.1f} GB are free", (free < _FREE_BYTES, Verdict.WARNING, advice))


# ── the work ──


def _states(house: House) -> Iterable[tuple[str, publishing.State]]:
    with house.catalog.read() as conn:
        return [(known.account, publishing.state(conn, known.account)) for known in accounts.every(conn)]


def _landing(house: House) -> Iterator[Finding]:
    states = list(_states(house))
    waiting = sum(state.landed - state.consumed for _, state in states)
    empty = not states
    yield _judged("accounts", f"{len(states)} accounts, {waiting} batches of events wait to be published", (empty, Verdict.OK, _FIRST_KEY))


_FIRST_KEY = "there is no account yet; one comes into being with its first key: shiftlog keys create"


def _lag(house: House) -> Iterator[Finding]:
    now = house.catalog.now()
    due = hours.due(now, house.settings.grace)
    for account, state in _states(house):
        if state.landed == 0:
            continue
        with house.catalog.read() as conn:
            aside = publishing.set_aside(conn, account)
        reached = "nothing is published yet" if state.watermark is None else f"published up to {iso(state.watermark)}"
        # One hour may just be under way.
        late = due - HOUR > (state.watermark or 0)
        advice = "no publisher keeps up: is shiftlog serve (without --no-publish) or shiftlog publish running? its log says what fails"
        yield _judged(
            f"account {account}",
            f"{reached}, due up to {iso(due)}; {aside} late events set aside",
            (late, Verdict.FAILED, advice),
            (aside > 0, Verdict.WARNING, "these came after the history of their sessions was deleted: send events earlier, or keep more"),
        )


def _bytes(house: House) -> Iterator[Finding]:
    """Whether the newest parts' bytes are there; `shiftlog verify` reads all of them."""
    lost: list[str] = []
    looked = 0
    for account, state in _states(house):
        with house.catalog.read() as conn:
            newest = parts.manifest(conn, account, now=house.catalog.now(conn), after=max(0, state.last_seq - _SAMPLE), limit=_SAMPLE)
        for part in newest:
            keys = [key for key, gone in ((part.gz_key, part.gz_gone), (part.twin_key, part.twin_gone)) if gone is None]
            looked += len(keys)
            lost += [f"{account}: {part.name}" for key in keys if not _there(house, key)]
    shown = f"{looked} objects of the newest parts were looked for, {len(lost)} are missing {', '.join(lost[:3])}".strip()
    yield _judged("objects", shown, (bool(lost), Verdict.FAILED, "the store has lost what the catalog names: restore it from a backup"))


def _forgotten(house: House) -> Iterator[Finding]:
    """Whether every agent who was to be forgotten is."""
    with house.catalog.read() as conn:
        left = forgetting.unfinished(conn)
    shown = (
        "nobody is half forgotten"
        if not left
        else f"an agent of {', '.join(left)} was to be forgotten, and what was done for it was stopped"
    )
    yield _judged("forgotten", shown, (bool(left), Verdict.FAILED, "run shiftlog forget again for that agent"))


def _there(house: House, key: str) -> bool:
    try:
        next(iter(house.store.chunks(key, 0, 1)), b"")
    except ShiftlogError:
        return False
    return True


def healthy(findings: Iterable[Finding]) -> bool:
    """Whether nothing failed."""
    return all(finding.verdict is not Verdict.FAILED for finding in findings)


#: In their order.
_CHECKS: tuple[Callable[[House], Iterator[Finding]], ...] = (
    _versions,
    _permissions,
    _catalog,
    _clock,
    _store,
    _space,
    _landing,
    _lag,
    _forgotten,
    _bytes,
)
