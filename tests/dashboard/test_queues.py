"""Queues over HTTP: depths, rates, pools, providers and processes, and how they are paused, drained and tried."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

import clock
from ephemeral import heartbeats, rates
from ephemeral.heartbeats import Pool
from ephemeral.rate_limits import RateLimit
from ephemeral.slots import reserve_send_slot
from models import account
from models.database import acting_as
from models.ids import new_id
from models.queries import execute
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer
from tests.support.rows import fetch_rows


@pytest.fixture(autouse=True)
def _no_counts() -> Iterator[None]:
    rates._counts.clear()
    yield
    rates._counts.clear()


def find(producer: Producer, kind: str, name: str) -> dict[str, Any]:
    """Return the queue or the provider of this name, as the producer sees it."""
    rows: list[dict[str, Any]] = producer.get("/api/queues").json[kind]
    return next(row for row in rows if row["name"] == name)


def test_a_queue_has_its_own_workspaces_depth_and_age(alice: Producer, charlie: Producer) -> None:
    automation = alice.create()
    for age in (5, 90):
        due_at = clock.now() - timedelta(seconds=age)
        example_executions.create_execution(
            alice, automation, status="pending", stage="queued", queue="sending", due_at=due_at
        )
    later = clock.now() + timedelta(hours=1)
    example_executions.create_execution(
        alice, automation, status="waiting", stage="ready_to_send", queue="sending", waiting_for="time", due_at=later
    )
    queue = find(alice, "queues", "sending")
    assert queue["depth"] == 2
    assert 90 <= queue["oldestSeconds"] < 120
    assert (find(charlie, "queues", "sending")["depth"], find(charlie, "queues", "sending")["oldestSeconds"]) == (
        0,
        None,
    )


def test_a_queues_threads_are_the_pools_of_all_processes(alice: Producer) -> None:
    assert find(alice, "queues", "sending")["threads"] is None
    assert find(alice, "queues", "sending")["state"] == "no_workers"
    heartbeats.record(["sending"], clock.now(), program="sending", pools={"sending": Pool(32, 5)})
    engine_pools = {"executions": Pool(8, 1), "sending": Pool(32, 2)}
    heartbeats.record(["executions", "sending"], clock.now(), program="engine", pools=engine_pools)
    queue = find(alice, "queues", "sending")
    assert (queue["threads"], queue["workers"], queue["state"]) == ({"size": 64, "busy": 7}, 2, "running")


def test_rates_are_those_of_the_callers_workspace(alice: Producer, charlie: Producer) -> None:
    rates.count_in(alice.workspace_id, "sending", 10)
    rates.count_out(alice.workspace_id, "sending", 5)
    rates.count_call(alice.workspace_id, "mailgun", 0.24, accepted=True)
    rates.flush()
    queue, provider = find(alice, "queues", "sending"), find(alice, "providers", "mailgun")
    assert (queue["inPerMinute"], queue["outPerMinute"], sum(queue["in"]), len(queue["in"])) == (2.0, 1.0, 10, 30)
    assert (provider["acceptedPerMinute"], provider["failedPerMinute"], provider["p95Ms"]) == (0.2, 0.0, 249)
    assert find(charlie, "queues", "sending")["inPerMinute"] == 0
    assert find(charlie, "providers", "mailgun")["p95Ms"] is None
    assert find(alice, "queues", "tracking")["outPerMinute"] is None


def test_a_limit_shows_what_is_used_of_it(alice: Producer) -> None:
    assert find(alice, "providers", "mailgun")["limit"] is None
    account.add(alice.workspace_id, "instagram", "17841", "Shop")
    for _ in range(3):
        reserve_send_slot(RateLimit("meta_page", 0.1, 40), "instagram:17841")
    limit = find(alice, "providers", "instagram")["limit"]
    assert limit["limit"] == 40
    assert limit["used"] >= 40
    assert limit["stoppedSeconds"] == 0


def test_a_queue_is_drained_with_a_reason_and_resumed(alice: Producer) -> None:
    lease = {"lease_owner": "worker", "lease_until": clock.now() + timedelta(minutes=1)}
    example_executions.create_execution(alice, alice.create(), status="running", stage="sending", **lease)
    response = alice.post("/api/queues/sending/drain", {"reason": "deploy"})
    assert (response.status_code, response.json["draining"]) == (200, True)
    queue = find(alice, "queues", "sending")
    assert (queue["state"], queue["running"], queue["paused"]) == ("draining", 1, True)
    assert (queue["pause"]["message"], queue["pause"]["draining"]) == ("deploy", True)
    assert queue["pause"]["by"]

    assert alice.post("/api/queues/sending/pause").status_code == 200
    queue = find(alice, "queues", "sending")
    assert (queue["state"], queue["pause"]["message"], queue["pause"]["draining"]) == ("paused", "", False)
    assert alice.post("/api/queues/sending/resume").json["paused"] is False
    assert find(alice, "queues", "sending")["pause"] is None


def test_a_drained_queue_says_that_nothing_runs_any_more(alice: Producer) -> None:
    assert alice.post("/api/queues/generation/drain").status_code == 200
    assert find(alice, "queues", "generation")["state"] == "drained"


@pytest.mark.parametrize("path", ["/api/queues/tracking/drain", "/api/queues/nope/drain", "/api/providers/nope/try"])
def test_only_the_workspaces_own_queues_and_known_providers_are_changed(alice: Producer, path: str) -> None:
    assert alice.post(path).status_code == 404


@pytest.mark.parametrize("reason", ["x" * 201, "two\nlines", 1])
def test_an_invalid_reason_names_the_field_and_pauses_nothing(alice: Producer, reason: object) -> None:
    response = alice.post("/api/providers/slack/pause", {"reason": reason})
    assert response.status_code == 422
    assert response.json["errors"][0]["path"] == "reason"
    assert find(alice, "providers", "slack")["pause"] is None


def test_a_provider_that_refused_its_credentials_is_tried(alice: Producer) -> None:
    refused = alice.post("/api/providers/mailgun/try")
    assert refused.status_code == 409
    automation = alice.create()
    waiting = {"status": "waiting", "stage": "ready_to_send", "waiting_for": "configuration", "queue": "sending"}
    execution_id = example_executions.create_execution(
        alice, automation, provider="mailgun", due_at=clock.now() + timedelta(hours=1), **waiting
    )
    example_executions.create_message(alice, automation, execution_id, status="pending", provider="mailgun")
    with acting_as(alice.workspace_id):
        execute(
            "insert into pauses (id, workspace_id, kind, name, reason, message, retry_at) values "
            "(%s, %s, 'provider', 'mailgun', 'configuration', 'No key.', beckon_now() + interval '1 hour')",
            (new_id(), alice.workspace_id),
        )
    provider = find(alice, "providers", "mailgun")
    assert (provider["state"], provider["waiting"], provider["pause"]["message"]) == ("failing", 1, "No key.")

    assert alice.post("/api/providers/mailgun/try").json["executionId"] == execution_id
    with acting_as(alice.workspace_id):
        rows = fetch_rows("select waiting_for, due_at <= beckon_now() as due from executions")
    assert rows == [{"waiting_for": "time", "due": True}]


def test_a_provider_that_does_not_answer_is_shown_and_tried(alice: Producer) -> None:
    waiting = {"status": "waiting", "stage": "ready_to_send", "waiting_for": "provider", "queue": "sending"}
    execution_id = example_executions.create_execution(
        alice, alice.create(), provider="mailgun", due_at=clock.now() + timedelta(minutes=10), **waiting
    )
    example_executions.open_breaker(alice, "mailgun")

    provider = find(alice, "providers", "mailgun")
    assert (provider["state"], provider["waiting"]) == ("failing", 1)
    assert provider["pause"]["reason"] == "timeouts"
    assert "does not answer" in alice.get("/api/health").text
    execution = alice.get(f"/api/executions/{execution_id}").json["execution"]
    assert (execution["waitingFor"], execution["resumeAt"]) == ("provider", provider["pause"]["retryAt"])
    listed = alice.get("/api/executions?waitingFor=provider").json["executions"]
    assert [row["id"] for row in listed] == [execution_id]

    assert alice.post("/api/providers/mailgun/try").json["executionId"] == execution_id
    assert alice.post("/api/providers/mailgun/resume").status_code == 200
    assert find(alice, "providers", "mailgun")["pause"] is None


def test_processes_name_their_machine_to_the_deployment_owner_alone(alice: Producer) -> None:
    heartbeats.record([], clock.now(), program="scheduler", leader=True)
    process = next(row for row in alice.get("/api/queues").json["processes"] if row["program"] == "scheduler")
    assert (process["host"], process["pid"], process["leader"]) == (None, None, True)
    assert process["memoryBytes"] > 0
