"""The Avro schemas of published documents, by version. They are files of the package: `schemas/{version}.avsc`.

Version 1.0.0.4 is the seed's example: `metaData` is a bare record and `recordCollection` a bare array. Version 1.0.0.35
is what clients in the field parse: there both are unions of null and that type. All else is the same, and every
other field is a union with null first, but for `schemaVersion`, which is plain text.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

from shiftlog.errors import Invalid, Missing

DEFAULT = "1.0.0.4"
LATEST = "1.0.0.35"
VERSIONS = (DEFAULT, LATEST)

NAMESPACE = "com.liveperson.dataaccess"
#: The names under which the named types stand in a union (Avro: JSON Encoding).
DATA_TYPE, META_DATA, ACTIVITY, HEADER = (
    f"{NAMESPACE}.{name}" for name in ("DataTypeEnum", "MetaData", "AgentActivityData", "AgentHeader")
)

_VERSION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){1,5}")


def resolve(version: str) -> str:
    """The version that is meant: itself, or the newest for `latest`.

    Raises:
        Invalid: not a version.
        Missing: a version that is not known here.
    """
    if version == "latest":
        return LATEST
    if version in VERSIONS:
        return version
    if not _VERSION.fullmatch(version):
        raise Invalid(f"{version[:40]!r} is not a schema version; allowed: latest, {', '.join(VERSIONS)}")
    raise Missing(f"schema version {version} is not known; there are {', '.join(VERSIONS)}, and latest, which is {LATEST}")


@cache
def source(version: str) -> bytes:
    """The schema of a version, or of `latest`, as the bytes of its file: JSON in UTF-8.

    Raises:
        Invalid: not a version.
        Missing: a version that is not known here.
    """
    return (files("shiftlog") / "schemas" / f"{resolve(version)}.avsc").read_bytes()


def schema(version: str) -> dict[str, Any]:
    """The schema of a version, or of `latest`, as a JSON value that the caller may change.

    Raises:
        Invalid: not a version.
        Missing: a version that is not known here.
    """
    value: dict[str, Any] = json.loads(source(version))
    return value


@cache
def has_tagged_envelope(version: str) -> bool:
    """Whether `metaData` and `recordCollection` are unions in this version, and so carry their type's name."""
    return all(isinstance(field["type"], list) for field in schema(version)["fields"])
