"""Tracking over HTTP: who may report executions, what is accepted, and what a page of another origin may read."""

from __future__ import annotations

import json
import sys
from typing import Any
from unittest.mock import Mock

import psycopg2
import pytest
from flask.testing import FlaskClient
from gunicorn.http.errors import ChunkMissingTerminator, InvalidChunkSize, NoMoreData
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

import metrics
from dashboard.report_bodies import BEACON_LIMIT
from models import api_key, pause, site_key, switches, trackable
from models.audit import SYSTEM
from models.database import acting_as, db
from models.ids import new_id
from models.queries import count, fetch_value
from models.recent_reads import MAX_AGE_SECONDS
from models.tables import Automation, TrackingIntake
from settings import load
from tasks.intake.tracked_executions import Acceptance
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import sign_in_as
from tests.support.tracking import record_as_service
from tests.support.waiting import eventually

SHOP = "https://shop.example"
SUCCESS = "Workflow execution tracked successfully"


@pytest.fixture
def automation(alice: Producer) -> str:
    """An automation of Alice's, which is no playbook."""
    return str(alice.create()["id"])


@pytest.fixture
def playbook(alice: Producer) -> str:
    """An active playbook of Alice's."""
    return create_playbook(alice)


def create_playbook(producer: Producer, **changes: Any) -> str:
    steps = [{"id": "hide", "action": "hide", "with": {"selector": ".banner"}}]
    automation_id = str(
        producer.create(type="playbook", definition={"trigger": {"type": "page"}, "steps": steps})["id"]
    )
    if changes:
        with acting_as(producer.workspace_id):
            Automation.update(**changes).where(Automation.id == automation_id).execute()
    return automation_id


def issue_site_key(producer: Producer, *origins: str) -> str:
    return site_key.issue(producer.workspace_id, "shop", origins or [SHOP]).key


def send(
    client: FlaskClient, path: str, body: Any, key: str, origin: str | None = SHOP, **options: Any
) -> TestResponse:
    """Send a report from a page, with the site key in the URL."""
    headers = {**({"Origin": origin} if origin else {}), **options.pop("headers", {})}
    data = body if isinstance(body, str | bytes) else json.dumps(body)
    content_type = options.pop("content_type", "text/plain;charset=UTF-8")
    return client.post(f"{path}?k={key}", data=data, content_type=content_type, headers=headers, **options)


def find_errors(response: TestResponse) -> list[str]:
    assert response.mimetype == "application/problem+json"
    return [error["path"] for error in response.json["errors"]]


# With an API key.


def test_a_tracked_execution_answers_as_the_document_says(alice: Producer, automation: str) -> None:
    body = {
        "workflowId": automation, "userId": "user-456", "status": "success", "executionTimeMs": 250,
        "pageUrl": "https://example.com", "sessionId": "session-123", "deviceType": "desktop",
        "actions": [{"name": "Replace Text", "selector": ".title", "executionTimeMs": 45}],
    }  # fmt: skip
    response = alice.post("/api/track-execution", body)
    assert response.status_code == 201
    assert response.json["success"] is True
    assert response.json["message"] == SUCCESS
    assert response.json["executionId"]


def test_a_repeated_execution_id_answers_200_as_a_duplicate(alice: Producer, automation: str) -> None:
    body = {"workflowId": automation, "executionId": "exec-789"}
    first, again = alice.post("/api/track-execution", body), alice.post("/api/track-execution", body)
    assert (first.status_code, first.json["duplicate"], first.json["executionId"]) == (201, False, "exec-789")
    assert (again.status_code, again.json["duplicate"], again.json["executionId"]) == (200, True, "exec-789")
    assert again.json["message"] == SUCCESS


def test_an_execution_id_of_another_workspace_is_no_duplicate(
    alice: Producer, charlie: Producer, automation: str
) -> None:
    assert alice.post("/api/track-execution", {"workflowId": automation, "executionId": "e"}).status_code == 201
    charlies = {"workflowId": charlie.create()["id"], "executionId": "e"}
    assert charlie.post("/api/track-execution", charlies).status_code == 201


def test_an_invalid_execution_is_422_with_the_path_of_each_field(alice: Producer, automation: str) -> None:
    body = {"workflowId": automation, "status": "done", "actions": [{"name": "a"}, {"nam": "b"}], "x": 1}
    response = alice.post("/api/track-execution", body)
    assert response.status_code == 422
    assert find_errors(response) == ["status", "actions[1].name", "actions[1].nam", "x"]


def test_only_own_automations_can_be_named(alice: Producer, charlie: Producer, automation: str) -> None:
    for unknown in (charlie.create()["id"], new_id(), "workflow-123", "\ud800"):
        response = alice.post("/api/track-execution", {"workflowId": unknown})
        assert (response.status_code, find_errors(response)) == (404, ["workflowId"])
    assert alice.post("/api/track-execution", {"workflowId": automation.upper()}).status_code == 201


def test_an_automation_is_known_at_once_and_a_deleted_one_stops(
    alice: Producer, automation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert alice.post("/api/track-execution", {"workflowId": automation}).status_code == 201
    alice.request("DELETE", f"{alice.automations}/{automation}")
    eventually(lambda: alice.post("/api/track-execution", {"workflowId": automation}).status_code == 404)
    assert MAX_AGE_SECONDS <= 5
    monkeypatch.setattr(trackable, "_read_kinds", lambda *_: {})
    assert alice.post("/api/track-execution", {"workflowId": new_id()}).status_code == 404


def test_a_key_without_the_scope_is_403_and_a_revoked_one_stops(alice: Producer, automation: str) -> None:
    reader = api_key.issue(alice.workspace_id, "reader", ["read", "write"])
    body = {"workflowId": automation}
    client = alice.client
    assert Producer(client, alice.workspace_id, reader.secret).post("/api/track-execution", body).status_code == 403
    issued = api_key.issue(alice.workspace_id, "tracker", ["track"])
    tracker = Producer(client, alice.workspace_id, issued.secret)
    assert tracker.post("/api/track-execution", body).status_code == 201
    api_key.revoke(alice.workspace_id, issued.id)
    eventually(lambda: tracker.post("/api/track-execution", body).status_code == 401)
    missing = client.post("/api/track-execution", json=body)
    assert (missing.status_code, missing.headers["WWW-Authenticate"]) == (401, 'Bearer realm="beckon"')


def test_a_repeated_caller_costs_no_query_but_the_intakes(
    alice: Producer, automation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise psycopg2.OperationalError("queried")

    def costs_no_query() -> bool:
        assert alice.post("/api/track-execution", {"workflowId": automation}).status_code == 201
        with monkeypatch.context() as patch:
            patch.setattr(
                sys.modules["dashboard.api.tracking"], "accept", lambda *_: [Acceptance("e", duplicate=False)]
            )
            patch.setattr(db, "execute_sql", refuse)
            patch.setattr(db, "begin", refuse)
            return alice.post("/api/track-execution", {"workflowId": automation}).status_code == 201

    # What the first request cached may expire before the second one.
    eventually(costs_no_query)


def test_a_batch_reports_each_entry(alice: Producer, charlie: Producer, automation: str) -> None:
    entries = [
        {"workflowId": automation, "executionId": "a"},
        {"workflowId": automation, "executionId": "a"},
        {"workflowId": charlie.create()["id"]},
        {"workflowId": automation, "executionTimeMs": -1},
        7,
        {"workflowId": automation, "executionId": "b"},
    ]
    response = alice.post("/api/track-executions", {"executions": entries})
    assert response.status_code == 202
    assert (response.json["accepted"], response.json["duplicates"]) == (2, 1)
    assert response.json["results"] == [
        {"index": 0, "executionId": "a", "duplicate": False},
        {"index": 1, "executionId": "a", "duplicate": True},
        {"index": 5, "executionId": "b", "duplicate": False},
    ]
    rejected = [(entry["index"], entry["status"], entry["errors"][0]["path"]) for entry in response.json["rejected"]]
    assert rejected == [
        (2, 404, "executions[2].workflowId"),
        (3, 422, "executions[3].executionTimeMs"),
        (4, 422, "executions[4]"),
    ]


def test_a_batch_has_1_to_500_entries(alice: Producer, automation: str) -> None:
    for size, status in ((0, 422), (500, 202), (501, 422)):
        response = alice.post("/api/track-executions", {"executions": [{"workflowId": automation}] * size})
        assert response.status_code == status, size
    assert response.json["errors"] == [{"path": "executions", "message": "must have at most 500 entries"}]


def test_a_batch_of_only_rejected_entries_accepts_nothing(alice: Producer) -> None:
    response = alice.post("/api/track-executions", {"executions": [{}]})
    assert (response.status_code, response.json["accepted"], response.json["results"]) == (202, 0, [])


def test_bodies_are_bounded(alice: Producer, automation: str) -> None:
    padding = " " * 1024 * 1024
    body = json.dumps({"workflowId": automation}) + padding
    batch = json.dumps({"executions": [{"workflowId": automation}]}) + padding
    for path, text, status in (
        ("/api/track-execution", body, 413),
        ("/api/track-executions", batch, 202),
        ("/api/track-executions", batch + padding * 4, 413),
        ("/api/track-executions", "[" + "0," * 600_000 + "0]", 413),
        ("/api/track-execution", "[" * 100_000, 400),
    ):
        response = alice.request("POST", path, data=text, content_type="application/json")
        assert response.status_code == status, path
    assert alice.request("POST", "/api/track-execution", data=body[:80], content_type="text/plain").status_code == 415


@pytest.mark.parametrize("config", [{"rate": 1, "burst": 3}], indirect=True)
def test_executions_are_limited_per_key_and_batch_entries_count(alice: Producer, automation: str) -> None:
    entry = {"workflowId": automation}
    assert alice.post("/api/track-executions", {"executions": [entry, entry]}).status_code == 202
    assert alice.post("/api/track-execution", entry).status_code == 201
    limited = alice.post("/api/track-execution", entry)
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "1")
    other = Producer(alice.client, alice.workspace_id, api_key.issue(alice.workspace_id, "other").secret)
    assert other.post("/api/track-execution", entry).status_code == 201


def test_with_tracking_off_nothing_is_stored(alice: Producer, automation: str) -> None:
    switches.change(alice.workspace_id, {"execution_tracking": False}, SYSTEM)
    body = {"workflowId": automation, "executionId": "e"}
    single = alice.post("/api/track-execution", body)
    assert (single.status_code, single.json["tracked"], single.json["success"]) == (202, False, True)
    batch = alice.post("/api/track-executions", {"executions": [body, {}]})
    assert (batch.status_code, batch.json["tracked"], batch.json["accepted"]) == (202, False, 0)
    assert (batch.json["results"], batch.json["rejected"][0]["index"]) == ([], 1)
    switches.change(alice.workspace_id, {"execution_tracking": True}, SYSTEM)
    assert alice.post("/api/track-execution", body).json["duplicate"] is False


# With a site key.


@pytest.mark.parametrize("content_type", ["text/plain;charset=UTF-8", "application/json"])
def test_a_page_reports_with_its_site_key(alice: Producer, playbook: str, content_type: str) -> None:
    key, body = issue_site_key(alice), {"workflowId": playbook}
    in_url = send(alice.client, "/api/track-execution", body, key, content_type=content_type)
    assert (in_url.status_code, in_url.json["message"]) == (201, SUCCESS)
    assert in_url.headers["Access-Control-Allow-Origin"] == SHOP
    assert "Origin" in in_url.vary
    assert "Access-Control-Allow-Credentials" not in in_url.headers
    headers = {"X-Site-Key": key, "Origin": SHOP}
    in_header = alice.client.post("/api/track-executions", json={"executions": [body]}, headers=headers)
    assert (in_header.status_code, in_header.json["accepted"]) == (202, 1)


@pytest.mark.parametrize(
    "changes", [{"type": "workflow"}, {"enabled": False}, {"version_id": None}], ids=["workflow", "off", "draft"]
)
def test_a_site_key_reports_only_active_playbooks(alice: Producer, changes: dict[str, Any]) -> None:
    body = {"workflowId": create_playbook(alice, **changes)}
    response = send(alice.client, "/api/track-execution", body, issue_site_key(alice))
    assert (response.status_code, find_errors(response)) == (404, ["workflowId"])
    batch = send(alice.client, "/api/track-executions", {"executions": [body]}, issue_site_key(alice))
    assert [entry["status"] for entry in batch.json["rejected"]] == [404]


def test_a_site_key_reports_no_paused_playbook_and_none_of_others(
    alice: Producer, charlie: Producer, playbook: str
) -> None:
    with acting_as(alice.workspace_id):
        pause.start("automation", playbook, alice.workspace_id)
    for playbook_id in (create_playbook(charlie), playbook):
        response = send(alice.client, "/api/track-execution", {"workflowId": playbook_id}, issue_site_key(alice))
        assert response.status_code == 404


@pytest.mark.parametrize("origin", ["https://evil.example", "http://shop.example", "https://shop.example:8443", "null"])
def test_another_origin_is_403_and_cannot_read_it(alice: Producer, playbook: str, origin: str) -> None:
    response = send(alice.client, "/api/track-execution", {"workflowId": playbook}, issue_site_key(alice), origin)
    assert response.status_code == 403
    assert "Access-Control-Allow-Origin" not in response.headers
    assert "Origin" in response.vary


def test_a_site_key_without_an_origin_is_403(alice: Producer, playbook: str) -> None:
    response = send(alice.client, "/api/track-execution", {"workflowId": playbook}, issue_site_key(alice), None)
    assert response.status_code == 403


def test_localhost_allows_any_port(alice: Producer, playbook: str) -> None:
    key = issue_site_key(alice, "http://localhost")
    for port in ("", ":3000", ":8080"):
        origin = f"http://localhost{port}"
        response = send(alice.client, "/api/track-execution", {"workflowId": playbook}, key, origin)
        assert (response.status_code, response.headers["Access-Control-Allow-Origin"]) == (201, origin)


@pytest.mark.parametrize("origin", ["http://[", "http://]localhost", "http://a@localhost", "http://localhost/x"])
def test_what_no_browser_sends_as_an_origin_is_403(alice: Producer, playbook: str, origin: str) -> None:
    key = issue_site_key(alice, "http://localhost")
    response = send(alice.client, "/api/track-execution", {"workflowId": playbook}, key, origin)
    assert response.status_code == 403
    preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    allowed = alice.client.options(f"/api/track-execution?k={key}", headers=preflight)
    assert (allowed.status_code, "Access-Control-Allow-Origin" in allowed.headers) == (200, False)


def test_an_unknown_or_revoked_site_key_is_401_that_the_page_can_read(alice: Producer, playbook: str) -> None:
    body = {"workflowId": playbook}
    for unknown in ("sk_unknown", "", "%00", "x" * 5000):
        response = send(alice.client, "/api/track-execution", body, unknown)
        assert (response.status_code, response.headers["Access-Control-Allow-Origin"]) == (401, SHOP)
    revoked = site_key.issue(alice.workspace_id, "shop", [SHOP])
    assert send(alice.client, "/api/track-execution", body, revoked.key).status_code == 201
    site_key.revoke(alice.workspace_id, revoked.id)
    eventually(lambda: send(alice.client, "/api/track-execution", body, revoked.key).status_code == 401)


def test_errors_can_be_read_by_the_page(alice: Producer, playbook: str) -> None:
    key = issue_site_key(alice)
    for body, content_type, status in (
        ("{", "text/plain", 400),
        ({"workflowId": new_id()}, "text/plain", 404),
        (" " * (BEACON_LIMIT + 1), "text/plain", 413),
        ({"workflowId": playbook}, "application/x-www-form-urlencoded", 415),
        ({}, "application/json", 422),
    ):
        response = send(alice.client, "/api/track-execution", body, key, content_type=content_type)
        assert (response.status_code, response.headers["Access-Control-Allow-Origin"]) == (status, SHOP)
        assert "Retry-After" in response.headers["Access-Control-Expose-Headers"]


def test_a_beacon_has_at_most_60_kb(alice: Producer, playbook: str) -> None:
    key, body = issue_site_key(alice), json.dumps({"workflowId": playbook})
    assert send(alice.client, "/api/track-execution", body.ljust(BEACON_LIMIT), key).status_code == 201
    assert send(alice.client, "/api/track-execution", body.ljust(BEACON_LIMIT + 1), key).status_code == 413


@pytest.mark.parametrize("config", [{"site_key_rate": 2}], indirect=True)
def test_a_site_key_is_limited_by_address(alice: Producer, playbook: str) -> None:
    key, body = issue_site_key(alice), {"workflowId": playbook}
    responses = [send(alice.client, "/api/track-execution", body, key) for _ in range(3)]
    assert [response.status_code for response in responses] == [201, 201, 429]
    assert (responses[2].headers["Retry-After"], responses[2].headers["Access-Control-Allow-Origin"]) == ("1", SHOP)
    other = {"REMOTE_ADDR": "198.51.100.7"}
    assert send(alice.client, "/api/track-execution", body, key, environ_overrides=other).status_code == 201


@pytest.fixture
def config(request: pytest.FixtureRequest) -> Any:
    """The dashboard's settings with other limits."""
    names = {"rate": "track_rate", "burst": "track_burst"}
    return load().replace(**{names.get(name, name): value for name, value in getattr(request, "param", {}).items()})


# Preflight requests.


def preflight(client: FlaskClient, path: str, origin: str = SHOP) -> TestResponse:
    headers = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-site-key"}
    return client.options(path, headers={"Origin": origin, **headers})


@pytest.mark.parametrize("path", ["/api/track-execution", "/api/track-executions"])
def test_a_preflight_request_allows_the_headers_of_the_script(client: FlaskClient, path: str) -> None:
    response = preflight(client, path)
    assert response.status_code == 200
    allowed = {
        name: response.headers[f"Access-Control-{name}"] for name in ("Allow-Origin", "Allow-Methods", "Max-Age")
    }
    assert allowed == {"Allow-Origin": SHOP, "Allow-Methods": "POST", "Max-Age": "7200"}
    assert response.headers["Access-Control-Allow-Headers"].lower() == "content-type, x-site-key"
    assert "Access-Control-Allow-Credentials" not in response.headers
    assert "Origin" in response.vary


def test_a_preflight_request_with_a_key_allows_only_its_origins(alice: Producer) -> None:
    path = f"/api/track-execution?k={issue_site_key(alice)}"
    assert preflight(alice.client, path).headers["Access-Control-Allow-Origin"] == SHOP
    assert "Access-Control-Allow-Origin" not in preflight(alice.client, path, "https://evil.example").headers


def test_other_routes_are_not_for_other_origins(alice: Producer) -> None:
    for response in (preflight(alice.client, "/api/triggers"), alice.get("/api/executions", headers={"Origin": SHOP})):
        assert not [name for name in response.headers if name[0].startswith("Access-Control")]


# Any input.

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["workflowId", "executionId", "status", "actions", "config", "name", "executions", "userId"])
BODIES = st.binary(max_size=50) | (JSON | st.dictionaries(NAMES, JSON | st.lists(st.dictionaries(NAMES, JSON)))).map(
    lambda value: json.dumps(value).encode()
)


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES, path=st.sampled_from(["/api/track-execution", "/api/track-executions"]))
def test_no_body_is_a_server_error(alice: Producer, body: bytes, path: str) -> None:
    response = alice.request("POST", path, data=body, content_type="application/json")
    assert response.status_code in (202, 400, 404, 422)


def test_a_deeply_nested_body_is_invalid_beside_any_character(alice: Producer, automation: str) -> None:
    for depth in (300, 600, 900):
        nested = f'{{"a":["\\u0000",{"[" * depth}{"]" * depth}]}}'
        body = f'{{"workflowId":"{automation}","actions":[{{"name":"a","config":{nested}}}]}}'
        response = alice.request("POST", "/api/track-execution", data=body, content_type="application/json")
        assert (response.status_code, find_errors(response)) == (422, ["actions[0].config"])


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/api/track-execution", InvalidChunkSize(b"zz")),
        ("/api/webhooks/mailgun", ChunkMissingTerminator(b"x")),
        ("/sign-in", NoMoreData(b"")),
    ],
)
def test_a_body_that_is_broken_off_is_400(alice: Producer, path: str, error: Exception) -> None:
    stream = Mock(["read", "readline"], **{"read.side_effect": error, "readline.side_effect": error})
    environ = {"wsgi.input": stream, "wsgi.input_terminated": True}
    content_type = "application/json" if path.startswith("/api/track") else "application/x-www-form-urlencoded"
    response = alice.request("POST", path, content_type=content_type, environ_overrides=environ)
    assert response.status_code == 400


def test_text_is_stored_as_text_without_what_postgresql_cannot_store(alice: Producer, automation: str) -> None:
    body = {
        "workflowId": automation, "userId": "a\x00b", "sessionId": "\ud83d", "triggerName": "<b>bold</b>",
        "actions": [{"name": "n\x00", "config": {"k\x00": "\udc00", "n": 1.5}}],
    }  # fmt: skip
    assert alice.post("/api/track-execution", body).status_code == 201
    with acting_as(alice.workspace_id):
        stored = json.loads(fetch_value(TrackingIntake.select(TrackingIntake.body.cast("text"))))
    assert (stored["user_id"], stored["session_id"], stored["trigger_name"]) == ("ab", "?", "<b>bold</b>")
    assert (stored["actions"][0]["name"], stored["actions"][0]["config"]) == ("n", {"k": "?", "n": 1.5})


def test_nothing_is_accepted_without_postgresql(
    alice: Producer, automation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise psycopg2.OperationalError("could not connect")

    monkeypatch.setattr(sys.modules["dashboard.api.tracking"], "accept", refuse)
    response = alice.post("/api/track-execution", {"workflowId": automation})
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    page = send(alice.client, "/api/track-execution", {"workflowId": create_playbook(alice)}, issue_site_key(alice))
    assert (page.status_code, page.headers["Access-Control-Allow-Origin"]) == (503, SHOP)


def read_count(result: str) -> float:
    return metrics.REGISTRY.get_sample_value("beckon_executions_tracked_total", {"result": result}) or 0.0


def test_every_report_is_counted_by_its_result(alice: Producer, automation: str) -> None:
    def read_counts() -> dict[str, float]:
        names = ("accepted", "duplicate", "invalid", "unauthorized")
        return {name: read_count(name) for name in names}

    before = read_counts()
    body = {"workflowId": automation, "executionId": "e"}
    for report in (body, body, {}, {"workflowId": new_id()}):
        alice.post("/api/track-execution", report)
    alice.post("/api/track-executions", {"executions": [body, {}, {**body, "executionId": "f"}]})
    alice.client.post("/api/track-execution", json=body)
    counted = {name: value - before[name] for name, value in read_counts().items()}
    assert counted == {"accepted": 2, "duplicate": 2, "invalid": 3, "unauthorized": 1}


class TestSecurity:
    """The statements of the section Security of the document on execution tracking."""

    def test_user_authentication_only_tracks_executions_for_authenticated_users(
        self, alice: Producer, automation: str
    ) -> None:
        body = {"workflowId": automation}
        for headers in ({}, {"Authorization": "Bearer bk_unknown"}, {"X-Site-Key": "sk_unknown", "Origin": SHOP}):
            assert alice.client.post("/api/track-execution", json=body, headers=headers).status_code == 401
        assert count_accepted(alice) == 0

    def test_workflow_ownership_users_can_only_see_their_own_execution_data(
        self, alice: Producer, charlie: Producer, automation: str
    ) -> None:
        assert charlie.post("/api/track-execution", {"workflowId": automation}).status_code == 404
        assert alice.post("/api/track-execution", {"workflowId": automation}).status_code == 201
        record_as_service()
        (own,) = alice.get("/api/tracked-executions").json["executions"]
        assert charlie.get("/api/tracked-executions").json["executions"] == []
        assert charlie.get(f"/api/tracked-executions/{own['id']}").status_code == 404

    @pytest.mark.parametrize("config", [{"rate": 1, "burst": 2}], indirect=True)
    def test_rate_limiting_prevents_spam_tracking_requests(self, alice: Producer, automation: str) -> None:
        body = {"workflowId": automation}
        statuses = [alice.post("/api/track-execution", body).status_code for _ in range(4)]
        assert statuses == [201, 201, 429, 429]
        assert count_accepted(alice) == 2

    def test_input_validation_all_tracking_data_is_sanitized(self, alice: Producer, automation: str) -> None:
        hostile = "<script>alert(1)</script>\x00"
        refused = {"workflowId": automation, "pageUrl": "javascript:alert(1)", "deviceType": hostile}
        assert find_errors(alice.post("/api/track-execution", refused)) == ["pageUrl", "deviceType"]
        texts = {"userId": hostile, "sessionId": hostile, "triggerName": hostile}
        action = {"name": hostile, "selector": hostile, "config": {hostile: hostile}, "error": hostile}
        body = {"workflowId": automation, "pageUrl": "https://a.example/?<script>", **texts, "actions": [action]}
        assert alice.post("/api/track-execution", body).status_code == 201
        record_as_service()
        (row,) = alice.get("/api/tracked-executions").json["executions"]
        assert row["userId"] == "<script>alert(1)</script>"
        browser = sign_in_as(alice.client, alice, role="viewer")
        for path in ("/executions/playbooks", f"/executions/playbooks/{row['id']}"):
            page = browser.get(path).text
            assert "<script>alert" not in page
            assert "&lt;script&gt;alert(1)" in page


def count_accepted(producer: Producer) -> int:
    with acting_as(producer.workspace_id):
        return count(TrackingIntake.select())
