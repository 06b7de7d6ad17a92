"""What a server's answer is: a document, or one of the errors. shiftlog answers in JSON, the original service in XML, and what
stands between may answer in HTML."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from html import unescape
from typing import Any, TypeVar

import httpx
import msgspec

from shiftlog.errors import Damaged, Forbidden, Gone, Invalid, Later, Missing, NoFiles, ShiftlogError, TooLarge, Unauthorized, Unsupported
from shiftlog.lake import Head, SigningKey
from shiftlog.names import PartName, split_suffix

NO_FILES = "No Available Files"
_SHOWN = 300  # characters of an answer that a message repeats
_MESSAGE = re.compile(r"<message>(.*?)</message>", re.DOTALL)
_TAG = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_KINDS: dict[int, type[ShiftlogError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: Missing,
    406: Unsupported,
    410: Gone,
    413: TooLarge,
    415: Unsupported,
}
T = TypeVar("T")


# ── documents ──


@dataclass(frozen=True, slots=True)
class File:
    """A published file as a list names it, and where it is fetched."""

    name: PartName
    href: str


@dataclass(frozen=True, slots=True)
class Listing:
    """Files in the order of their generated time, and the instant (epoch ms) before which nothing more can appear in the range;
    None from a server that does not say."""

    files: Sequence[File]
    covered_until: int | None


class Removed(msgspec.Struct, frozen=True):
    """Why a part's files were deleted, signed with a key."""

    reason: str
    key: str
    signature: str


class ManifestPart(msgspec.Struct, frozen=True, rename="camel"):
    """One part ever published, deleted or not (PROTOCOL: Manifest); `bytes` and `sha256` are those of the `.gz`.

    What comes after `deleted` is the chain's, and not given by servers that have none.
    """

    sequence: int
    name: str
    scope_start: int
    scope_end: int
    part: int
    revision: int
    generated: int
    schema_version: str
    bytes: int
    sha256: str
    sessions: int
    withdrawals: int
    events: int
    min_timestamp: int | None
    max_timestamp: int | None
    deleted: int | None
    parquet_sha256: str = ""
    link: str | None = None
    removed: Removed | None = None


class Stretch(msgspec.Struct, frozen=True, rename="camel"):
    """Hours in a row, half-open, in epoch ms."""

    scope_start: int
    scope_end: int


class Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """Every part ever published, the end of the last complete hour, and the hours up to it in which nothing was published.

    `head`, `keys` and `erased` are the chain's; a server that has none gives no head.
    """

    account_id: str
    watermark: int | None
    parts: list[ManifestPart]
    empty_hours: list[Stretch]
    erased: int = 0
    head: Head | None = None
    keys: tuple[SigningKey, ...] = ()
    encrypted_to: str | None = None


class _Named(msgspec.Struct):
    name: str = msgspec.field(name="@name")
    href: str = msgspec.field(name="@href")


class _Files(msgspec.Struct):
    file: list[_Named]


class _List(msgspec.Struct):
    dataAccessFiles: _Files


class Accepted(msgspec.Struct):
    """How many events are stored durably."""

    accepted: int


def document(response: httpx.Response, type_: type[T]) -> T:
    """The JSON document of a response that succeeded.

    Raises:
        Damaged: something else.
    """
    try:
        return msgspec.json.decode(response.content, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        found = f"{_media(response)}: {_shown(response)}" if _media(response) != "application/json" else str(error)
        raise Damaged(
            f"{_where(response)} answered something else than its document ({found}); is the profile's url that of the API?"
        ) from None


def listing(response: httpx.Response) -> Listing:
    """A list of files, also of none.

    Raises:
        Damaged: not a list, or of things that are not parts.
    """
    named = document(response, _List).dataAccessFiles.file
    joined = cache(lambda href: str(response.url.join(href)))  # most differ in the last word only
    try:
        files = [File(split_suffix(item.name)[0], _address(item, joined)) for item in named]
    except (Invalid, httpx.InvalidURL) as error:
        raise Damaged(f"{_where(response)} lists what is not a file of agent activity: {error}") from None
    return Listing(files, covered_until(response))


def _address(item: _Named, joined: Callable[[str], str]) -> str:
    folder, _, last = item.href.rpartition("/")
    return f"{joined(f'{folder}/')}{last}" if folder and last in (item.name, f"{item.name}.gz") else joined(item.href)


def covered_until(response: httpx.Response) -> int | None:
    """The header `Shiftlog-Covered-Until`, which the original service does not have."""
    text = response.headers.get("Shiftlog-Covered-Until")
    if text is not None and not text.isdigit():
        raise Damaged(f"{_where(response)}: Shiftlog-Covered-Until is {text[:40]!r}; epoch milliseconds are expected")
    return None if text is None else int(text)


# ── errors ──


def refused(response: httpx.Response) -> ShiftlogError:
    """The error that a response means; its body has been read."""
    status, message = response.status_code, message_of(response)
    said = f"{_where(response)} answered {status}: {message}"
    if NO_FILES in message:
        return NoFiles(said)
    if status == 429 or status >= 500:
        return Later(said, retry_after(response))
    if 300 <= status < 400:
        return Invalid(
            f"{said}; it points to {response.headers.get('Location', 'nowhere')[:200]}: set the profile's url to where the API is"
        )
    return _KINDS.get(status, Invalid)(said)


def check_file(response: httpx.Response) -> None:
    """Return if what follows is a file's bytes; else read the body and raise what it means."""
    if response.status_code not in (200, 206):
        response.read()
        raise refused(response)
    if _media(response) == "text/html":
        response.read()
        raise Damaged(f"{_where(response)} answered with a page instead of the file: {_shown(response)}")


def message_of(response: httpx.Response) -> str:
    """The words of an error: the member `message` in JSON or XML, else the text without its tags."""
    try:
        found: Any = msgspec.json.decode(response.content)
        if isinstance(found, dict):
            found = found.get("error", found)
            if isinstance(found, dict) and "message" in found:
                return str(found["message"])
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    text = response.text
    match = _MESSAGE.search(text)
    return unescape(match[1]).strip() if match else _shown(response)


def retry_after(response: httpx.Response) -> int | None:
    """Seconds that the server asks to wait (RFC 9110 §10.2.3), or None."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return int(text)
    try:
        return max(0, round(parsedate_to_datetime(text).timestamp() - time.time())) if text else None
    except ValueError:
        return None


def _media(response: httpx.Response) -> str:
    return str(response.headers.get("Content-Type", "no type")).partition(";")[0].strip()


def _shown(response: httpx.Response) -> str:
    text = " ".join(unescape(_TAG.sub(" ", response.text)).split())
    return (text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…") or "nothing"


def _where(response: httpx.Response) -> str:
    request = response.request
    return f"{request.method} {request.url.copy_with(query=None)}"
