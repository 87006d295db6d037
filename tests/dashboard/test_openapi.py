"""The OpenAPI document is valid and complete."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from openapi_spec_validator import validate

from dashboard.api import list_operations, openapi


def test_the_document_is_valid_openapi_3_1(client: FlaskClient) -> None:
    document = client.get("/api/openapi.json").json
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_the_document_has_every_route_of_the_api(client: FlaskClient) -> None:
    paths = client.get("/api/openapi.json").json["paths"]
    for operation in list_operations():
        assert operation.method.lower() in paths[operation.path]
        assert paths[operation.path][operation.method.lower()]["summary"]


def test_every_response_of_the_api_is_declared(client: FlaskClient) -> None:
    declared = {(operation.method, operation.path) for operation in list_operations()}
    for rule in client.application.url_map.iter_rules():
        if not rule.rule.startswith("/api/") or rule.rule.startswith("/api/webhooks/"):
            continue
        path = rule.rule.replace("<", "{").replace(">", "}")
        assert all((method, path) in declared for method in rule.methods or () if method not in ("HEAD", "OPTIONS"))


def test_the_document_allows_no_unknown_fields_in_bodies(client: FlaskClient) -> None:
    schemas = client.get("/api/openapi.json").json["components"]["schemas"]
    assert schemas["Trigger"]["additionalProperties"] is False
    assert "idempotencyKey" in schemas["Trigger"]["properties"]


def test_a_body_within_a_body_is_described_by_its_own_schema(client: FlaskClient) -> None:
    schemas = client.get("/api/openapi.json").json["components"]["schemas"]
    assert schemas["Batch"]["properties"]["triggers"]["items"] == {"$ref": "#/components/schemas/Trigger"}
    assert {"$ref": "#/components/schemas/ContactFields"} in schemas["Trigger"]["properties"]["contact"]["anyOf"]


def test_the_answers_for_producers_are_named_and_complete(client: FlaskClient) -> None:
    document = client.get("/api/openapi.json").json
    for path, name in (("/api/triggers", "AcceptedTrigger"), ("/api/triggers/batch", "AcceptedBatch")):
        content = document["paths"][path]["post"]["responses"]["202"]["content"]["application/json"]
        assert content["schema"] == {"$ref": f"#/components/schemas/{name}"}
        schema = document["components"]["schemas"][name]
        assert schema["required"] == list(schema["properties"])


def test_the_bounds_of_numbers_are_named_as_json_schema_does(client: FlaskClient) -> None:
    schemas = client.get("/api/openapi.json").json["components"]["schemas"]
    sample = schemas["TestTrigger"]["properties"]["sample"]["anyOf"][0]
    assert sample == {"type": "integer", "minimum": 1, "maximum": 100}


def test_the_document_is_built_once_whoever_asks(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    first = client.get("/api/openapi.json")
    monkeypatch.setattr(openapi, "build_document", lambda *_: pytest.fail("built again"))
    again = client.get("/api/openapi.json")
    assert (again.data, again.mimetype) == (first.data, "application/json")
