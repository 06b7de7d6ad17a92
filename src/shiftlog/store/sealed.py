"""Objects whose keys end with the SHA-256 of their bytes: whoever names one can tell whether it is what was written.

Parts need none, whose checksums are in the catalog for all to see. Objects of before had none either, and are taken as they are.
"""

from __future__ import annotations

import re
import uuid
from hashlib import sha256

from shiftlog.errors import Damaged
from shiftlog.store.objects import Store

_SEALED = re.compile(r"-([0-9a-f]{64})\.parquet\Z")


def name(directory: str, now: int, data: bytes) -> str:
    """A new key for an object of these bytes, which nothing else has, whatever its bytes are; `now` is epoch ms."""
    return f"{directory}/{now}-{uuid.uuid4().hex[:12]}-{sha256(data).hexdigest()}.parquet"


def checksum(key: str) -> str | None:
    """The SHA-256 of the bytes that a key was made for; None where it does not tell."""
    found = _SEALED.search(key)
    return found[1] if found else None


def fetch(store: Store, key: str) -> bytes:
    """The bytes of an object.

    Raises:
        Missing: no such object.
        Damaged: they are not those that the key was made for.
    """
    data = store.get(key)
    check(key, data)
    return data


def check(key: str, data: bytes) -> None:
    """Return if these are the bytes that the key was made for.

    Raises:
        Damaged: they are not.
    """
    if checksum(key) not in (None, sha256(data).hexdigest()):
        raise Damaged(f"the object {key} is not what was written: it was changed, or has rotted; restore it from a back-up")
