"""A store in a bucket: S3 and what speaks like it, Google Cloud Storage, Azure. Asking takes its time, and can fail in between.

A put is durable when the service acknowledges it. What may help is tried again within bounds (`Patience`); what comes out of it is
Later, and what an operator has to do something about is Unusable and says what.
"""

from __future__ import annotations

import re
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from shiftlog.errors import ShiftlogError
from shiftlog.store import troubles
from shiftlog.store.objects import Object, missing, same
from shiftlog.store.shelf import Shelf

if TYPE_CHECKING:
    from obstore.store import AzureStore, ClientConfig, GCSStore, RetryConfig, S3Store

T = TypeVar("T")
R = TypeVar("R")

_PIECE = 2 << 20  # bytes asked for at a time where an object is sent on: what a slow reader holds in memory
_LARGE = 16 << 20  # bytes: larger objects are put in parts of half of it, a few at a time
_AHEAD = 4  # objects that are fetched at once
_PUTS = 8  # objects that are put at once; as many again may wait, in memory
_DELETED = 1_000  # keys deleted by one request, where the service can

#: How objects are labelled, so that a browser which gets one from the bucket itself knows what it is.
_MEDIA = {"gz": "application/gzip", "parquet": "application/vnd.apache.parquet"}
_ATTEMPT = re.compile(r"\.[0-9a-f]{12}(?=\.\w+\Z)")  # what makes a part's key unique, and is no part of its name


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited for an answer (`read`, s, between two bytes), and how often and how long (`total`, s) is tried again."""

    read: int
    retries: int
    total: int

    @property
    def client_options(self) -> ClientConfig:
        # No limit for a whole request: a large object over a slow line may take its time, as long as bytes come.
        return {"connect_timeout": "5s", "read_timeout": f"{self.read}s", "timeout": "15m"}

    @property
    def retry_config(self) -> RetryConfig:
        backoff = {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=3), "base": 2}
        return {"max_retries": self.retries, "retry_timeout": timedelta(seconds=self.total), "backoff": backoff}  # type: ignore[typeddict-item]


#: For the work; shorter than clients wait for their answer (60 s), also where the last try begins late.
STEADY = Patience(read=20, retries=8, total=25)
#: For the question whether the store is there.
QUICK = Patience(read=5, retries=2, total=5)


class Bucket:
    """A store in a bucket; `open` makes its client with more or less patience. What Polars reads is kept for the next who reads it,
    up to `room` bytes."""

    distant = True

    def __init__(
        self,
        label: str,
        hints: troubles.Hints,
        open: Callable[[Patience], S3Store | GCSStore | AzureStore],
        room: int = 0,
        *,
        again: Callable[[], Bucket] | None = None,
    ) -> None:
        self.label, self._hints, self._again = label, hints, again
        self._shelf = Shelf(room)
        self._inner, self._quick = open(STEADY), open(QUICK)
        self._conditional = True  # until the service says that it cannot

    def __reduce__(self) -> tuple[Callable[[], Bucket], tuple[()]]:
        """In another process the store is opened anew (`again`); its keys do not travel."""
        if self._again is None:
            raise TypeError("this bucket cannot be opened in another process")
        return self._again, ()

    def probe(self) -> None:
        """Put a small object, and delete it.

        Raises:
            Unusable: the store cannot be reached or written; the message says what to do.
        """
        key = f"probe/{uuid.uuid4().hex}"
        try:
            with self._asking(key):
                self._put_small(self._quick, key, b"shiftlog")
                self._quick.delete(key)
        except ShiftlogError as error:
            raise troubles.at_start(error, self._hints) from None

    def reach(self) -> None:
        with self._asking(""):
            next(iter(self._quick.list("landing", chunk_size=1)), None)

    # ── writing ──

    def put(self, key: str, data: bytes) -> None:
        with self._asking(key):
            if len(data) > _LARGE:
                self._put_large(key, data)
            else:
                self._put_small(self._inner, key, data)

    def _put_small(self, inner: S3Store | GCSStore | AzureStore, key: str, data: bytes) -> None:
        from obstore.exceptions import AlreadyExistsError, BaseError

        if self._conditional:
            try:
                inner.put(key, data, mode="create", attributes=_labels(key))
            except AlreadyExistsError:
                same(key, self.get(key), data)
            except BaseError as error:
                if not troubles.is_not_offered(error):
                    raise
                self._conditional = False
            else:
                return
        if not self._conditional:
            inner.put(key, data, mode="overwrite", attributes=_labels(key))

    def _put_large(self, key: str, data: bytes) -> None:
        # There is no condition for what is put in parts; keys are unique, so nobody comes in between.
        try:
            self._inner.head(key)
        except FileNotFoundError:
            self._inner.put(key, data, use_multipart=True, chunk_size=_LARGE // 2, max_concurrency=4, attributes=_labels(key))
        else:
            same(key, self.get(key), data)

    @contextmanager
    def batch(self) -> Iterator[Callable[[str, bytes], None]]:
        with ThreadPoolExecutor(_PUTS, "put") as pool:
            puts = _Puts(pool, self.put)
            try:
                yield puts.put
                puts.finish()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def delete(self, keys: Iterable[str]) -> None:
        wanted = iter(keys)
        while some := list(islice(wanted, _DELETED)):
            self._shelf.drop(some)
            with self._asking(some[0]):
                self._delete(some)

    def _delete(self, keys: Sequence[str]) -> None:
        try:
            self._inner.delete(keys)
        except FileNotFoundError:
            if len(keys) > 1:  # Google's and Azure's miss what is not there
                for key in keys:
                    self._delete([key])

    # ── reading ──

    def get(self, key: str) -> bytes:
        with self._asking(key):
            return bytes(self._inner.get(key).bytes())

    def several(self, keys: Iterable[str]) -> Iterator[bytes]:
        return _ahead(self.get, keys)

    def sources(self, keys: Iterable[str]) -> Iterator[str | bytes]:
        return _ahead(self.source, keys)

    def source(self, key: str) -> str | bytes:
        # Whole: a twin is no larger than a part, its readers ask for most of its columns, and an answer is one request.
        return self._shelf.get(key, self.get)

    def chunks(self, key: str, start: int, end: int) -> Iterator[bytes]:
        if start >= end:
            return iter(())  # services refuse such a range
        with self._asking(key):
            result = self._inner.get(key, options={"range": (start, min(start + _PIECE, end))})
            first, size = bytes(result.bytes()), result.meta["size"]
        # A request for each piece: one for all would be held open as long as the slowest reader likes, which services do not.
        rest = range(start + len(first), min(end, size), _PIECE)
        return chain((first,), (self._range(key, at, min(at + _PIECE, end, size)) for at in rest))

    def _range(self, key: str, start: int, end: int) -> bytes:
        with self._asking(key):
            return bytes(self._inner.get_range(key, start=start, end=end))

    def path(self, key: str) -> Path | None:
        return None

    def signed(self, key: str, seconds: int) -> str | None:
        import obstore

        with self._asking(key):
            return obstore.sign(self._inner, "GET", key, timedelta(seconds=seconds))

    def list(self, prefix: str = "") -> Iterator[Object]:
        with self._asking(prefix):
            for batch in self._inner.list(prefix or None):
                for meta in batch:
                    yield Object(meta["path"], meta["size"], int(meta["last_modified"].timestamp() * 1000))

    # ── what goes wrong ──

    @contextmanager
    def _asking(self, key: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except FileNotFoundError as error:
            if troubles.is_bucket_missing(error):
                raise troubles.understood(error, self.label, self._hints) from None
            raise missing(key) from None
        except BaseError as error:
            raise troubles.understood(error, self.label, self._hints) from None


class _Puts:
    """Puts in threads, of which no more wait than that memory is bounded; after one that failed there is no other."""

    def __init__(self, pool: ThreadPoolExecutor, put: Callable[[str, bytes], None]) -> None:
        self._pool, self._put = pool, put
        self._room = threading.BoundedSemaphore(2 * _PUTS)
        self._futures: list[Future[None]] = []
        self._failed: BaseException | None = None

    def put(self, key: str, data: bytes) -> None:
        self._room.acquire()
        self._raise()
        future = self._pool.submit(self._put, key, data)
        self._futures.append(future)
        future.add_done_callback(self._done)

    def finish(self) -> None:
        for future in self._futures:
            future.result()

    def _done(self, future: Future[None]) -> None:
        self._room.release()
        if not future.cancelled():
            self._failed = self._failed or future.exception()

    def _raise(self) -> None:
        if self._failed is not None:
            self._room.release()
            raise self._failed


def _ahead(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """The function's results, in order; the next few are worked at meanwhile."""
    pool = ThreadPoolExecutor(_AHEAD, "fetch")
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # Nobody waits for what is under way: whoever gives up half-way may be an event loop.
        pool.shutdown(wait=False, cancel_futures=True)


def _labels(key: str) -> dict[str, str]:
    """What the service tells whoever gets the object: its media type, and under which name to save it."""
    name = key.rpartition("/")[2]
    media = _MEDIA.get(name.rpartition(".")[2], "application/octet-stream")
    return {"Content-Type": media, "Content-Disposition": f'attachment; filename="{_ATTEMPT.sub("", name)}"'}
