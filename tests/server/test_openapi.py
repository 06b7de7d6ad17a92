"""The API keeps what its OpenAPI document promises."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import schemathesis
from callers import Caller
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import negative_data_rejection, positive_data_acceptance

from shiftlog.catalog.keys import NewKey
from shiftlog.catalog.parts import Part


def test_every_route_is_described(call: Caller):
    """With its parameters, its answers, and the keys it needs."""
    document = call.get("/api/openapi.json").json()
    assert sorted(document["paths"]) == [
        "/api/openapi.json",
        "/api/v1/accounts/{account}/audit",
        "/api/v1/accounts/{account}/charts/{name}",
        "/api/v1/accounts/{account}/events",
        "/api/v1/accounts/{account}/manifest",
        "/api/v1/accounts/{account}/metrics",
        "/api/v1/accounts/{account}/open",
        "/api/v1/accounts/{account}/quality",
        "/api/v1/accounts/{account}/signing-keys",
        "/api/v1/accounts/{account}/status",
        "/api/v1/accounts/{account}/timeline",
        "/data_access_le/account/{account}/le",
        "/data_access_le/account/{account}/le/agentActivity",
        "/data_access_le/account/{account}/le/agentActivity.zip",
        "/data_access_le/account/{account}/le/agentActivity/{name}",
        "/data_access_le/account/{account}/le/schema",
        "/healthz",
        "/metrics",
        "/readyz",
    ]
    listing = document["paths"]["/data_access_le/account/{account}/le/agentActivity"]["get"]
    assert [p["name"] for p in listing["parameters"]] == ["account", "startTime", "endTime", "scopeFrom", "scopeTo", "limit", "cursor"]
    assert listing["security"] == [{"oauth1": []}, {"bearer": []}]
    assert "Shiftlog-Covered-Until" in listing["responses"]["200"]["headers"]
    assert "422" not in str(document)


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_whatever_is_sent_is_answered_as_described(call: Caller, keys: NewKey, published: Sequence[Part], mode: GenerationMode):
    """No fault of the server, and no status, type or shape of an answer that the document does not have."""
    described = schemathesis.openapi.from_asgi("/api/openapi.json", call.app)
    header = {"Authorization": f"Bearer {keys.bearer}"}
    name = st.sampled_from([f"{published[0].name}{suffix}" for suffix in ("", ".gz", ".parquet", ".avro", ".zip", ".x")])
    for operation in described.include(path_regex="account").get_all_operations():

        @given(case=operation.ok().as_strategy(generation_mode=mode), mine=st.booleans(), name=name)
        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        def answered(case: schemathesis.Case, mine: bool, name: str) -> None:
            excluded = [positive_data_acceptance]  # what is well-formed may still not be there
            if mine:
                case.path_parameters = {"account": "A", "name": name}
                excluded.append(negative_data_rejection)  # it takes the case for what it was before
            case.call_and_validate(headers=header, excluded_checks=excluded)

        answered()
