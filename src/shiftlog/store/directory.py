"""A store in a directory: a file an object, durable by fsync."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import RawIOBase
from pathlib import Path

from shiftlog.errors import Later, Unusable
from shiftlog.store.objects import Objects, missing, same


class Directory(Objects):
    """A store in a directory. Unlike obstore's own, a put returns only after fsync of the file and of its directory."""

    def __init__(self, root: Path) -> None:
        from obstore.store import LocalStore

        try:
            root.mkdir(parents=True, exist_ok=True)
            _probe(root)
        except OSError as error:
            raise Unusable(f"the directory {root} cannot be written: {error.strerror}") from None
        self._root = root
        self.label = f"the directory {root}"
        self._synced: set[Path] = set()
        super().__init__(LocalStore(root))

    def __reduce__(self) -> tuple[type[Directory], tuple[Path]]:
        return Directory, (self._root,)

    def put(self, key: str, data: bytes) -> None:
        with self.batch() as put:
            put(key, data)

    @contextmanager
    def batch(self) -> Iterator[Callable[[str, bytes], None]]:
        written: list[Path] = []

        def put(key: str, data: bytes) -> None:
            written.append(self._write(key, data))

        yield put
        # One after the other when all are written: the disk has most of them by then, and each wait is short. Until here
        # nobody reads them, since no catalog names them.
        for path in [*written, *{path.parent for path in written}]:
            try:
                _sync(path)
            except OSError as error:
                raise _translated(error, path) from error

    def _write(self, key: str, data: bytes) -> Path:
        target = self._root / key
        # A name that no key has, and that listings show (obstore hides `#` and digits): what a crash leaves is swept like any other.
        beside = target.with_name(f"{target.name}#half-{uuid.uuid4().hex[:8]}")
        try:
            self._make(target.parent)
            if target.exists():
                same(key, target.read_bytes(), data)
                return target
            with beside.open("xb") as file:
                file.write(data)
            beside.replace(target)
        except OSError as error:
            with suppress(OSError):
                beside.unlink()
            raise _translated(error, target) from error
        return target

    def _make(self, directory: Path) -> None:
        if directory in self._synced:
            return
        if not directory.exists():
            self._make(directory.parent)
            directory.mkdir(exist_ok=True)
            _sync(directory.parent)
        self._synced.add(directory)

    def source(self, key: str) -> str | bytes:
        path = self._root / key
        if not path.exists():
            raise missing(key)
        return str(path)

    def chunks(self, key: str, start: int, end: int) -> Iterator[bytes]:
        try:
            file = (self._root / key).open("rb", buffering=0)
        except FileNotFoundError:
            raise missing(key) from None
        return _pieces(file, start, end)

    def path(self, key: str) -> Path | None:
        return self._root / key

    def reach(self) -> None:
        try:
            _probe(self._root)
        except OSError as error:
            raise Later(f"{self.label} is not there, or cannot be written: {error.strerror}", retry_after=5) from None


def _probe(root: Path) -> None:
    """Write something, and take it away: of a disk that has failed, the permissions tell nothing."""
    probe = root / f".probe-{uuid.uuid4().hex}"
    probe.touch()
    probe.unlink()


def _pieces(file: RawIOBase, start: int, end: int) -> Iterator[bytes]:
    with file:
        file.seek(start)
        while start < end and (piece := file.read(min(1 << 20, end - start))):
            start += len(piece)
            yield piece


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _translated(error: OSError, target: Path) -> Later | Unusable:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Later(f"no space is left to write {target.name}; nothing was taken", retry_after=60)
    if error.errno in (errno.EROFS, errno.EIO):  # a disk in trouble: once it is mended, all goes on
        return Later(f"{target.name} cannot be written: {error.strerror}; nothing was taken", retry_after=60)
    return Unusable(f"{target} cannot be written: {error.strerror}")
