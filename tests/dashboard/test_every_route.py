"""Invalid input that every API route rejects. `test_route_access.py` tests permissions."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dashboard.api import list_operations
from dashboard.resource import Operation
from models.database import acting_as
from tests.dashboard.producers import Producer, definition
from tests.support.rows import fetch_row

OPERATIONS = list_operations()
GUARDED = [operation for operation in OPERATIONS if operation.permission]
WITH_BODY = [operation for operation in OPERATIONS if operation.body is not None]
WITH_QUERY = [operation for operation in OPERATIONS if operation.query is not None]
WITH_TIMES = [operation for operation in WITH_QUERY if operation.query and "since" in operation.query.model_fields]
WITH_ID = [operation for operation in GUARDED if re.search(r"{(?!workspace_id)\w+}", operation.path)]
UNKNOWN_ID = "01a00000-0000-7000-8000-000000000000"

#: A valid body of each route, as far as its schema goes.
BODIES: dict[str, Any] = {
    "Trigger": {"type": "a"},
    "Batch": {"triggers": [{"type": "a"}]},
    "ReportedExecution": {"workflowId": UNKNOWN_ID},
    "ExecutionReports": {"executions": [{}]},
    "TestTrigger": {},
    "NewAutomation": {"name": "n", "definition": definition()},
    "AutomationUpdate": {"name": "n"},
    "ValidationRequest": {"definition": {}},
    "DraftUpdate": {"source": "steps: []", "baseVersion": 1, "revision": 0},
    "DraftPublication": {"revision": 0},
    "Restoration": {},
    "ForecastRequest": {},
    "DescriptionRequest": {"description": "a"},
    "EditRequest": {"source": "a: 1", "edits": [{"op": "delete", "path": "a"}]},
    "VariableRequest": {"source": "a: 1", "path": "a"},
    "ActiveMove": {},
    "Duplication": {},
    "ExperimentEnding": {"step": "fork", "variant": "a"},
    "Bulk": {},
    "BulkRetry": {},
    "BulkResolution": {"as": "sent"},
    "Retry": {},
    "PauseRequest": {},
    "Resolution": {"as": "sent"},
    "Review": {"decision": "approve"},
    "ModelSettingsUpdate": {"provider": "gemini"},
    "SenderUpdate": {"name": "Shop"},
    "DeliveryUpdate": {"whenUnknown": "resend"},
    "RetentionUpdate": {"keepDays": 30},
    "NewSiteKey": {"name": "n", "origins": ["https://shop.example"]},
    "ChannelUpdate": {"settings": {}},
    "ChannelTestRequest": {},
    "ContactFields": {"firstName": "Ada"},
    "LiftReason": {"reason": "asked"},
    "NewSuppression": {"channel": "email"},
    "Merge": {"into": UNKNOWN_ID},
    "SuppressedAddressBody": {"channel": "email", "address": "ada@example.com"},
    "LiftedAddressBody": {"channel": "email", "address": "ada@example.com", "reason": "asked"},
    "SuppressionImport": {"csv": "address\nada@example.com"},
    "OptOutDecision": {"as": "dismiss"},
    "NewInvitation": {"email": "new@example.com", "role": "viewer"},
    "MemberUpdate": {"role": "viewer"},
    "NewKey": {"name": "n", "scopes": ["read"]},
    "Import": {"csv": "email\nada@example.com"},
    "SwitchesUpdate": {"statsInApi": True},
}


def format_operation(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def build_path(operation: Operation, producer: Producer, part: str = UNKNOWN_ID) -> str:
    return re.sub(r"{\w+}", part, operation.path.replace("{workspace_id}", producer.workspace_id))


def build_request(operation: Operation) -> dict[str, Any]:
    return {} if operation.body is None else {"json": BODIES[operation.body.__name__]}


def count_rows(producer: Producer) -> Any:
    with acting_as(producer.workspace_id):
        return fetch_row(
            "select (select count(*) from triggers) t, (select count(*) from automations) a, "
            "(select count(*) from contacts) c, (select count(*) from api_keys) k, "
            "(select count(*) from operations) o, (select count(*) from invitations) i"
        )


@pytest.mark.parametrize("operation", WITH_ID, ids=format_operation)
def test_an_invalid_or_unknown_id_is_404(operation: Operation, alice: Producer) -> None:
    for part in ("nonsense", "1", "a" * 300, "%00", UNKNOWN_ID):
        response = alice.request(operation.method, build_path(operation, alice, part), **build_request(operation))
        assert response.status_code == 404, part


@pytest.mark.parametrize("operation", WITH_BODY, ids=format_operation)
def test_invalid_bodies_are_rejected_and_nothing_is_written(operation: Operation, alice: Producer) -> None:
    before = count_rows(alice)
    path = build_path(operation, alice)
    for raw, content_type, status in (
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"[]", "application/json", 422),
        (b'{"surprise": 1}', "application/json", 422),
        (b'{"name": "nul\\u0000"}', "application/json", 422),
        (b'{"payload": "\\udc00"}', "application/json", 422),
        (b"x" * (operation.limit + 1), "application/json", 413),
    ):
        if not raw and not operation.body_required:
            continue
        response = alice.request(operation.method, path, data=raw, content_type=content_type)
        assert response.status_code == status, raw[:30]
        assert response.json["success"] is False
        if status == 422:
            assert response.json["errors"]
    assert count_rows(alice) == before


@pytest.mark.parametrize("operation", WITH_QUERY, ids=format_operation)
def test_invalid_queries_are_rejected(operation: Operation, alice: Producer) -> None:
    for query in ("surprise=1", "limit=0", "limit=x", "limit=1&limit=2", "cursor=%00", "q=%07", "from=yesterday"):
        response = alice.request(operation.method, f"{build_path(operation, alice)}?{query}")
        assert response.status_code == 422, query
        assert response.json["errors"][0]["path"] == query.split("=")[0]


@pytest.mark.parametrize("operation", WITH_TIMES, ids=format_operation)
def test_a_time_may_have_any_offset(operation: Operation, alice: Producer) -> None:
    response = alice.request(operation.method, f"{build_path(operation, alice)}?from=2026-11-30T00:00:00%2B23:59")
    assert response.status_code < 500


@pytest.mark.parametrize("operation", OPERATIONS, ids=format_operation)
def test_a_response_to_an_allowed_caller_is_never_a_server_error(operation: Operation, alice: Producer) -> None:
    response = alice.request(operation.method, build_path(operation, alice), **build_request(operation))
    assert response.status_code < 500
    assert response.headers["X-Request-Id"]
    assert "script-src 'self'" in response.headers["Content-Security-Policy"]
    is_stream = response.mimetype == "text/event-stream"
    assert response.headers["Cache-Control"] == ("no-cache, no-store" if is_stream else "no-store")


def test_an_unknown_path_and_an_unknown_method_are_problem_documents(alice: Producer) -> None:
    missing, wrong = alice.get("/api/nothing"), alice.request("DELETE", "/api/triggers")
    assert (missing.status_code, missing.mimetype) == (404, "application/problem+json")
    assert (wrong.status_code, wrong.headers["Allow"]) == (405, "OPTIONS, POST")
