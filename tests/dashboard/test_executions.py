"""Executions over HTTP: the list and its filters, the details, and operator actions."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import psycopg2
import pytest

import settings
from models import contact_matching
from models.database import acting_as
from models.execution_filters import ExecutionFilters
from models.ids import new_id
from models.queries import execute, fetch_value
from models.reports import executions
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer


@pytest.fixture
def automation(alice: Producer) -> dict[str, Any]:
    return alice.create()


def create_contact(producer: Producer, name: str) -> str:
    with acting_as(producer.workspace_id):
        (contact,) = contact_matching.match_or_create(
            producer.workspace_id, [(None, {"external_id": name, "first_name": name})]
        )
    assert isinstance(contact, dict)
    return str(contact["id"])


def create_execution(producer: Producer, automation: dict[str, Any], **fields: Any) -> str:
    """Insert an execution as the engine leaves it."""
    row = {
        "id": new_id(), "workspace_id": producer.workspace_id, "automation_id": automation["id"], "version": 1,
        "version_id": new_id(), "trigger_id": new_id(), "queue": "sending", "status": "succeeded", "stage": "completed",
        **fields,
    }  # fmt: skip
    if row["status"] in ("succeeded", "failed", "skipped", "cancelled"):
        row["finished_at"] = row["started_at"] = "2026-11-20T10:00:05Z"
    for name in ("stage_since", "rung_at", "created_at"):
        row.setdefault(name, "2026-11-20T10:00:00Z")
    columns = ", ".join(row)
    with acting_as(producer.workspace_id):
        execute(f"insert into executions ({columns}) values ({', '.join(['%s'] * len(row))})", list(row.values()))
    return str(row["id"])


def create_failed(producer: Producer, automation: dict[str, Any], **fields: Any) -> str:
    error_fields = {
        "status": "failed",
        "stage": "failed",
        "error_class": "network",
        "error_message": "No route to Mailgun.",
    }
    return create_execution(
        producer, automation, **{**error_fields, "resume_stage": "sending", "failed_step": "hello", **fields}
    )


def list_ids(producer: Producer, query: str) -> list[str]:
    response = producer.get(f"/api/executions?{query}")
    assert response.status_code == 200, response.json
    return [execution["id"] for execution in response.json["executions"]]


def sort_newest_first(*ids: str) -> list[str]:
    """The ids of the list, sorted: ids of the same millisecond have no order."""
    return sorted(ids, reverse=True)


def test_each_filter_finds_its_executions(alice: Producer, automation: dict[str, Any]) -> None:
    ada = create_contact(alice, "Ada")
    plain, mine = create_execution(alice, automation), create_execution(alice, automation, contact_id=ada)
    broken = create_failed(alice, automation)
    test = create_execution(alice, automation, test=True)
    other = create_execution(alice, alice.create(name="Other"))
    assert list_ids(alice, "") == sort_newest_first(other, test, broken, mine, plain)
    assert list_ids(alice, f"automationId={automation['id']}&test=false") == sort_newest_first(broken, mine, plain)
    assert (
        list_ids(alice, "status=failed")
        == list_ids(alice, "stage=failed")
        == list_ids(alice, "errorClass=network")
        == [broken]
    )
    assert list_ids(alice, "test=true") == [test]
    assert list_ids(alice, f"contactId={ada}") == list_ids(alice, "q=ad") == [mine]
    assert list_ids(alice, f"q={plain}") == [plain]
    assert (
        list_ids(alice, "from=2026-11-20T10:00:01Z")
        == list_ids(alice, "errorClass=nonsense")
        == list_ids(alice, "contactId=x")
        == []
    )


def test_pages_follow_each_other_without_gaps(alice: Producer, automation: dict[str, Any]) -> None:
    expected = [create_execution(alice, automation) for _ in range(5)]
    ids, cursor = [], ""
    while cursor is not None:
        page = alice.get(f"/api/executions?limit=2{cursor and '&cursor=' + cursor}").json
        ids += [execution["id"] for execution in page["executions"]]
        cursor = page["nextCursor"]
    assert ids == sort_newest_first(*expected)


@pytest.mark.parametrize("query", ["status=broken", "stage=x", "limit=201", "test=maybe", "from=2026-11-20T10:00:00"])
def test_an_invalid_filter_is_reported_by_name(alice: Producer, query: str) -> None:
    response = alice.get(f"/api/executions?{query}")
    assert (response.status_code, response.json["errors"][0]["path"]) == (422, query.split("=")[0])


def test_an_execution_shows_its_stages_steps_and_messages(alice: Producer, automation: dict[str, Any]) -> None:
    execution_id = create_failed(alice, automation)
    with acting_as(alice.workspace_id):
        for previous, stage, second in (
            ("queued", "checking", 1),
            ("checking", "eligible", 2),
            ("eligible", "failed", 5),
        ):
            execute(
                "insert into stage_history (execution_id, workspace_id, automation_id, test, from_stage, from_ms, "
                "stage, entered_at) values (%s, %s, %s, false, %s, 1000, %s, %s)",
                (execution_id, alice.workspace_id, automation["id"], previous, stage, f"2026-11-20T10:00:0{second}Z"),
            )
        execute(
            "insert into steps (execution_id, step_id, workspace_id, action, status, attempts) "
            "values (%s, 'hello', %s, 'send_email', 'failed', 1)",
            (execution_id, alice.workspace_id),
        )
    execution = alice.get(f"/api/executions/{execution_id}").json["execution"]
    assert [(row["stage"], row["durationMs"]) for row in execution["stages"]] == [
        ("queued", 1000), ("checking", 1000), ("eligible", 1000), ("failed", None),
    ]  # fmt: skip
    assert execution["stages"][0]["enteredAt"] == "2026-11-20T10:00:00Z"
    assert execution["error"] == {
        "class": "network",
        "message": "No route to Mailgun.",
        "code": None,
        "retryable": True,
    }
    assert (execution["steps"][0]["id"], execution["steps"][0]["status"]) == ("hello", "failed")
    assert execution["automationName"] == "Welcome"
    assert execution["messages"] == []


def test_a_skipped_execution_shows_the_reason_and_a_waiting_one_the_time(
    alice: Producer, automation: dict[str, Any]
) -> None:
    detail = '{"limit": 1, "measured": 1, "words": "Daily limit: 1 of 1 sent today"}'
    skipped = create_execution(
        alice, automation, status="skipped", stage="skipped", skipped_rule="daily_limit", skipped_detail=detail
    )
    waiting = create_execution(
        alice, automation, status="waiting", stage="sent", waiting_for="time", due_at="2026-12-01T00:00:00Z"
    )
    reason = alice.get(f"/api/executions/{skipped}").json["execution"]["skippedBecause"]
    assert (reason["rule"], reason["detail"]["words"]) == ("daily_limit", "Daily limit: 1 of 1 sent today")
    assert alice.get(f"/api/executions/{waiting}").json["execution"]["resumeAt"] == "2026-12-01T00:00:00Z"


def test_follow_ups_show_their_number_next_time_and_end_reason(alice: Producer, automation: dict[str, Any]) -> None:
    waiting = create_execution(
        alice, automation, status="waiting", stage="sent", waiting_for="follow_up", due_at="2026-12-01T00:00:00Z",
        round=1, follow_up_count=1,
    )  # fmt: skip
    ended = create_execution(
        alice, automation, follow_up_ended_because='{"rule": "replied", "detail": {"words": "Answered"}}'
    )

    execution = alice.get(f"/api/executions/{waiting}").json["execution"]
    assert execution["followUp"] == {"count": 1, "max": 0, "nextCheckAt": "2026-12-01T00:00:00Z"}
    assert execution["followUpEndedBecause"] is None
    listed = {execution["id"]: execution for execution in alice.get("/api/executions").json["executions"]}
    assert listed[ended]["followUp"] == {"count": 0, "max": 0, "nextCheckAt": None}
    assert listed[ended]["followUpEndedBecause"]["rule"] == "replied"


def test_a_message_that_waits_for_review_is_approved_or_rejected_once(
    alice: Producer, charlie: Producer, automation: dict[str, Any]
) -> None:
    execution_id = create_execution(alice, automation, status="waiting", stage="ready_to_send", waiting_for="review")
    path = f"/api/messages/{example_executions.create_message(alice, automation, execution_id, status='review')}/review"
    for wrong in ({}, {"decision": "maybe"}, {"decision": "approve", "body": " "}, {"decision": "reject", "body": "x"}):
        assert alice.post(path, wrong).status_code == 422
    assert charlie.post(path, {"decision": "approve"}).status_code == 404

    assert list_ids(alice, "review=true") == [execution_id]
    assert alice.post(path, {"decision": "approve", "body": "Other words"}).status_code == 202

    assert alice.post(path, {"decision": "reject"}).status_code == 409
    (message,) = alice.get(f"/api/executions/{execution_id}").json["execution"]["messages"]
    assert (message["status"], message["body"]) == ("pending", "Other words")


def test_a_direct_message_shows_its_way_and_its_truncation(alice: Producer, automation: dict[str, Any]) -> None:
    execution_id = create_execution(alice, automation)
    detail = {"way": "private_reply", "shortenedFrom": 1400, "buttons": [{"title": "Shop", "url": "https://x.test/"}]}
    example_executions.create_message(alice, automation, execution_id, channel="instagram", detail=json.dumps(detail))
    example_executions.create_message(alice, automation, execution_id, step_id="mail", key=f"{execution_id}:mail:0")

    direct, email = alice.get(f"/api/executions/{execution_id}").json["execution"]["messages"]

    assert (direct["way"], direct["shortenedFrom"], direct["quickReplies"]) == ("private_reply", 1400, [])
    assert direct["buttons"] == [{"title": "Shop", "url": "https://x.test/"}]
    assert (email["way"], email["shortenedFrom"], email["buttons"], email["segments"]) == (None, None, [], None)


def test_an_sms_shows_its_parts(alice: Producer, automation: dict[str, Any]) -> None:
    execution_id = create_execution(alice, automation)
    example_executions.create_message(alice, automation, execution_id, channel="sms", body="日" * 71)
    (message,) = alice.get(f"/api/executions/{execution_id}").json["execution"]["messages"]
    assert message["segments"] == 2


def test_a_failed_execution_is_retried_and_a_finished_one_is_not(alice: Producer, automation: dict[str, Any]) -> None:
    execution_id = create_failed(alice, automation)
    assert alice.post(f"/api/executions/{execution_id}/retry").status_code == 202
    done = create_execution(alice, automation)
    for action in ("retry", "cancel"):
        refused = alice.post(f"/api/executions/{done}/{action}")
        assert (refused.status_code, refused.json["success"]) == (409, False)
        assert "succeeded" in refused.json["detail"]


def test_a_bulk_action_changes_exactly_what_the_filter_matches(alice: Producer, automation: dict[str, Any]) -> None:
    moved = [create_failed(alice, automation) for _ in range(3)]
    spared = create_failed(alice, automation, error_class="timeout")
    dry = alice.post("/api/executions/retry", {"errorClass": "network", "dryRun": True})
    assert (dry.status_code, dry.json) == (200, {"success": True, "matched": 3})
    assert list_ids(alice, "status=failed") == sort_newest_first(spared, *moved)
    response = alice.post("/api/executions/retry", {"errorClass": "network"})
    assert (response.status_code, response.json["matched"], response.json["retried"]) == (202, 3, 3)
    assert list_ids(alice, "status=failed") == [spared]
    operation = alice.get(f"/api/operations/{response.json['operationId']}").json["operation"]
    assert (operation["status"], operation["done"]) == ("finished", 3)


def test_pending_executions_are_enqueued(alice: Producer, automation: dict[str, Any]) -> None:
    alice.post("/api/triggers", {"type": "contact.created", "contact": {"externalId": "c"}})
    response = alice.post("/api/executions/process-pending")
    assert (response.status_code, response.json["processed"]) == (202, 1)


def test_another_workspaces_executions_are_404(alice: Producer, charlie: Producer, automation: dict[str, Any]) -> None:
    execution_id = create_failed(alice, automation)
    assert charlie.get(f"/api/executions/{execution_id}").status_code == 404
    assert charlie.post(f"/api/executions/{execution_id}/retry").status_code == 404
    assert charlie.post("/api/executions/retry", {}).json["matched"] == 0
    assert list_ids(charlie, "") == []
    with acting_as(alice.workspace_id):
        assert fetch_value("select status from executions where id = %s", (execution_id,)) == "failed"


def test_counts_exclude_tests(alice: Producer, automation: dict[str, Any]) -> None:
    for ms in (100, 200, 300):
        create_execution(alice, automation, execution_time_ms=ms)
    create_failed(alice, automation, attempt=4)
    create_execution(alice, automation, test=True)
    summary = alice.get("/api/analytics/summary").json["summary"]
    assert (summary["executions"], summary["successRate"]) == (4, 0.75)
    assert summary["p50Ms"] == pytest.approx(200, rel=0.05)
    day = {"day": "2026-11-20", "executions": 4, "succeeded": 3, "failed": 1, "unknown": 0, "skipped": 0}
    assert summary["byDay"] == [day]
    assert summary["byStatus"] == {"succeeded": 3, "failed": 1}
    assert summary["byStage"] == [{"stage": "completed", "count": 3}, {"stage": "failed", "count": 1}]
    assert alice.get("/api/analytics/top").json["automations"][0]["id"] == automation["id"]
    retries = alice.get("/api/retries/stats").json["retries"]
    assert (retries["attempted"], retries["exhausted"], retries["successRate"]) == (1, 1, 0.0)


def test_analytics_of_a_period_or_of_no_execution(alice: Producer, automation: dict[str, Any]) -> None:
    create_execution(alice, automation, execution_time_ms=100)
    for query in ("from=2026-11-21T00:00:00Z", f"automationId={new_id()}"):
        summary = alice.get(f"/api/analytics/summary?{query}").json["summary"]
        assert (summary["executions"], summary["successRate"], summary["p95Ms"]) == (0, None, None)
        assert (summary["byStatus"], summary["byDay"], summary["byStage"]) == ({}, [], [])


def test_playbooks_are_ranked_apart_from_automations(alice: Producer, automation: dict[str, Any]) -> None:
    create_execution(alice, automation)
    with acting_as(alice.workspace_id):
        execute("update automations set type = 'playbook' where id = %s", (automation["id"],))
    top = alice.get("/api/analytics/top").json
    assert ([row["id"] for row in top["playbooks"]], top["automations"]) == ([automation["id"]], [])


def test_filters_serialize_to_the_names_of_the_api() -> None:
    assert ExecutionFilters(status="failed", test=False).as_json() == {"status": "failed", "test": False}
    assert ExecutionFilters().as_json() == {}


def test_an_execution_is_shown_as_of_one_moment(alice: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that is read before its last move, and the stages after it, would contradict each other."""
    execution_id = example_executions.create_execution(
        alice, alice.create(), status="waiting", stage="queued", waiting_for="pause"
    )
    read_stages = executions._fetch_stages

    def move_first(row: Any) -> Any:
        with closing(psycopg2.connect(settings.load().database_url)) as worker, worker, worker.cursor() as cursor:
            cursor.execute(
                "insert into stage_history (execution_id, workspace_id, automation_id, test, from_stage, from_ms, "
                "stage, entered_at) select id, workspace_id, automation_id, test, 'queued', 5, 'skipped', now() "
                "from executions where id = %s",
                (execution_id,),
            )
        return read_stages(row)

    monkeypatch.setattr(executions, "_fetch_stages", move_first)
    detail = executions.fetch_detail(alice.workspace_id, execution_id)
    assert detail is not None
    assert [stage["stage"] for stage in detail["stages"]] == ["queued"]
