"""The original service as far as it is documented: the list, the files, the schema, and nothing else.

Both times are required, and a window is at most 7 days; nothing found is an error in XML; the list says not how far it
reaches; files have neither ETag nor Range, and one in three is listed without `.gz`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec

from shiftlog import oauth1, schema
from shiftlog.client import Profile
from shiftlog.errors import Unauthorized
from shiftlog.hours import DAY, iso
from shiftlog.names import PartName, split_suffix
from shiftlog.oauth1 import Credentials

URL = "http://va.da.example.net"
CREDENTIALS = Credentials("6f1d2b0a9c3e47d58a7b64c1e0f2938d", "b27e9d41c05f4a3f8e6d17a2905bc3f4", "0c8a5e7f", "e94c7a10b3d8425f")


class SeedServer:
    """Serves the files of a directory; a file's generated time is the time of its last change."""

    def __init__(self, directory: Path, account: str = "A") -> None:
        self.directory, self.account = directory, account
        directory.mkdir(parents=True, exist_ok=True)
        self.asked: list[str] = []

    def profile(self) -> Profile:
        return Profile(URL, self.account, *(getattr(CREDENTIALS, name) for name in CREDENTIALS.__slots__))

    def add(self, name: str, gz: bytes, generated: int) -> None:
        """Publish a file; `generated` is epoch ms."""
        path = self.directory / f"{name}.gz"
        path.write_bytes(gz)
        os.utime(path, ns=(generated * 1_000_000, generated * 1_000_000))

    def remove(self, name: str) -> None:
        (self.directory / f"{name}.gz").unlink()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        status, media, body = self._answer(scope["path"], scope["query_string"].decode(), headers)
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", media.encode())]})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, path: str, query: str, headers: dict[str, str]) -> tuple[int, str, bytes]:
        self.asked.append(f"{path}?{query}" if query else path)
        url = f"{URL}{path}" + (f"?{query}" if query else "")
        try:
            signed = oauth1.parse_header(headers.get("authorization", ""))
            oauth1.verify(signed, "GET", url, CREDENTIALS, now=int(time.time() * 1000), window=300_000)
        except Unauthorized:
            return _error(401, "Unauthorized request", 10)
        here = f"/data_access_le/account/{self.account}/le"
        if path == f"{here}/agentActivity":
            return self._list({name: int(values[0]) for name, values in parse_qs(query).items()})
        if path.startswith(f"{here}/agentActivity/"):
            return self._file(path.rpartition("/")[2])
        if path == f"{here}/schema":
            return 200, "application/json", schema.source("latest")
        return _error(404, "Resource not found", 5)

    def _list(self, window: dict[str, int]) -> tuple[int, str, bytes]:
        if window.keys() != {"startTime", "endTime"} or not 0 < window["endTime"] - window["startTime"] <= 7 * DAY:
            return _error(400, f"startTime and endTime, at most 7 days apart, are required: {window}", 1)
        found = sorted((path.stat().st_mtime_ns // 1_000_000, path.stem) for path in self.directory.glob("*.gz"))
        names = [name for generated, name in found if window["startTime"] <= generated < window["endTime"]]
        if not names:
            return _error(404, "No Available Files for the specified time range", 21)
        here = f"{URL}/data_access_le/account/{self.account}/le/agentActivity"
        files = [self._described(PartName.parse(name), f"{here}/{name}{'' if i % 3 == 2 else '.gz'}") for i, name in enumerate(names)]
        document = {"dataAccessFiles": {"@id": "28045150", "link": {"@href": here, "@rel": "self"}, "file": files}}
        return 200, "application/json", msgspec.json.encode(document)

    def _described(self, name: PartName, href: str) -> dict[str, str]:
        start, end = (iso(instant, "America/New_York") for instant in (name.start, name.end))
        return {"@name": str(name), "@scopeStartDate": start, "@scopeEndDate": end, "@href": href}

    def _file(self, text: str) -> tuple[int, str, bytes]:
        path = self.directory / f"{split_suffix(text)[0]}.gz"
        return (200, "application/gzip", path.read_bytes()) if path.is_file() else _error(404, "File not found", 20)


def _error(status: int, message: str, code: int) -> tuple[int, str, bytes]:
    time_ = "2018-01-25T01:19:15.196-05:00"
    text = f"<error><time>{time_}</time><message>{message}</message><internalCode>{code}</internalCode></error>"
    return status, "application/xml", text.encode()
