"""The documents that are answered, as values: member names and order are those of the wire. OpenAPI is made from them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Millis = Annotated[int, Meta(description="epoch milliseconds")]
Count = Annotated[int, Meta(ge=0)]


# ── the Data Access API (seed: Response) ──


class Link(msgspec.Struct, frozen=True):
    """Where a resource is, and what it is to the one that names it."""

    href: str = msgspec.field(name="@href")
    rel: str = msgspec.field(name="@rel")


class File(msgspec.Struct, frozen=True):
    """One published file; the scope is the hour covered, in the account's time zone."""

    name: str = msgspec.field(name="@name")
    scope_start: str = msgspec.field(name="@scopeStartDate")
    scope_end: str = msgspec.field(name="@scopeEndDate")
    href: str = msgspec.field(name="@href")


class Files(msgspec.Struct, frozen=True):
    id: str = msgspec.field(name="@id")
    link: Link
    file: list[File]


class FileList(msgspec.Struct, frozen=True):
    """The list of files (seed: JSON Example)."""

    dataAccessFiles: Files


class Resources(msgspec.Struct, frozen=True):
    accountId: str = msgspec.field(name="@accountId")
    link: list[Link]


class Base(msgspec.Struct, frozen=True):
    """The base resource: what an account has."""

    le: Resources


# ── errors ──


class Problem(msgspec.Struct, frozen=True):
    """When it happened (ISO 8601 with an offset), what is wrong in words, and its code."""

    time: str
    message: str
    internalCode: int


class Error(msgspec.Struct, frozen=True):
    """The one shape of every error."""

    error: Problem


# ── /api/v1 ──


class Accepted(msgspec.Struct, frozen=True):
    """How many events are stored durably."""

    accepted: Count


class Removed(msgspec.Struct, frozen=True):
    """Why a part's files were deleted at its `deleted`: `retention` or `erasure`, signed by a key of the account."""

    reason: str
    key: str
    signature: str


class ManifestPart(msgspec.Struct, frozen=True):
    """One part, deleted or not; `bytes` and `sha256` are those of the `.gz`."""

    sequence: Count
    name: str
    scopeStart: Millis
    scopeEnd: Millis
    part: Count
    revision: Count
    generated: Millis
    schemaVersion: str
    bytes: Count
    sha256: str
    sessions: Count
    withdrawals: Count
    events: Count
    minTimestamp: Millis | None
    maxTimestamp: Millis | None
    deleted: Millis | None
    parquetSha256: str
    link: str | None
    removed: Removed | None


class Stretch(msgspec.Struct, frozen=True):
    """Hours in a row, half-open."""

    scopeStart: Millis
    scopeEnd: Millis


class Head(msgspec.Struct, frozen=True):
    """How far the chain reaches and its last link, signed by a key of the account."""

    sequence: Count
    link: str
    key: str
    signature: str


class SigningKey(msgspec.Struct, frozen=True):
    """An Ed25519 public key in hex digits. All but an account's first are signed by the one before."""

    id: str
    public: str
    created: Millis
    signedBy: str | None
    signature: str | None


class SigningKeys(msgspec.Struct, frozen=True):
    """All keys that have ever signed the account's chain; the last one signs."""

    accountId: str
    keys: list[SigningKey]


class Manifest(msgspec.Struct, frozen=True):
    """Every part ever published, by page; and on the last page the hours in which nothing was. `erased` is how many parts' files
    were deleted so that an agent is forgotten; `head` is as of the page's making, and so is on the last page that of its last part.
    `encryptedTo` is the fingerprint of the OpenPGP key to which files are encrypted; checksums and sizes are those of what is in them."""

    accountId: str
    watermark: Millis | None
    parts: list[ManifestPart]
    emptyHours: list[Stretch]
    erased: Count
    head: Head | None
    keys: list[SigningKey]
    encryptedTo: str | None


class Deed(msgspec.Struct, frozen=True):
    """A line of the audit log. `key` is the consumer key; null where it was none, as for what was done at the machine itself
    (`actor`). `status` is that of HTTP, or 0 for what was done there. `times` is how many requests the line stands for."""

    at: Millis
    action: str
    target: str
    status: int
    key: str | None
    actor: str | None
    address: str | None
    times: Count


class Audit(msgspec.Struct, frozen=True):
    """A page of an account's audit log, and where the next one begins: also later, when there are more lines."""

    accountId: str
    entries: list[Deed]
    cursor: str | None


class Run(msgspec.Struct, frozen=True):
    """One publishing run: what it was due for, and what it did."""

    started: Millis
    finished: Millis
    until: Millis
    parts: Count
    sessions: Count
    withdrawals: Count
    events: Count
    repeats: Count
    setAside: Count


class Open(msgspec.Struct, frozen=True):
    sessions: Count
    events: Count


class Batches(msgspec.Struct, frozen=True):
    landed: Count
    consumed: Count


class Status(msgspec.Struct, frozen=True):
    """How fresh an account's data is."""

    accountId: str
    now: Millis
    watermark: Millis | None
    lagMs: int | None
    lastRun: Run | None
    open: Open
    setAside: Count
    repeats: Count
    batches: Batches


class Rows(msgspec.Struct, frozen=True):
    """Rows of numbers or intervals; the window is as it was asked for, in the time zone, and null where it was left to the data."""

    accountId: str
    watermark: Millis | None
    timeZone: str
    from_: str | None = msgspec.field(name="from")
    to: str | None
    rows: list[dict[str, int | float | str | bool | list[int] | None]]


class Quality(Rows, frozen=True):
    """What is doubtful in a window: how many findings of each code (null where that cannot be told), the login time, and how much
    of it was observed, is inferred, and is open."""

    counts: dict[str, int | None]
    login_ms: int
    observed_ms: int
    inferred_ms: int
    open_ms: int
    shares: dict[str, float | None]


class Health(msgspec.Struct, frozen=True):
    status: str


#: All of them, for OpenAPI.
ALL = (Base, FileList, Error, Accepted, Manifest, SigningKeys, Audit, Status, Rows, Quality, Health)
