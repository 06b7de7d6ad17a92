"""Zip archives of published files: of one part, or of many as a stream (APPNOTE.TXT 6.3.10).

A gzip member and an entry of an archive hold the same: a deflate stream (RFC 1951), and the CRC and the size of what it holds. So an
archive is put together from the stored members, and nothing is compressed again; its length is known before its first byte.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from shiftlog.catalog.parts import Part
from shiftlog.errors import Damaged, Missing
from shiftlog.store import Store

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_OFFSET_64 = struct.Struct("<HHQ")
_END_64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR_64 = struct.Struct("<4sIQI")
_END = struct.Struct("<4sHHHHIIH")
_GZIP_HEADER, _GZIP_TRAILER = 10, 8
_PIECE = 1 << 20  # bytes
_MOST_16, _MOST_32 = 0xFFFF, 0xFFFFFFFF
_ON_UNIX, _VERSION, _VERSION_64 = 3 << 8, 20, 45
_MODE = 0o100644 << 16  # a regular file, rw-r--r--


@dataclass(frozen=True, slots=True)
class Entry:
    """One part in an archive, as `{part}.json`, and where it begins there."""

    part: Part
    offset: int

    @property
    def name(self) -> bytes:
        return f"{self.part.name}.json".encode()

    @property
    def packed(self) -> int:
        """Bytes of the deflate stream."""
        return self.part.gz_bytes - _GZIP_HEADER - _GZIP_TRAILER

    @property
    def end(self) -> int:
        """Where the next entry begins."""
        return self.offset + _LOCAL.size + len(self.name) + self.packed

    @property
    def is_far(self) -> bool:
        """Whether its offset needs the 64-bit extension."""
        return self.offset >= _MOST_32

    @property
    def central_size(self) -> int:
        return _CENTRAL.size + len(self.name) + (_OFFSET_64.size if self.is_far else 0)

    def local(self, trailer: bytes) -> bytes:
        """What stands before the deflate stream; `trailer` is the gzip member's."""
        return _LOCAL.pack(b"PK\3\4", *self._shared(trailer), 0) + self.name

    def central(self, trailer: bytes) -> bytes:
        """Its line in the directory at the archive's end."""
        extra = _OFFSET_64.pack(1, 8, self.offset) if self.is_far else b""
        made, offset = _ON_UNIX | _VERSION, _MOST_32 if self.is_far else self.offset
        return _CENTRAL.pack(b"PK\1\2", made, *self._shared(trailer), len(extra), 0, 0, 0, _MODE, offset) + self.name + extra

    def _shared(self, trailer: bytes) -> tuple[int, ...]:
        crc, size = struct.unpack("<II", trailer)
        when = datetime.fromtimestamp(self.part.generated // 1000, UTC)
        date = (when.year - 1980) << 9 | when.month << 5 | when.day
        time = when.hour << 11 | when.minute << 5 | when.second // 2
        return _VERSION_64 if self.is_far else _VERSION, 0, 8, time, date, crc, self.packed, size, len(self.name)  # deflate


class Archive:
    """An archive of parts, in their order. Its parts have names of their own."""

    def __init__(self, store: Store, parts: Sequence[Part]) -> None:
        self._store, self._entries, offset = store, list[Entry](), 0
        for part in parts:
            self._entries.append(Entry(part, offset))
            offset = self._entries[-1].end
        self._start = offset  # of the directory
        self._directory = sum(entry.central_size for entry in self._entries)
        self._is_large = len(parts) >= _MOST_16 or self._start >= _MOST_32 or self._directory >= _MOST_32

    @property
    def size(self) -> int:
        """Bytes of the whole archive."""
        large = _END_64.size + _LOCATOR_64.size if self._is_large else 0
        return self._start + self._directory + large + _END.size

    def chunks(self) -> Iterator[bytes]:
        """The archive, in pieces of bounded size; blocks, and has no more than a few parts in memory.

        Raises:
            Damaged: a part's bytes are not as they were published; what was given until then is no archive.
        """
        directory = bytearray()
        members = self._store.several(entry.part.gz_key for entry in self._entries)
        for entry in self._entries:
            gz = memoryview(self._member(members, entry.part))
            stream, trailer = gz[_GZIP_HEADER:-_GZIP_TRAILER], bytes(gz[-_GZIP_TRAILER:])
            yield entry.local(trailer)
            for start in range(0, len(stream), _PIECE):
                yield bytes(stream[start : start + _PIECE])
            directory += entry.central(trailer)
        yield bytes(directory) + self._end()

    def _member(self, members: Iterator[bytes], part: Part) -> bytes:
        try:
            gz = next(members)
        except Missing:
            raise lost(part, "gz") from None
        # The header that `container.compress` writes, and no other: what follows ten bytes is the stream.
        if len(gz) != part.gz_bytes or gz[:4] != b"\x1f\x8b\x08\x00":
            raise lost(part, "gz")
        return gz

    def _end(self) -> bytes:
        count, size, start = len(self._entries), self._directory, self._start
        short = _END.pack(b"PK\5\6", 0, 0, *(min(count, _MOST_16),) * 2, min(size, _MOST_32), min(start, _MOST_32), 0)
        if not self._is_large:
            return short
        long = _END_64.pack(b"PK\6\6", _END_64.size - 12, _ON_UNIX | _VERSION_64, _VERSION_64, 0, 0, count, count, size, start)
        return long + _LOCATOR_64.pack(b"PK\6\7", 0, start + size, 1) + short


def lost(part: Part, suffix: str) -> Damaged:
    """A part whose bytes the catalog names, and the store has not got as they were."""
    return Damaged(f"the bytes of {part.name}.{suffix} are not in the server's store as they were published; tell its operator")
