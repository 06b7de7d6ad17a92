"""Fetching one file, in as many pieces as the network allows.

The bytes go to `NAME.{ETag}.partial`. The name keeps the ETag, so that another process can go on with `Range` and `If-Range`
where this one stopped; without a strong ETag a file is fetched from its beginning.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import quote, unquote

import httpx

from shiftlog.client import answers
from shiftlog.client.answers import File
from shiftlog.errors import Later, Unusable

SUFFIX = ".partial"
_KEPT = re.compile(r"\.(%22.*)\.partial\Z")  # an ETag is in quotes, and percent-encoded
_ETAG_LIMIT = 150  # characters, percent-encoded: a file name has 255

Stream = Callable[[str, Mapping[str, str]], AbstractContextManager[httpx.Response]]


class Download:
    """One file on its way."""

    def __init__(self, file: File, directory: Path, size: int | None, on_bytes: Callable[[int], None], stream: Stream) -> None:
        self._file, self._directory, self._size, self._on_bytes, self._stream = file, directory, size, on_bytes, stream
        self._told = 0
        self._there = self._left()

    def attempt(self) -> Path:
        """Fetch what is missing. Returns the whole file.

        Raises:
            Later: the connection broke, or the server is busy; what came is kept.
            Unusable: the directory cannot be written.
        """
        try:
            return self._fetched()
        except OSError as error:
            raise Unusable(
                f"{self._directory} cannot be written: {error.strerror}; what has come is kept, and the next run goes on from there"
            ) from None

    def progress(self) -> int:
        """How many bytes are there."""
        return sum(path.stat().st_size for path in self._there if path.exists())

    def _fetched(self) -> Path:
        partial = self._resumable()
        have = partial.stat().st_size if partial else 0
        self._tell(have)
        if partial and have == self._size:
            return partial
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if partial:
            headers |= {"Range": f"bytes={have}-", "If-Range": _etag(partial)}
        with self._stream(self._file.href, headers) as response:
            if partial and response.status_code == 416:
                return self._past_the_end(partial, response)
            answers.check_file(response)
            if partial is None or not _continues(response, have):
                partial, have = self._begun(response), 0
            self._write(partial, have, response)
        return partial

    def _write(self, partial: Path, have: int, response: httpx.Response) -> None:
        with partial.open("ab") as target:
            # Raw: what is sent is the file, whatever a server says of its encoding.
            for chunk in response.iter_raw():
                target.write(chunk)
                have += len(chunk)
                self._tell(have)
                if self._size is not None and have > self._size:
                    break
        if self._size is not None and have != self._size:
            if have > self._size:
                partial.unlink()
            raise Later(f"{self._file.href} gave {have} bytes; the manifest says {self._size}")

    def _past_the_end(self, partial: Path, response: httpx.Response) -> Path:
        """The file, if all of it was there already."""
        if response.headers.get("Content-Range") == f"bytes */{partial.stat().st_size}" and self._size is None:
            return partial
        partial.unlink()
        raise Later(f"{self._file.href} has another size than what was begun; it is fetched anew")

    def _begun(self, response: httpx.Response) -> Path:
        """An empty file to write to, beside which there is no other."""
        for partial in self._there:
            partial.unlink(missing_ok=True)
        if response.status_code == 206:
            raise Later(f"{self._file.href} answered with a part of the file that was not asked for")
        etag = response.headers.get("ETag", "")
        kept = quote(etag, safe="") if etag.startswith('"') else ""
        begun = self._directory / f"{self._file.name}.{kept if len(kept) <= _ETAG_LIMIT else ''}{SUFFIX}"
        self._there = [begun]
        return begun

    def _left(self) -> list[Path]:
        """What another process left; asked once, since nobody else writes to it meanwhile."""
        begins = f"{self._file.name}."
        try:
            names = [path.name for path in os.scandir(self._directory)]
        except OSError:
            return []  # writing says why
        return [self._directory / name for name in names if name.startswith(begins) and name.endswith(SUFFIX)]

    def _resumable(self) -> Path | None:
        """What an earlier try left, if it can be gone on with."""
        return next((path for path in self._there if _etag(path) and path.exists() and path.stat().st_size), None)

    def _tell(self, have: int) -> None:
        if have > self._told:
            self._on_bytes(have - self._told)
            self._told = have


def _etag(partial: Path) -> str:
    """The ETag in a partial's name, or nothing."""
    found = _KEPT.search(partial.name)
    return unquote(found[1]) if found else ""


def _continues(response: httpx.Response, have: int) -> bool:
    return response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
