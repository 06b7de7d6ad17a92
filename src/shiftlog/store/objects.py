"""What every store promises, and the parts of it that all of obstore's back-ends do alike."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from shiftlog.errors import Damaged, Missing

if TYPE_CHECKING:
    import polars as pl
    from obstore.store import ObjectStore


@dataclass(frozen=True, slots=True)
class Object:
    """One object as a listing shows it: bytes, and the time of its last change in epoch ms, by the store's clock."""

    key: str
    size: int
    modified: int


class Store(Protocol):
    """What shiftlog asks of a place for bytes.

    Every method raises Later where the store is full, busy or does not answer, and Unusable where an operator has to act.
    """

    @property
    def label(self) -> str:
        """What it is called in messages."""

    @property
    def distant(self) -> bool:
        """Whether asking takes its time, so that it is better to ask for several things at once."""

    def put(self, key: str, data: bytes) -> None:
        """Store `data`, durably: when this returns, a crash of the machine does not lose it. To repeat it is harmless.

        Raises:
            Damaged: the key holds other bytes; they stay.
        """

    def batch(self) -> AbstractContextManager[Callable[[str, bytes], None]]:
        """A `put` for many objects, which are durable when the block ends; may be used from several threads."""

    def get(self, key: str) -> bytes:
        """All bytes of an object.

        Raises:
            Missing: no such object.
        """

    def several(self, keys: Iterable[str]) -> Iterator[bytes]:
        """The bytes of objects, in this order; where asking takes its time, the next ones are fetched meanwhile.

        Raises:
            Missing: no such object.
        """

    def sources(self, keys: Iterable[str]) -> Iterator[str | bytes]:
        """What Polars scans, for each of several objects: a path where there is one, else the bytes.

        Raises:
            Missing: no such object.
        """

    def source(self, key: str) -> str | bytes:
        """What Polars scans, for one object."""

    def chunks(self, key: str, start: int, end: int) -> Iterator[bytes]:
        """The bytes [start, end) of an object, in pieces; opened at once.

        Raises:
            Missing: no such object.
        """

    def path(self, key: str) -> Path | None:
        """The file that holds the object, where the store is a directory."""

    def signed(self, key: str, seconds: int) -> str | None:
        """A URL from which whoever has it can get the object for so long, where the store can make one. It is a secret."""

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; those that are not there are not missed."""

    def list(self, prefix: str = "") -> Iterator[Object]:
        """All objects whose key begins with the directory `prefix`."""

    def reach(self) -> None:
        """Return if the store answers, and can be written as far as that can be seen at little cost."""


def scan(store: Store, keys: Iterable[str]) -> pl.LazyFrame:
    """The rows of Parquet objects of one schema, in one scan; at least one.

    Raises:
        Missing: an object is not there.
    """
    import polars as pl

    sources = store.sources(keys)
    return pl.scan_parquet([source if isinstance(source, str) else io.BytesIO(source) for source in sources])  # type: ignore[arg-type]


class Objects:
    """What obstore's back-ends do alike, where they are near: in memory, in a directory."""

    label = "memory"
    distant = False

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner

    @contextmanager
    def batch(self) -> Iterator[Callable[[str, bytes], None]]:
        yield self.put

    def put(self, key: str, data: bytes) -> None:
        from obstore.exceptions import AlreadyExistsError

        try:
            self._inner.put(key, data, mode="create")
        except AlreadyExistsError:
            same(key, self.get(key), data)

    def get(self, key: str) -> bytes:
        try:
            return bytes(self._inner.get(key).bytes())
        except FileNotFoundError:
            raise missing(key) from None

    def several(self, keys: Iterable[str]) -> Iterator[bytes]:
        return (self.get(key) for key in keys)

    def sources(self, keys: Iterable[str]) -> Iterator[str | bytes]:
        return (self.source(key) for key in keys)

    def source(self, key: str) -> str | bytes:
        return self.get(key)

    def chunks(self, key: str, start: int, end: int) -> Iterator[bytes]:
        return iter((self.get(key)[start:end],))

    def path(self, key: str) -> Path | None:
        return None

    def signed(self, key: str, seconds: int) -> str | None:
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

    def reach(self) -> None:
        return None


class Memory(Objects):
    """A store in this process, for tests and trials."""

    def __init__(self) -> None:
        from obstore.store import MemoryStore

        super().__init__(MemoryStore())


def missing(key: str) -> Missing:
    """There is no such object."""
    return Missing(f"the store has no object {key}")


def same(key: str, there: bytes, data: bytes) -> None:
    """Return if a key holds the bytes that were to be written: the answer to an earlier try may have been lost.

    Raises:
        Damaged: it holds others.
    """
    if there != data:
        raise Damaged(f"the store has an object {key} already, of other bytes; it was not overwritten")
