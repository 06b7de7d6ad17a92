"""A second copy of a deployment in a directory, made while it is at work, and the way back from it.

TO/objects/               the objects that the snapshots name, each once
TO/snapshots/TIME/        one moment (UTC): catalog.sqlite, secret.key, and SHA256SUMS of these and of the objects

A snapshot begins with the catalog, as of one moment. Objects never change, so those that it names are copied afterwards, unless they are
there already. What was deleted before it could be copied is named by no later catalog: then the snapshot begins anew, and finds most of it
done. It gets its name when all of it is durable; until then, and whatever happens, those before it stay as they are. `sha256sum -c` checks
one without shiftlog (docs/decisions/0028).
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import file_digest, sha256
from pathlib import Path

from shiftlog.catalog import deployment, sweeping, trail
from shiftlog.catalog.connection import looking
from shiftlog.errors import Damaged, Invalid, Later, Missing, Taken, Unusable
from shiftlog.house import House
from shiftlog.store import Directory

_CATALOG, _KEY, _SUMS = "catalog.sqlite", "secret.key", "SHA256SUMS"
_RESTORING = "catalog.restoring"  # what the catalog is called until all else is there
_NAME = re.compile(r"\d{8}T\d{6}\.\d{3}Z")
_TOGETHER = 64  # objects that are made durable together
_ATTEMPTS = 10  # snapshots that are begun, where objects are deleted faster than they are copied

OnBytes = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Done:
    """A snapshot: its name, what it names, what of that was copied just now, and whether the secret key is in it."""

    snapshot: str
    objects: int
    copied: int
    copied_bytes: int
    secret_key: bool


@dataclass(frozen=True, slots=True)
class Verified:
    """Snapshots and files that were looked at, and what is `wrong`, each naming the file."""

    snapshots: int
    files: int
    bytes: int
    wrong: list[str]


class _Fleeting(Exception):
    """An object was deleted, rightly, before it was copied."""


def backup(house: House, to: Path, *, keep: int = 7, on_bytes: OnBytes = lambda _: None) -> Done:
    """Add a snapshot of a deployment in a directory, and keep the last `keep`; `on_bytes` is told of bytes looked at or copied.

    Raises:
        Invalid: the deployment, or a part of it, is not in a directory, or `to` lies within it.
        Unusable: `to` is something else than its back-up, or cannot be written.
        Taken: another back-up is being made there.
        Later: there is no space.
        Damaged: the deployment has lost or changed an object; the message names it. No snapshot was made.
    """
    source = _source(house)
    to = to.expanduser().absolute()
    if to.resolve().is_relative_to(source.resolve()):
        raise Invalid(f"the back-up {to} would lie in the data directory itself; choose a place on another disk")
    with _locked(to, _mark(house)) as target:
        with house.catalog.write() as conn:
            trail.by_hand(conn, house.catalog.now(conn), None, "backup", str(to))
        for _ in range(_ATTEMPTS):
            try:
                done = _Snapshot(house, source, to, target).make(on_bytes)
            except _Fleeting:
                continue
            _tidy(to, target, keep)
            return done
    raise Later("objects are deleted faster than they can be copied to the back-up; try again in a quieter moment", retry_after=60)


class _Snapshot:
    """One that is being made."""

    def __init__(self, house: House, source: Path, to: Path, target: Directory) -> None:
        self._house, self._source, self._to, self._target = house, source, to, target
        self._before = {} if not (names := snapshots(to)) else _sums(to, names[-1])

    def make(self, on_bytes: OnBytes) -> Done:
        name = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z"
        half = self._to / "snapshots" / f"{name}.half"
        with _writing(half):
            for left in half.parent.glob("*.half"):
                shutil.rmtree(left)
            half.mkdir(mode=0o700)
            has_key = self._catalog_and_key(half)
        with looking(half / _CATALOG) as conn:
            keys, known = sorted(sweeping.named_objects(conn)), sweeping.checksums(conn)
        sums: dict[str, str] = {}
        copied = size = 0
        for some in _groups(keys):
            with self._target.batch() as put:
                for key in some:
                    sums[key], new = self._object(key, known.get(key), put, on_bytes)
                    copied, size = copied + (new > 0), size + new
        with _writing(half):
            _write_sums(half, name, sums)
            half.rename(half.with_suffix(""))
            _sync(half.parent)
        return Done(name, len(keys), copied, size, has_key)

    def _catalog_and_key(self, half: Path) -> bool:
        """The catalog, and the keys that its secrets need: keys that were changed meanwhile may be others."""
        while True:
            (half / _CATALOG).unlink(missing_ok=True)
            before = _key_of(self._house)
            self._house.catalog.copy(half / _CATALOG)
            if _key_of(self._house) == before:
                break
        (half / _CATALOG).chmod(0o600)
        if before is not None:
            with open(os.open(half / _KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 (a mode at creation)
                file.write(before)
        return before is not None

    def _object(self, key: str, known: str | None, put: Callable[[str, bytes], None], on_bytes: OnBytes) -> tuple[str, int]:
        """Its SHA-256, and how many bytes were copied."""
        there, here = self._to / "objects" / key, self._source / "objects" / key
        before = self._before.get(f"objects/{key}")
        try:
            size = here.stat().st_size
            if before is not None and before == (known or before) and there.is_file() and there.stat().st_size == size:
                on_bytes(size)
                return before, 0
            data = self._house.store.get(key)
        except (Missing, FileNotFoundError):
            raise self._lost(key) from None
        found = sha256(data).hexdigest()
        if found != (known or before or found):
            raise Damaged(f"{here} is not what was published: its SHA-256 is {found}, {known or before} is expected; no snapshot was made")
        try:
            put(key, data)
        except Damaged:  # what is in the back-up is torn, or has rotted: the bytes at hand are those that were to be there
            there.unlink()
            put(key, data)
        on_bytes(len(data))
        return found, len(data)

    def _lost(self, key: str) -> Exception:
        with self._house.catalog.read() as conn:
            named = key in sweeping.named_objects(conn)
        return Damaged(f"the catalog names {key}, and the store does not have it; no snapshot was made") if named else _Fleeting()


def snapshots(to: Path) -> list[str]:
    """The names of the complete snapshots in a back-up, the oldest first."""
    return sorted(path.name for path in (to / "snapshots").glob("*") if _NAME.fullmatch(path.name))


def verify(to: Path, *, on_bytes: OnBytes = lambda _: None) -> Verified:
    """Read every file that the snapshots of a back-up name, and compare.

    Raises:
        Missing: there is no back-up.
    """
    names = _some(to)
    expected = {path: sha for name in names for path, sha in _sums(to, name).items()}
    wrong: list[str] = []
    size = 0
    for path, sha in sorted(expected.items()):
        problem, length = _checked(to / path, sha)
        wrong += problem
        size += length
        on_bytes(length)
    return Verified(len(names), len(expected), size, wrong)


def restore(source: Path, directory: Path, *, snapshot: str | None = None, on_bytes: OnBytes = lambda _: None) -> Done:
    """Make a data directory, which must not hold anything, from a snapshot (default: the newest). Every byte is checked; stopped anywhere,
    run it again: there is no deployment before all of it is there.

    Raises:
        Missing: no back-up, or no such snapshot.
        Unusable: something is in the directory, or it cannot be written.
        Damaged: a file of the back-up was changed or is gone; the message names it. There is no deployment.
    """
    source, directory = source.expanduser().absolute(), directory.expanduser().absolute()
    names = _some(source)
    name = names[-1] if snapshot is None else snapshot
    if name not in names:
        raise Missing(f"there is no snapshot {name} in {source}; there are {', '.join(names)}")
    _check_empty(directory)
    inner, sums = f"snapshots/{name}/", _sums(source, name)
    if inner + _CATALOG not in sums:
        raise Damaged(f"{source / inner / _SUMS} does not name the catalog: it was changed")
    with _writing(directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        _put(directory / _RESTORING, _read(source, inner + _CATALOG, sums, on_bytes))
        if has_key := inner + _KEY in sums:
            _put(directory / _KEY, _read(source, inner + _KEY, sums, on_bytes))
    with looking(directory / _RESTORING) as conn:
        keys = sorted(sweeping.named_objects(conn))
    target, size = Directory(directory / "objects"), 0
    for some in _groups(keys):
        with target.batch() as put:
            for key in some:
                data = _read(source, f"objects/{key}", sums, on_bytes)
                (directory / "objects" / key).unlink(missing_ok=True)  # what an earlier try has left may be torn
                put(key, data)
                size += len(data)
    with _writing(directory):
        _sync(directory)
        (directory / _RESTORING).rename(directory / _CATALOG)
        _sync(directory)
    return Done(name, len(keys), len(keys), size, has_key)


# ── the places ──


def _source(house: House) -> Path:
    if house.directory is None or not house.catalog.one_machine or house.store.path("x") != house.directory / "objects" / "x":
        raise Invalid(
            "only a deployment that is in one data directory can be backed up so; a database server and a bucket have ways of their own "
            "(docs/deploy.md)"
        )
    return house.directory


def _mark(house: House) -> str:
    with house.catalog.read() as conn:
        return str(deployment.mark(conn))


@contextmanager
def _locked(to: Path, mark: str) -> Iterator[Directory]:
    """The objects of a back-up of this deployment, which nobody else writes meanwhile."""
    if to.exists() and not (to.is_dir() and (not any(to.iterdir()) or (to / "snapshots").is_dir())):
        raise Unusable(f"{to} is no back-up, and not empty; an empty directory, or a new one, is expected")
    with _writing(to):
        for place in (to, to / "objects", to / "snapshots"):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            place.chmod(0o700)
        lock = (to / "lock").open("wb")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Taken(f"another back-up to {to} is being made just now", retry_after=60) from None
        owner = to / "objects" / deployment.OBJECT
        if snapshots(to) and owner.exists() and owner.read_text() != mark:
            raise Unusable(f"{to} is the back-up of deployment {owner.read_text()[:40]}, this is {mark}; choose another place")
        yield Directory(to / "objects")


def _tidy(to: Path, target: Directory, keep: int) -> None:
    """Delete snapshots but the last, and then what none of them names."""
    for name in snapshots(to)[:-keep]:
        gone = to / "snapshots" / f"{name}.half"
        with _writing(gone):
            (to / "snapshots" / name).rename(gone)
            shutil.rmtree(gone)
    named = {path for name in snapshots(to) for path in _sums(to, name)}
    target.delete([found.key for found in target.list() if f"objects/{found.key}" not in named])


def _groups(keys: list[str]) -> Iterator[list[str]]:
    return (keys[start : start + _TOGETHER] for start in range(0, len(keys), _TOGETHER))


def _some(to: Path) -> list[str]:
    if not (names := snapshots(to)):
        raise Missing(f"there is no complete snapshot in {to}; shiftlog backup {to} makes one")
    return names


def _check_empty(directory: Path) -> None:
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return
    if not (directory / _RESTORING).exists() or (directory / _CATALOG).exists():
        raise Unusable(f"{directory} is not empty; an empty directory, or a new one, is expected to restore into")


# ── files ──


def _key_of(house: House) -> bytes | None:
    """The deployment's keys, where they are in its directory: elsewhere they are kept by those who have put them there."""
    file = house.within(_KEY)
    return file.read_bytes() if house.vault.in_file and not house.settings.secret_key_file and file.exists() else None


def _write_sums(half: Path, name: str, objects: dict[str, str]) -> None:
    lines = []
    for path in sorted(half.iterdir()):
        with path.open("rb") as file:
            lines.append(f"{file_digest(file, 'sha256').hexdigest()}  snapshots/{name}/{path.name}\n")
        _sync(path)
    lines += [f"{sha}  objects/{key}\n" for key, sha in objects.items()]
    _put(half / _SUMS, "".join(lines).encode())
    _sync(half)


def _sums(to: Path, name: str) -> dict[str, str]:
    file = to / "snapshots" / name / _SUMS
    try:
        lines = file.read_text().splitlines()
        return {path: sha for sha, path in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError):
        raise Damaged(f"{file} cannot be read: it was changed, or is gone") from None


def _checked(file: Path, sha: str) -> tuple[Iterable[str], int]:
    try:
        with file.open("rb") as opened:
            found = file_digest(opened, "sha256").hexdigest()
            return ([] if found == sha else [f"{file} was changed: its SHA-256 is {found}, {sha} is expected"]), opened.tell()
    except FileNotFoundError:
        return [f"{file} is gone"], 0


def _read(source: Path, path: str, sums: dict[str, str], on_bytes: OnBytes) -> bytes:
    file = source / path
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise Damaged(f"{file} is gone from the back-up") from None
    if sha256(data).hexdigest() != sums.get(path):
        raise Damaged(f"{file} was changed: its SHA-256 is not that of {_SUMS}; another snapshot may be whole: shiftlog backup --verify")
    on_bytes(len(data))
    return data


def _put(file: Path, data: bytes) -> None:
    file.unlink(missing_ok=True)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:  # noqa: PTH123 (a mode at creation)
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _writing(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unusable(f"{place} cannot be written: {error.strerror}") from None
