"""The client: a server's resources as functions (PROTOCOL: Resources). Synchronous; may be used from several threads at once."""

from __future__ import annotations

import gzip
import io
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import httpx
import msgspec

from shiftlog.client import answers, elsewhere
from shiftlog.client.answers import Accepted, File, Listing, Manifest
from shiftlog.client.auth import auth
from shiftlog.client.download import Download
from shiftlog.client.patience import Patience
from shiftlog.client.profile import Profile
from shiftlog.errors import Damaged, Later, NoFiles, Unusable

if TYPE_CHECKING:
    import polars as pl

TIMEOUT = httpx.Timeout(60, connect=15)
_BATCH = 20_000  # events sent at a time: about 6 MB, well within what a request may hold


class Client:
    """One account of one server.

    `profile` is a `Profile` or the path of its file. `transport` takes the place of the network. `patience` says how often
    and how long after a request is sent again: after a broken connection, 429 and 5xx, and nothing else.

    Every method raises Unauthorized, Forbidden, Missing, Gone or Invalid as the server does, Later when patience has
    ended, Damaged for an answer that is not what it should be, and Unusable where no connection can ever be made.
    """

    def __init__(
        self,
        profile: Profile | str | Path,
        *,
        transport: httpx.BaseTransport | None = None,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.profile = profile if isinstance(profile, Profile) else Profile.load(profile)
        self.account = self.profile.account
        self.patience = patience or Patience()
        base = self.profile.url.rstrip("/")
        self._le = f"{base}/data_access_le/account/{self.account}/le"
        self._api = f"{base}/api/v1/accounts/{self.account}"
        elsewhere.be_discreet()
        agent = {"User-Agent": "shiftlog"}
        self._http = httpx.Client(auth=auth(self.profile, clock), transport=transport, timeout=TIMEOUT, headers=agent)
        self._keyless = httpx.Client(transport=transport, timeout=TIMEOUT, headers=agent)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()
        self._keyless.close()

    # ── the Data Access API ──

    def list(self, start: int | None = None, end: int | None = None, **scope: int) -> Listing:
        """The files whose generated time lies in [start, end) (epoch ms), all of them; none is an empty list.

        `scopeFrom` and `scopeTo` may be given beside or instead, and filter by the hour that a file covers.
        """
        given = {"startTime": start, "endTime": end, **scope}
        params = {name: value for name, value in given.items() if value is not None}
        pages = list(self._pages(f"{self._le}/agentActivity", params, _listing))
        return Listing([file for page in pages for file in page.files], pages[-1].covered_until)

    def iterate(self, start: int | None = None, end: int | None = None, *, page: int = 1_000, **scope: int) -> Iterator[File]:
        """The same files one by one, asked for `page` at a time."""
        given = {"startTime": start, "endTime": end, **scope, "limit": page}
        params = {name: value for name, value in given.items() if value is not None}
        for found in self._pages(f"{self._le}/agentActivity", params, _listing):
            yield from found.files

    def href(self, name: object) -> str:
        """Where a file is by its name, without asking a list."""
        return f"{self._le}/agentActivity/{name}.gz"

    def download(
        self,
        file: File,
        directory: Path,
        *,
        size: int | None = None,
        on_bytes: Callable[[int], None] = lambda _: None,
    ) -> Path:
        """Fetch a file into a directory, taking up what an earlier try left there. Returns its path, `NAME.….partial`.

        `size` is how many bytes it has, where that is known. `on_bytes` is told of bytes as they come; those that were there
        already count too.

        Raises:
            Unusable: the directory cannot be written.
        """
        work = Download(file, directory, size, on_bytes, self._stream)
        return self.patience.persist(work.attempt, work.progress)

    def read(self, file: File) -> pl.DataFrame:
        """The sessions of a file as a flat frame, columns `documents.DECODED`; a withdrawn one is one row without event.

        Raises:
            Damaged: the file is not what it should be.
        """
        from shiftlog import container

        with tempfile.TemporaryDirectory(prefix="shiftlog-") as directory:
            return container.decode(self.download(file, Path(directory)), name=str(file.name))

    def schema(self, version: str = "latest") -> dict[str, Any]:
        """The Avro schema of a version."""
        return answers.document(self._get(f"{self._le}/schema", {"schemaId": version}), dict[str, Any])

    # ── shiftlog's own ──

    def manifest(self, after: int = 0) -> Manifest:
        """Every part ever published after a sequence number, deleted ones included; all pages as one."""
        pages = list(self._pages(f"{self._api}/manifest", {"after": after}, lambda found: answers.document(found, Manifest)))
        parts = [part for page in pages for part in page.parts]
        last: Manifest = pages[-1]
        return msgspec.structs.replace(last, parts=parts)

    def status(self) -> dict[str, Any]:
        """How fresh the account's data is."""
        return answers.document(self._get(f"{self._api}/status"), dict[str, Any])

    def open_sessions(self) -> pl.DataFrame:
        """The sessions that are not closed, as a flat frame, columns `documents.DECODED`."""
        from shiftlog import container

        return container.decode(self._get(f"{self._api}/open", accept="application/x-ndjson").content, name="open")

    def post_events(self, events: pl.DataFrame | Iterable[Mapping[str, Any]]) -> int:
        """Send events (rows with the fields of PROTOCOL: Sending events); returns how many were accepted.

        They are sent some at a time, each time all or none. What is sent again is known as a repeat, so after an error the
        same call can be made again.
        """
        return sum(self._post(batch) for batch in _batches(events))

    def _post(self, lines: bytes) -> int:
        headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
        body = gzip.compress(lines, 1, mtime=0)
        response = self.patience.persist(lambda: self._once("POST", f"{self._api}/events", headers=headers, content=body))
        return answers.document(response, Accepted).accepted

    # ── requests ──

    def _pages(self, url: str, params: Mapping[str, Any], read: Callable[[httpx.Response], Any]) -> Iterator[Any]:
        """What each page of a resource holds, from the first on."""
        following: str | None = str(httpx.URL(url, params=params))
        while following:
            response = self._get(following)
            yield read(response)
            following = response.links.get("next", {}).get("url")

    def _get(self, url: str, params: Mapping[str, Any] | None = None, accept: str = "application/json") -> httpx.Response:
        asked = httpx.URL(url, params=params) if params else httpx.URL(url)
        return self.patience.persist(lambda: self._once("GET", asked, headers={"Accept": accept}))

    def _once(self, method: str, url: httpx.URL | str, **more: Any) -> httpx.Response:
        with translated(str(url)):
            response = self._http.request(method, url, **more)
        if response.status_code != 200 and not _means_nothing_found(response):
            raise answers.refused(response)
        return response

    @contextmanager
    def _stream(self, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """A response whose body is still to come, from the server or from where it sends its clients; errors on the way are
        translated."""
        with translated(url), self._http.stream("GET", url, headers=headers) as response:
            if not elsewhere.points_elsewhere(response):
                yield response
                return
            response.read()
            with elsewhere.followed(response, headers, self._ask_without_key) as there:
                yield there

    @contextmanager
    def _ask_without_key(self, url: httpx.URL, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        with translated(str(url.copy_with(query=None))), self._keyless.stream("GET", url, headers=headers) as response:
            yield response


def _means_nothing_found(response: httpx.Response) -> bool:
    return isinstance(answers.refused(response), NoFiles)


def _listing(response: httpx.Response) -> Listing:
    if response.status_code != 200:
        return Listing([], answers.covered_until(response))
    return answers.listing(response)


@contextmanager
def translated(url: str) -> Iterator[None]:
    """What can go wrong on the way to a server, as our errors."""
    try:
        yield
    except httpx.TransportError as error:
        host = httpx.URL(url).host
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise Unusable(f"{host} shows a certificate that is not trusted here: {error}") from None
        raise Later(f"the connection to {host} failed: {error or type(error).__name__}") from None
    except httpx.DecodingError as error:
        raise Later(f"{httpx.URL(url).host} sent an answer that cannot be unpacked: {error}") from None
    except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
        raise Damaged(f"{url[:200]!r} cannot be asked: {error}") from None


def _batches(events: pl.DataFrame | Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """The events as NDJSON, some at a time."""
    import polars as pl

    if isinstance(events, pl.DataFrame):
        for piece in events.iter_slices(_BATCH):
            lines = io.BytesIO()
            piece.write_ndjson(lines)
            yield lines.getvalue()
        return
    encoder = msgspec.json.Encoder()
    batch: list[Mapping[str, Any]] = []
    for event in events:
        batch.append(event)
        if len(batch) == _BATCH:
            yield encoder.encode_lines(batch)
            batch = []
    if batch:
        yield encoder.encode_lines(batch)
