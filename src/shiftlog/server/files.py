"""Files over HTTP: ranges, validators, and the forms in which a part is served (RFC 9110 §8.8, §13, §14)."""

from __future__ import annotations

import asyncio
import io
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from shiftlog import pgp, schema
from shiftlog.catalog import encrypted, parts
from shiftlog.catalog.encrypted import Encrypted
from shiftlog.catalog.parts import Part
from shiftlog.errors import Forbidden, Gone, Later, Missing
from shiftlog.hours import iso
from shiftlog.house import House
from shiftlog.names import PartName
from shiftlog.server import downloads
from shiftlog.server.threads import Threads
from shiftlog.server.zips import Archive, lost

MEDIA = {
    "gz": "application/gzip",
    "gz.pgp": "application/pgp-encrypted",
    "parquet": "application/vnd.apache.parquet",
    "avro": "application/avro",
    "zip": "application/zip",
}


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a file, known before any of them is sent. `modified` is epoch ms; `chunks` opens at once and may block.

    `path` is the file that holds them all, where there is one: the server sends it without our help. `elsewhere` is where clients
    get them instead of from here.
    """

    media: str
    size: int
    sha256: str
    modified: int
    chunks: Callable[[int, int], Iterator[bytes]]
    path: Path | None = None
    elsewhere: str | None = None

    @classmethod
    def of(cls, data: bytes, media: str, modified: int) -> Content:
        """The content of bytes at hand."""
        return cls(media, len(data), sha256(data).hexdigest(), modified, lambda start, end: iter((data[start:end],)))


_NEAR = 1 << 20  # bytes that are read at once, where they are on this machine


# ── which part of it is answered ──


class Decision(NamedTuple):
    """What a request for a file gets: 200, 206, 304 or 416, and the bytes [start, end)."""

    status: int
    start: int
    end: int


_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.IGNORECASE)
_TAG = re.compile(r'(?:W/)?("[^"]*")')


def decide(headers: Headers, method: str, *, etag: str, modified: int, size: int) -> Decision:
    """What the request's preconditions and range mean. `etag` with its quotes; `modified` in epoch seconds."""
    whole = Decision(200, 0, size)
    if _is_known(headers, etag, modified):
        return Decision(304, 0, 0)
    # Several ranges, other units and what is malformed get the whole file, as RFC 9110 §14.2 allows; HEAD has no ranges.
    match = _RANGE.fullmatch(headers.get("range", ""))
    if method != "GET" or not match or match.groups() == ("", "") or not _is_same(headers.get("if-range"), etag, modified):
        return whole
    first, last = match.groups()
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last) + 1, size) if first and last else size
    if first and last and int(last) < int(first):
        return whole
    return Decision(206, start, end) if start < end else Decision(416, 0, 0)


def _is_known(headers: Headers, etag: str, modified: int) -> bool:
    tags = headers.getlist("if-none-match")
    if tags:
        return any(text.strip() == "*" or etag in _TAG.findall(text) for text in tags)
    since = _date(headers.get("if-modified-since"))
    return since is not None and modified <= since


def _is_same(if_range: str | None, etag: str, modified: int) -> bool:
    """Whether If-Range, where there is one, names these very bytes: weak tags do not."""
    return if_range is None or if_range.strip() == etag or _date(if_range) == modified


def _date(text: str | None) -> int | None:
    """An HTTP date in epoch seconds; None where there is none."""
    try:
        return int(parsedate_to_datetime(text or "").replace(tzinfo=UTC).timestamp())
    except (ValueError, OverflowError):
        return None


# ── the answer ──


def respond(request: Request, threads: Threads, content: Content) -> Response:
    """The answer to a request for a file.

    Raises:
        HTTPException: 416, the range lies outside of it.
    """
    seconds = content.modified // 1000
    etag = f'"{content.sha256}"'
    method = request.scope.get("shiftlog.method", request.method)
    status, start, end = decide(request.headers, method, etag=etag, modified=seconds, size=content.size)
    if status == 416:
        message = f"found Range: {request.headers['range'][:100]}; the file has {content.size} bytes"
        raise HTTPException(416, message, {"Content-Range": f"bytes */{content.size}", "Accept-Ranges": "bytes"})
    modified = format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)
    headers = {"ETag": etag, "Last-Modified": modified, "Accept-Ranges": "bytes"}
    if status == 304:
        return Response(status_code=304, headers=headers)
    if content.elsewhere and method == "GET":
        return Response(
            status_code=307, headers={"Location": content.elsewhere, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
        )
    headers |= {"Content-Type": content.media, "Content-Length": str(end - start)}
    if status == 206:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{content.size}"
    return FileResponse(threads, content, start, end, status, headers)


def answer(request: Request, threads: Threads, house: House, account: str, name: PartName, suffix: str) -> Response:
    """The answer to a request for a part as `suffix` says; blocks.

    Raises:
        As `content` and `respond` do.
    """
    response = respond(request, threads, content(house, account, name, suffix))
    if isinstance(response, FileResponse):
        response.prepare(request.scope)
    return response


class FileResponse(Response):
    """Sends bytes of a file: by the server itself where it can, else piece by piece."""

    def __init__(self, threads: Threads, content: Content, start: int, end: int, status: int, headers: dict[str, str]) -> None:
        self._threads, self._content, self._start, self._end = threads, content, start, end
        self._opened: tuple[bytes, Iterator[bytes]] | None = None
        self.status_code, self.background = status, None
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        if scope.get("shiftlog.method") == "HEAD":
            await send(begin)
            await send({"type": "http.response.body", "body": b""})
        elif self._is_for_server(scope):
            await send(begin)
            await send({"type": "http.response.pathsend", "path": str(self._content.path)})
        else:
            # Opened before the answer begins: what cannot be opened is still an error.
            first, pieces = await self._threads.fetch(self._open) if self._opened is None else self._opened
            await send(begin)
            if len(first) < self._end - self._start:
                await self._send_some(first, pieces, send)
                first = b""
            await send({"type": "http.response.body", "body": first})

    def prepare(self, scope: Scope) -> None:
        """Read what is near and small already; blocks. In a thread that looks for the file anyway, it costs no second one."""
        near = self._content.path is not None and not self._is_for_server(scope)
        if near and self._end - self._start <= _NEAR and scope.get("shiftlog.method") != "HEAD":
            self._opened = self._open()

    def _is_for_server(self, scope: Scope) -> bool:
        """Whether the server itself can send it: it knows whole files only."""
        whole = self._end - self._start == self._content.size
        return whole and self._content.path is not None and "http.response.pathsend" in scope.get("extensions", {})

    def _open(self) -> tuple[bytes, Iterator[bytes]]:
        """The first piece, with which most files are whole, and those after it."""
        pieces = self._content.chunks(self._start, self._end)
        return next(pieces, b""), pieces

    async def _send_some(self, piece: bytes, pieces: Iterator[bytes], send: Send) -> None:
        while piece:
            # The next one is read while this one is sent.
            following = asyncio.ensure_future(self._threads.fetch(next, pieces, b""))
            try:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            finally:
                piece = await following


def stream(threads: Threads, archive: Archive, headers: dict[str, str]) -> Response:
    """The answer that is an archive of many files, made as it is sent. It has no ranges: its parts can be had one by one."""

    def chunks(_start: int, _end: int) -> Iterator[bytes]:
        pieces = archive.chunks()
        return chain((next(pieces),), pieces)  # a first file that is lost is an error, and no archive that breaks off

    content = Content(MEDIA["zip"], archive.size, "", 0, chunks)
    headers = {**headers, "Content-Type": content.media, "Content-Length": str(archive.size), "Accept-Ranges": "none"}
    return FileResponse(threads, content, 0, archive.size, 200, headers)


# ── the forms of a part ──


def content(house: House, account: str, name: PartName, suffix: str) -> Content:
    """A part as `suffix` says; blocks.

    Raises:
        Missing: there is no such part, or its account's files are not encrypted, and this form is.
        Forbidden: they are, and this form is not.
        Gone: its retention has ended.
        Damaged: the catalog names it, and the store does not have it.
        HTTPException: 406, the server lacks what the form needs.
    """
    with house.catalog.read() as conn:
        found = parts.served(conn, account, name, house.catalog.now(conn))
    if found is None:
        raise Missing(f"account {account} has no file {name}; the list names those it has")
    part, public = found
    check_form(account, public, suffix)
    gone = part.twin_gone if suffix == "parquet" else part.gz_gone
    if gone is not None:
        why = (
            "so that an agent is forgotten; the rest of it is in a later revision"
            if part.removed_reason == "erasure"
            else "when its retention ended"
        )
        raise Gone(f"{part.name}.{suffix} of account {account} was deleted at {iso(gone)}, {why}")
    if public is not None:
        return _encrypted(house, account, part, public)
    if suffix == "zip":
        return Content.of(b"".join(Archive(house.store, [part]).chunks()), MEDIA[suffix], part.generated)
    try:
        if suffix == "avro":
            return Content.of(_avro(house.store.get(part.gz_key), part), MEDIA[suffix], part.generated)
        return _stored(house, part, suffix)
    except Missing:
        raise lost(part, suffix) from None


def check_form(account: str, public: str | None, suffix: str) -> None:
    """Return if this form is served of an account whose files are encrypted to an OpenPGP key, or that has none.

    Raises:
        Forbidden: it has one, and this form is not encrypted.
        Missing: it has none, and this form is.
    """
    if public is not None and suffix != "gz.pgp":
        raise Forbidden(f"files of account {account} are encrypted; allowed: NAME.gz.pgp, one by one")
    if public is None and suffix == "gz.pgp":
        raise Missing(f"account {account} has no OpenPGP key, so that there is no .gz.pgp; .gz is served")


def _encrypted(house: House, account: str, part: Part, public: str) -> Content:
    """The part as it was encrypted when it was first asked for."""
    with house.catalog.read() as conn:
        found = encrypted.find(conn, account, part.seq, public)
    if found is None:
        found = _encrypt(house, account, part, public)
    key, size = found.object_key, found.bytes
    path = house.store.path(key)
    if path is not None and _size(path) != size:
        raise lost(part, "gz.pgp")

    def chunks(start: int, end: int) -> Iterator[bytes]:
        try:
            return house.store.chunks(key, start, end)
        except Missing:
            raise lost(part, "gz.pgp") from None

    return Content(MEDIA["gz.pgp"], size, found.sha256, part.generated, chunks, path, downloads.address(house, key, size))


def _encrypt(house: House, account: str, part: Part, public: str) -> Encrypted:
    try:
        plain = house.store.get(part.gz_key)
    except Missing:
        raise lost(part, "gz") from None
    if sha256(plain).hexdigest() != part.gz_sha256:
        raise lost(part, "gz")
    message = pgp.encrypt(public, plain)
    key = f"pgp/{account}/{part.name}.{uuid.uuid4().hex[:12]}.gz.pgp"
    house.store.put(key, message)
    with house.catalog.write() as conn:
        kept = encrypted.add(conn, account, part.seq, public, Encrypted(key, len(message), sha256(message).hexdigest()))
    if kept is None:
        raise Later(f"{part.name} or the key of account {account} has changed just now; ask again", retry_after=1)
    return kept


def _stored(house: House, part: Part, suffix: str) -> Content:
    key, size, checksum = (
        (part.twin_key, part.twin_bytes, part.twin_sha256) if suffix == "parquet" else (part.gz_key, part.gz_bytes, part.gz_sha256)
    )
    path = house.store.path(key)
    if path is not None and _size(path) != size:
        raise lost(part, suffix)

    def chunks(start: int, end: int) -> Iterator[bytes]:
        try:
            return house.store.chunks(key, start, end)
        except Missing:
            raise lost(part, suffix) from None

    return Content(MEDIA[suffix], size, checksum, part.generated, chunks, path, downloads.address(house, key, size))


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _avro(gz: bytes, part: Part) -> bytes:
    """The documents as an Avro object container; equal parts give equal bytes."""
    import gzip

    try:
        import fastavro
    except ModuleNotFoundError:
        raise HTTPException(
            406, "this server does not convert to .avro (pip install 'shiftlog[avro]'); .gz and .parquet are served"
        ) from None
    target = io.BytesIO()
    parsed = fastavro.parse_schema(schema.schema(part.schema_version))
    with gzip.open(io.BytesIO(gz), "rt", encoding="utf-8") as lines:
        documents = fastavro.json_reader(lines, parsed)
        fastavro.writer(target, parsed, documents, codec="deflate", sync_marker=bytes.fromhex(part.gz_sha256)[:16])
    return target.getvalue()
