"""The Avro schemas: of the published documents, and accepted by an independent implementation."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import fastavro
import pytest

from shiftlog import schema
from shiftlog.documents import BRANCH
from shiftlog.errors import Invalid, Missing
from wire import SEED


def named(value: Any, name: str) -> dict[str, Any]:
    """The definition of the type of this name, wherever it lies in a schema."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, dict) and value.get("name") == name and "type" in value and "fields" in value:
        return value
    return next((found for item in inner if (found := named(item, name))), {})


@pytest.mark.parametrize("version", schema.VERSIONS)
def test_the_seeds_document_fits_its_schema(version: str):
    """fastavro reads the seed's example, written in one line, by the schema of its version."""
    document, _ = json.JSONDecoder().raw_decode(SEED[version].decode())
    (read,) = fastavro.json_reader(StringIO(json.dumps(document)), schema.schema(version))
    assert read["metaData"] == {"accountId": "75555851", "schemaVersion": version, "startTime": 1465992202047, "endTime": None}


@pytest.mark.parametrize("version", schema.VERSIONS)
def test_each_field_of_an_event_is_a_union_with_null_first(version: str):
    """All 14, in the seed's order, each under the name of its type that readers and writers use."""
    fields = {field["name"]: field["type"] for field in named(schema.schema(version), "AgentSessionEvent")["fields"]}
    assert list(fields) == list(BRANCH)
    names = {name: ["null", "array" if isinstance(kind, dict) else kind] for name, (_, kind) in fields.items()}
    assert names == {name: ["null", branch] for name, branch in BRANCH.items()}


def test_the_versions_differ_in_their_envelope_alone():
    """1.0.0.35 wraps `metaData` and `recordCollection` in unions; all else is 1.0.0.4."""
    bare, tagged = schema.schema("1.0.0.4"), schema.schema("1.0.0.35")
    for field in tagged["fields"][1:]:
        null, field["type"] = field["type"]
        assert null == "null"
    assert bare == tagged
    assert [schema.has_tagged_envelope(version) for version in ("1.0.0.4", "1.0.0.35")] == [False, True]


def test_latest_is_the_highest_version():
    """By its numbers, not by its letters: 35 is more than 4."""
    assert schema.schema("latest") == schema.schema("1.0.0.35")
    assert max(schema.VERSIONS, key=lambda version: [int(number) for number in version.split(".")]) == schema.LATEST


def test_an_unknown_version_is_missing():
    """The message says which there are."""
    with pytest.raises(Missing, match=r"1\.0\.0\.5 is not known; there are 1\.0\.0\.4, 1\.0\.0\.35"):
        schema.schema("1.0.0.5")


@pytest.mark.parametrize("text", ["", "newest", "../errors", "1.0.0.4.avsc", "1.0.0.4\n", "١.٠"])
def test_what_is_no_version_is_invalid(text: str):
    """The message says what is allowed."""
    with pytest.raises(Invalid, match=r"allowed: latest, 1\.0\.0\.4, 1\.0\.0\.35"):
        schema.source(text)


def test_a_schema_may_be_changed_by_who_asked_for_it():
    """The next one who asks gets it as it was."""
    schema.schema("latest").clear()
    assert schema.schema("latest") == json.loads(schema.source("latest"))
