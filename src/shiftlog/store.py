"""Bytes by key: a directory, S3, GCS, Azure or memory, over obstore.

Keys are relative paths with `/`. Objects are written whole or not at all, and never written twice: every writer uses a
key of its own. What exists is the catalog's to say; listing is for garbage collection only.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol
from urllib.parse import urlsplit

from shiftlog.errors import Invalid, Later, Missing, Unusable

if TYPE_CHECKING:
    from obstore.store import ObjectStore


@dataclass(frozen=True, slots=True)
class Object:
    """One object as a listing shows it: bytes, and the time of its last change in epoch ms."""

    key: str
    size: int
    modified: int


class Store(Protocol):
    """What shiftlog asks of a place for bytes."""

    def put(self, key: str, data: bytes) -> None:
        """Store `data`, durably: when this returns, a crash of the machine does not lose it.

        Raises:
            Later: the store is full or does not answer.
        """

    def batch(self) -> AbstractContextManager[Callable[[str, bytes], None]]:
        """A `put` for many objects, which are durable when the block ends; may be used from several threads."""

    def get(self, key: str) -> bytes:
        """All bytes of an object.

        Raises:
            Missing: no such object.
        """

    def source(self, key: str) -> str | bytes:
        """What Polars scans: a path where there is one, else the bytes.

        Raises:
            Missing: no such object.
        """

    def chunks(self, key: str, start: int, end: int) -> Iterator[bytes]:
        """The bytes [start, end) of an object, in pieces.

        Raises:
            Missing: no such object.
        """

    def path(self, key: str) -> Path | None:
        """The file that holds the object, where the store is a directory."""

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; those that are not there are not missed."""

    def list(self, prefix: str = "") -> Iterator[Object]:
        """All objects whose key begins with the directory `prefix`."""


def open_store(url: str) -> Store:
    """The store of a URL: a directory's path or `file://`, `memory://`, `s3://bucket/prefix`, `gs://…`, `az://…`.

    Raises:
        Invalid: no store is known for this scheme.
        Unusable: the directory cannot be written.
    """
    scheme = urlsplit(url).scheme if "://" in url else ""
    opener = _OPENERS.get(scheme)
    if opener is None:
        raise Invalid(f"no store is known for {scheme}://; a directory, {', '.join(f'{s}://' for s in _OPENERS if s)} are")
    return opener(url)


class ObjectStoreStore:
    """A store over any of obstore's back-ends."""

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner

    def put(self, key: str, data: bytes) -> None:
        self._inner.put(key, data)

    @contextmanager
    def batch(self) -> Iterator[Callable[[str, bytes], None]]:
        yield self.put

    def get(self, key: str) -> bytes:
        try:
            return bytes(self._inner.get(key).bytes())
        except FileNotFoundError:
            raise _missing(key) from None

    def source(self, key: str) -> str | bytes:
        return self.get(key)

    def chunks(self, key: str, start: int, end: int) -> Iterator[bytes]:
        if start >= end:
            return iter(())  # back-ends refuse such a range
        try:
            result = self._inner.get(key, options={"range": (start, end)})
        except FileNotFoundError:
            raise _missing(key) from None
        return (bytes(chunk) for chunk in result.stream(min_chunk_size=1 << 20))

    def path(self, key: str) -> Path | None:
        return None

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            try:
                self._inner.delete(key)
            except FileNotFoundError:
                continue

    def list(self, prefix: str = "") -> Iterator[Object]:
        for batch in self._inner.list(prefix or None):
            for meta in batch:
                yield Object(meta["path"], meta["size"], int(meta["last_modified"].timestamp() * 1000))


class Directory(ObjectStoreStore):
    """A store in a directory. Unlike obstore's own, a put returns only after fsync of the file and of its directory."""

    def __init__(self, root: Path) -> None:
        from obstore.store import LocalStore

        try:
            root.mkdir(parents=True, exist_ok=True)
            probe = root / f".probe-{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise Unusable(f"the directory {root} cannot be written: {error.strerror}") from None
        self._root = root
        self._synced: set[Path] = set()
        super().__init__(LocalStore(root))

    def put(self, key: str, data: bytes) -> None:
        with self.batch() as put:
            put(key, data)

    @contextmanager
    def batch(self) -> Iterator[Callable[[str, bytes], None]]:
        written: list[Path] = []

        def put(key: str, data: bytes) -> None:
            written.append(self._write(self._root / key, data))

        yield put
        # One after the other when all are written: the disk has most of them by then, and each wait is short. Until here
        # nobody reads them, since no catalog names them.
        for path in [*written, *{path.parent for path in written}]:
            try:
                _sync(path)
            except OSError as error:
                raise _translated(error, path) from error

    def _write(self, target: Path, data: bytes) -> Path:
        # A name that no key has, and that listings show (obstore hides `#` and digits): what a crash leaves is swept like any other.
        beside = target.with_name(f"{target.name}#half-{uuid.uuid4().hex[:8]}")
        try:
            self._make(target.parent)
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
            raise _missing(key)
        return str(path)

    def chunks(self, key: str, start: int, end: int) -> Iterator[bytes]:
        try:
            file = (self._root / key).open("rb")
        except FileNotFoundError:
            raise _missing(key) from None
        return _pieces(file, start, end)

    def path(self, key: str) -> Path | None:
        return self._root / key


def _pieces(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
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
    return Unusable(f"{target} cannot be written: {error.strerror}")


def _missing(key: str) -> Missing:
    return Missing(f"the store has no object {key}")


def _directory(url: str) -> Store:
    return Directory(Path(url.removeprefix("file://")).expanduser().absolute())


def _memory(url: str) -> Store:
    from obstore.store import MemoryStore

    return ObjectStoreStore(MemoryStore())


def _remote(url: str) -> Store:
    from obstore.store import from_url

    return ObjectStoreStore(from_url(url))


_OPENERS: dict[str, Callable[[str], Store]] = {
    "": _directory,
    "file": _directory,
    "memory": _memory,
    "s3": _remote,
    "gs": _remote,
    "az": _remote,
}
