"""The lake: published sessions as hive-partitioned Parquet, in a directory that a pull keeps and any tool reads.

DIR/lake.json                                         the snapshot: exactly the files that make the lake, and how far it reaches
DIR/events/account=A/date=D/NAME.parquet              one immutable file a part; D is the UTC date of its hour
DIR/events/account=A/date=D/NAME.minus-3.parquet      the same without the three sessions that revisions have superseded
DIR/raw/account=A/date=D/NAME.gz                      the files as they were published, where they are kept
DIR/chain.jsonl                                       the chain over the parts, as the server's manifest gave it
DIR/.partial/, DIR/lake.lock                          the pull's own

A revision supersedes sessions of the files before it in the same hour (PROTOCOL: Sessions, revisions, withdrawals), so those are
written again without them. A lake holds every session once, as it stands; withdrawn sessions are in no file. While no
pull runs, the files under `events/` are those of the snapshot; those of the snapshot are exact always, since no file ever
changes under its name.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import msgspec
import polars as pl

from shiftlog.errors import Damaged, Missing, Unusable
from shiftlog.events import FLAT
from shiftlog.hours import iso
from shiftlog.names import PartName

LAYOUT = 1
SNAPSHOT, CHAIN = "lake.json", "chain.jsonl"
_CHECKSUM = re.compile(rb'\{\n "checksum": "([0-9a-f]{64})",')  # SHA-256 of all that follows it
_ANEW = "restore it, or pull into a new directory"
#: The columns of every file. The path adds `account` and `date`, which Hive readers show as columns.
SCHEMA: dict[str, pl.DataType] = {**FLAT, "revision": pl.Int32(), "part": pl.String()}


class Source(msgspec.Struct, frozen=True, rename="camel"):
    """A part as it was published: bytes and SHA-256 of the `.gz`, and what it holds."""

    bytes: int
    sha256: str
    sessions: int
    withdrawals: int
    events: int


class Kept(msgspec.Struct, frozen=True, rename="camel"):
    """One file of the lake: its path in the lake, bytes and SHA-256, and what it holds.

    `superseded` counts the sessions that a revision has taken from it, `withdrawn` are the ids that its part withdrew, and
    `raw` is the path of the published file where that is kept. Timestamps are those of its events.
    """

    name: str
    path: str
    bytes: int
    sha256: str
    sessions: int
    events: int
    min_timestamp: int | None
    max_timestamp: int | None
    superseded: int
    withdrawn: tuple[str, ...]
    source: Source
    raw: str | None = None

    @property
    def part(self) -> PartName:
        return PartName.parse(self.name)


class SigningKey(msgspec.Struct, frozen=True, rename="camel"):
    """A public key that signs the chain; all but an account's first are signed by the one before."""

    id: str
    public: str
    created: int
    signed_by: str | None = None
    signature: str | None = None


class Head(msgspec.Struct, frozen=True):
    """How far a chain reaches and its last link, signed with a key."""

    sequence: int
    link: str
    key: str
    signature: str


class Chain(msgspec.Struct, frozen=True):
    """What the lake was shown of the chain: the first public key, by which all later ones are known, these, and the last head.

    So many `bytes` of the file `CHAIN` have the rows up to the head, the later of two with one sequence number being the one that counts;
    `erased` is how many parts were removed to forget an agent.
    """

    pinned: str
    keys: tuple[SigningKey, ...]
    head: Head
    bytes: int
    erased: int


class Snapshot(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What makes the lake, and the checkpoint of the pull that keeps it.

    Every file whose generated time lies in [since, cursor) is there (epoch ms; null is the beginning, and nothing yet).
    Hours that end at or before the `watermark` are complete, where the server says so. `sequence` is how far the
    manifest has been read; `chain` is null while the server has shown none.
    """

    layout: int = LAYOUT
    account: str
    since: int | None = None
    cursor: int | None = None
    watermark: int | None = None
    sequence: int = 0
    chain: Chain | None = None
    files: tuple[Kept, ...] = ()


class _Layout(msgspec.Struct):
    layout: int


def is_lake(directory: Path) -> bool:
    return (directory / SNAPSHOT).is_file()


def read(directory: Path) -> Snapshot:
    """The snapshot of a lake.

    Raises:
        Missing: the directory is no lake.
        Damaged: its snapshot cannot be understood.
        Unusable: of a newer layout, or not to be read.
    """
    path = directory / SNAPSHOT
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise Missing(f"{directory} is not a lake; shiftlog pull --into {directory} makes one") from None
    except OSError as error:
        raise Unusable(f"{path} cannot be read: {error.strerror}") from None
    _check(path, text)
    try:
        layout = msgspec.json.decode(text, type=_Layout).layout
        if layout > LAYOUT:
            raise Unusable(f"the lake {directory} has layout {layout}; this shiftlog knows up to {LAYOUT}: use a newer one")
        return msgspec.json.decode(text, type=Snapshot)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Damaged(f"{path} is not the snapshot of a lake ({error}); {_ANEW}") from None


def _check(path: Path, text: bytes) -> None:
    """Return if a snapshot is what was written; those of before there were checksums, and those made by hand, have none."""
    found = _CHECKSUM.match(text)
    if found is not None and sha256(text[found.end() :]).hexdigest() != found[1].decode():
        raise Damaged(f"{path} is not what was written: its checksum is of something else; {_ANEW}")


def write(directory: Path, snapshot: Snapshot) -> None:
    """Replace the snapshot, whole or not at all."""
    beside = directory / f".{SNAPSHOT}"
    with beside.open("wb") as file:
        rest = msgspec.json.format(msgspec.json.encode(snapshot), indent=1).removeprefix(b"{") + b"\n"
        file.write(b'{\n "checksum": "%s",%s' % (sha256(rest).hexdigest().encode(), rest))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(directory / SNAPSHOT)
    sync(directory)


def scan(directory: Path, files: Iterable[Kept]) -> pl.LazyFrame:
    """The rows of some files of a lake, columns `SCHEMA`; a file that a pull has removed meanwhile is not found on collecting."""
    paths = [directory / kept.path for kept in files]
    return pl.scan_parquet(paths, hive_partitioning=False) if paths else pl.LazyFrame(schema=SCHEMA)


# ── where things lie ──

_NAMES = re.compile(r"(Agent\.[0-9.]+part-[0-9-]+)(\.minus-[1-9][0-9]*)?\.(parquet|gz)")


def events_path(account: str, name: PartName, superseded: int) -> str:
    """Where a part's events lie in the lake, without the sessions that were superseded."""
    less = f".minus-{superseded}" if superseded else ""
    return f"events/{_partition(account, name)}/{name}{less}.parquet"


def raw_path(account: str, name: PartName) -> str:
    """Where a published file is kept in the lake."""
    return f"raw/{_partition(account, name)}/{name}.gz"


def _partition(account: str, name: PartName) -> str:
    return f"account={account}/date={iso(name.start)[:10]}"


def strays(directory: Path, snapshot: Snapshot) -> list[Path]:
    """Files that lie where the lake's files lie, and are none of the snapshot's: a plain glob would count them."""
    named = {directory / path for kept in snapshot.files for path in (kept.path, kept.raw) if path}
    lying = [*(directory / "events").rglob("*.parquet"), *(directory / "raw").rglob("*.gz")]
    return sorted(path for path in lying if path not in named)


def is_ours(path: Path) -> bool:
    """Whether a stray is what a killed pull has left, by its name."""
    return _NAMES.fullmatch(path.name) is not None


def sync(path: Path) -> None:
    """Make durable what a file holds, or which files a directory has."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems cannot, and need not
            os.fsync(handle)
    finally:
        os.close(handle)
