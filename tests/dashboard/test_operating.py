"""Probes, health and metrics, also while a server is unavailable."""

from __future__ import annotations

import re

import flask
import pytest
from flask.testing import FlaskClient

import settings
from dashboard import create_app, disk_guard
from models import database
from tasks.health import stores
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import sign_in_as


class TestWithoutRedis:
    """Without Redis everything works, but slower."""

    @pytest.fixture
    def config(self, tmp_path: object) -> settings.Settings:
        return settings.load().replace(redis_url=f"unix://{tmp_path}/gone?db=0")

    def test_triggers_are_accepted(self, alice: Producer) -> None:
        alice.create()
        response = alice.post("/api/triggers", {"type": "contact.created", "contact": {"externalId": "c"}})
        assert response.status_code == 202
        assert len(response.json["executions"]) == 1

    def test_readiness_is_ok_and_health_is_degraded(self, alice: Producer) -> None:
        readiness = alice.client.get("/readyz")
        assert (readiness.status_code, readiness.json["status"]) == (200, "degraded")
        assert "Redis does not answer: nothing listens at its address" in readiness.json["reasons"]
        assert readiness.json["since"]["redis_down"].endswith("Z")
        health = alice.get("/api/health").json
        assert (health["status"], health["redis"]["status"]) == ("degraded", "down")
        assert health["processor"]["status"] == "degraded"
        assert set(health["cache"].values()) == {None}
        queues = alice.get("/api/queues").json
        assert queues["redis"] == "down"
        assert {queue["state"] for queue in queues["queues"]} == {"unknown"}
        assert {provider["acceptedPerMinute"] for provider in queues["providers"]} == {None}
        assert queues["processes"] == []
        assert "beckon_redis_up 0.0" in alice.client.get("/metrics").text

    def test_pages_of_the_queues_say_what_is_unknown(self, alice: Producer, client: FlaskClient) -> None:
        bob = sign_in_as(client, alice)
        example_executions.create_execution(alice, alice.create(), status="pending", stage="queued")
        because = "Redis does not answer or refuses changes"
        assert f"{because}, so rates, messages and processes are unknown" in bob.get("/queues").text
        assert f"{because}, so workers are not notified" in bob.get("/executions/pending").text


@pytest.fixture
def no_database(alice: Producer, tmp_path: object) -> Producer:
    """PostgreSQL is unavailable after Alice got her key."""
    database.db.close_all()
    database.open_pool(f"postgresql://app@/gone?host={tmp_path}", "beckon_app", 4)
    return alice


def test_without_postgresql_triggers_are_503_with_retry_after(no_database: Producer) -> None:
    response = no_database.post("/api/triggers", {"type": "a"})
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert response.mimetype == "application/problem+json"
    readiness = no_database.client.get("/readyz")
    assert (readiness.status_code, readiness.json["status"]) == (503, "unavailable")
    assert "PostgreSQL does not answer: nothing listens at its address" in readiness.json["reasons"]
    assert no_database.client.get("/healthz").status_code == 200


def test_without_postgresql_health_is_a_503_that_says_so(no_database: Producer) -> None:
    response = no_database.get("/api/health")
    assert (response.status_code, response.mimetype) == (503, "application/problem+json")
    assert int(response.headers["Retry-After"]) > 0
    assert response.json["detail"].startswith("PostgreSQL does not answer")


@pytest.mark.parametrize(
    ("fact", "value", "reason"),
    [
        ("DISK_FULL_BYTES", 10**18, "The disk is full"),
        ("list_pending_migrations", lambda _: ["9999_next"], "1 migration is pending"),
    ],
)
def test_a_process_that_cannot_accept_is_not_ready_and_stays_alive(
    app: flask.Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, fact: str, value: object, reason: str
) -> None:
    app.extensions["settings"] = app.extensions["settings"].replace(embedded_database=True)
    monkeypatch.setattr(stores, fact, value)
    readiness = client.get("/readyz")
    assert (readiness.status_code, readiness.json["status"]) == (503, "unavailable")
    assert int(readiness.headers["Retry-After"]) > 0
    assert any(text.startswith(reason) for text in readiness.json["reasons"])
    assert client.get("/healthz").status_code == 200


def test_health_has_every_part(alice: Producer) -> None:
    alice.create()
    health = alice.get("/api/health").json
    assert health["success"] is True
    assert health["status"] == "down"
    assert health["processor"] == {"status": "stopped", "workers": [], "leader": None}
    assert health["pending"] == {"count": 0, "oldestSeconds": 0}
    assert health["recentFailures"] == {"lastHour": 0, "last24Hours": 0, "items": [], "groups": []}
    assert set(health["cache"]) == {"size", "capacity", "hits", "misses", "utilization"}
    assert set(health["services"]) == {"executor", "email", "sms", "messaging", "ai", "notices"}
    assert health["database"]["activeAutomations"] == 1
    assert re.match(r"0\d{3}_", health["database"]["migration"])
    assert health["database"]["migrations"] == "up_to_date"
    assert 0 < health["database"]["latencyMs"] < 2_500
    assert health["redis"]["policy"] == "noeviction"
    assert health["disk"]["status"] == "ready"
    (key,) = (row for row in health["configuration"] if row["variable"] == "MAILGUN_API_KEY")
    assert (key["blocks"], key["setIn"]) == ("email", "Settings, Channels, E-mail")
    problems = {problem["key"]: problem for problem in health["problems"]}
    assert {"no_worker:sending", "no_leader", "not_configured:mailgun"} <= set(problems)
    assert all(problem["remedy"] and problem["meaning"] for problem in problems.values())


def test_metrics_include_the_gauges_of_the_servers(client: FlaskClient) -> None:
    text = client.get("/metrics").text
    for series in ('beckon_queue_messages{queue="sending",state="ready"}', 'beckon_executions{status="pending"}',
                   "beckon_postgres_up 1.0", "beckon_leader_up 0.0", "beckon_executions_due"):  # fmt: skip
        assert series in text


@pytest.mark.parametrize(
    ("address", "forwarded", "status"),
    [("127.0.0.1", None, 200), ("10.1.2.3", None, 403), ("127.0.0.1", "10.1.2.3", 403)],
)
def test_metrics_are_limited_to_allowed_networks(
    client: FlaskClient, address: str, forwarded: str | None, status: int
) -> None:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    response = client.get("/metrics", headers=headers, environ_overrides={"REMOTE_ADDR": address})
    assert response.status_code == status


def test_too_many_triggers_of_one_key_are_429_and_other_keys_work(
    app: object, alice: Producer, charlie: Producer
) -> None:
    alice.client.application.extensions["settings"] = alice.client.application.extensions["settings"].replace(
        trigger_rate=1, trigger_burst=3
    )
    assert alice.post("/api/triggers/batch", {"triggers": [{"type": "a"}] * 3}).status_code == 202
    refused = alice.post("/api/triggers", {"type": "a"})
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) >= 1
    assert charlie.post("/api/triggers", {"type": "a"}).status_code == 202


def test_an_internal_error_is_a_500_without_a_stack_trace(app: flask.Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("a secret of ours")

    endpoint, _ = app.url_map.bind("localhost").match("/api/openapi.json")
    monkeypatch.setitem(app.view_functions, endpoint, broken)
    response = app.test_client().get("/api/openapi.json")
    assert (response.status_code, response.mimetype) == (500, "application/problem+json")
    assert "Traceback" not in response.text
    assert "a secret of ours" not in response.text


def test_a_start_without_a_secret_key_fails() -> None:
    with pytest.raises(settings.SettingsError, match="SECRET_KEY"):
        create_app(settings.load().replace(secret_key=""))


def test_a_full_disk_refuses_new_work_and_lets_operators_act(
    alice: Producer, app: flask.Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice.create()
    monkeypatch.setattr(stores, "DISK_FULL_BYTES", 10**18)
    disk_guard.forget()
    app.extensions["settings"] = app.extensions["settings"].replace(embedded_database=True)
    for path in ("/api/triggers", "/api/triggers/batch", "/api/webhooks/telnyx"):
        refused = alice.post(path, {"type": "a"})
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5"), path
        assert "disk is full" in refused.json["detail"]
    assert alice.post(alice.automations, {"name": "Other", "type": "workflow"}).status_code != 503
    app.extensions["settings"] = app.extensions["settings"].replace(embedded_database=False)
    disk_guard.forget()
    assert alice.post("/api/triggers", {"type": "a"}).status_code == 202
