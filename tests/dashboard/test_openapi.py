"""The OpenAPI document is valid and complete."""

from __future__ import annotations

import json

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from dashboard.api import list_operations, openapi
from tests.dashboard.producers import Producer, definition
from tests.dashboard.test_every_route import UNKNOWN_ID


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


def test_the_bounds_of_parameters_are_named_as_json_schema_does(client: FlaskClient) -> None:
    document = client.get("/api/openapi.json").json
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    parameters = [parameter for operation in operations for parameter in operation["parameters"]]
    limits = [parameter["schema"] for parameter in parameters if parameter["name"] == "limit"]
    assert limits
    assert all(limit["type"] == "integer" and limit["minimum"] == 1 and "maximum" in limit for limit in limits)
    assert not any(name in parameter["schema"] for parameter in parameters for name in ("ge", "le", "anyOf"))


def test_a_definition_is_described_by_its_own_schema(client: FlaskClient) -> None:
    schemas = client.get("/api/openapi.json").json["components"]["schemas"]
    for body in ("NewAutomation", "AutomationUpdate"):
        assert {"$ref": "#/components/schemas/Definition"} in schemas[body]["properties"]["definition"]["anyOf"]
    validator = Draft202012Validator({"$ref": "#/components/schemas/Definition", "components": {"schemas": schemas}})
    assert validator.is_valid(definition())
    assert not validator.is_valid({**definition(), "surprise": 1})
    page = {"trigger": {"type": "page"}, "steps": [{"id": "a", "action": "hide", "with": {"selector": "#a"}}]}
    assert validator.is_valid(page)
    assert not validator.is_valid({**page, "trigger": {"type": "manual"}})


def test_an_event_of_a_stream_is_an_object_whose_data_is_json(client: FlaskClient) -> None:
    operation = client.get("/api/openapi.json").json["paths"]["/api/ai-automations/{automation_id}/monitor"]["get"]
    event = operation["responses"]["200"]["content"]["text/event-stream"]["schema"]
    data = event["properties"]["data"]
    assert (event["type"], data["contentMediaType"]) == ("object", "application/json")
    assert set(data["contentSchema"]["properties"]) >= {"at", "automation", "stages", "contacts", "totals"}


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/executions/retry", "OPTIONS, POST"),
        ("/api/executions/process-pending", "OPTIONS, POST"),
        (f"/api/executions/{UNKNOWN_ID}", "GET, HEAD, OPTIONS"),
        ("/api/contacts/import", "OPTIONS, POST"),
        (f"/api/contacts/{UNKNOWN_ID}", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
        (f"/api/workspaces/{UNKNOWN_ID}/automations/validate", "OPTIONS, POST"),
        ("/api/contacts", "GET, HEAD, OPTIONS, POST"),
    ],
)
def test_allow_names_the_methods_of_the_path_and_no_other(client: FlaskClient, path: str, allowed: str) -> None:
    assert client.options(path).headers["Allow"] == allowed
    for method in {"GET", "PUT", "PATCH", "DELETE", "POST"} - set(allowed.split(", ")):
        response = client.open(path, method=method)
        assert (response.status_code, response.headers["Allow"]) == (405, allowed), method


@pytest.mark.parametrize("limit", ["-5", "0", "201", "99999999999999999999", "x", "5.5", "", "٣"])
def test_a_limit_out_of_range_is_refused_with_the_range(alice: Producer, limit: str) -> None:
    response = alice.get("/api/contacts", query_string={"limit": limit})
    assert response.status_code == 422
    assert response.json["errors"] == [{"path": "limit", "message": "must be a whole number from 1 to 200"}]


def test_a_search_may_have_any_character_of_one_line(alice: Producer) -> None:
    for text in ("Ada\u00a0Byron", "👩\u200d💻", "\ue000"):
        assert alice.get("/api/contacts", query_string={"q": text}).status_code == 200
    for text in ("two\nlines", "a\ttab", "\x7f"):
        assert alice.get("/api/contacts", query_string={"q": text}).status_code == 422


def test_a_definition_may_write_whole_numbers_as_decimals(alice: Producer) -> None:
    body = {**definition(), "rules": {"daily_limit": 200.0, "frequency_cap": {"max": 2.0, "per": "7d"}}}
    automation = alice.create(definition=body)
    assert json.dumps(automation["definition"]["rules"]["daily_limit"]) == "200"
    problems = alice.post(f"{alice.automations}/validate", {"definition": body}).json
    assert problems["valid"] is True
    body["rules"]["daily_limit"] = 200.5
    assert alice.post(alice.automations, {"name": "n", "definition": body}).status_code == 422


def test_the_ids_of_a_bulk_action_are_a_list(alice: Producer) -> None:
    for ids, status in (([UNKNOWN_ID], 200), (UNKNOWN_ID, 422), (f"{UNKNOWN_ID},x", 422)):
        body = {"ids": ids, "dryRun": True}
        assert alice.post("/api/executions/retry", body).status_code == status
