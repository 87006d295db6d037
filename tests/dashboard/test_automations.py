"""Automations over HTTP."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

import settings
from models.database import acting_as
from models.queries import execute, fetch_value
from tests.dashboard.producers import Producer, definition


def test_a_new_automation_is_listed_with_every_field_of_the_contract(alice: Producer) -> None:
    automation = alice.create()
    (listed,) = alice.get(alice.automations).json["automations"]
    assert listed["_id"] == listed["id"] == automation["id"]
    assert (listed["totalRuns"], listed["lastRunAt"]) == (0, None)
    assert listed["stats"] == {"totalRuns": 0, "last24Hours": 0}
    assert listed["createdAt"].endswith("Z")
    assert automation["definition"] == definition()
    assert [version["version"] for version in automation["versions"]] == [1]


def test_an_invalid_workflow_is_rejected_with_the_path(alice: Producer) -> None:
    wrong = definition()
    wrong["steps"][0]["action"] = "send_fax"
    response = alice.post(alice.automations, {"name": "n", "definition": wrong})
    assert response.status_code == 422
    assert response.json["errors"][0]["path"] == "definition.steps[0].action"
    assert alice.get(alice.automations).json["automations"] == []


def test_a_definition_is_validated_without_being_saved(alice: Producer) -> None:
    path = f"{alice.automations}/validate"
    answer = alice.post(path, {"definition": definition()}).json
    assert answer == {"success": True, "valid": True, "errors": [], "warnings": []}
    wrong = alice.post(path, {"definition": {"trigger": {"type": "a"}, "steps": [{"id": "x"}]}})
    assert (wrong.status_code, wrong.json["valid"]) == (200, False)
    assert wrong.json["errors"][0]["path"].startswith("steps[0]")
    assert alice.post(path, {"definition": "text"}).json["valid"] is False


def test_the_fix_of_a_warning_is_a_request_to_edit_the_text(alice: Producer) -> None:
    text = (
        "# asks first\ntrigger: {type: instagram.comment}\nrules: {daily_limit: 0}\nsteps:\n"
        "  - id: dm   # the link\n    action: send_message\n    with: {channel: instagram, body: Hi}\n"
    )
    warnings = alice.post(f"{alice.automations}/validate", {"source": text}).json["warnings"]
    assert [(warning["path"], warning["line"]) for warning in warnings] == [
        ("rules.daily_limit", 3), ("steps.dm.with.channel", 7),
    ]  # fmt: skip
    edits = [edit for warning in warnings for edit in warning["fix"]["edits"]]
    edited = alice.post(f"{alice.automations}/edit", {"source": text, "edits": edits}).json
    assert (edited["valid"], edited["warnings"]) == (True, [])
    assert edited["source"].count("# ") == 2
    published = alice.post(alice.automations, {"name": "Warned", "type": "workflow", "source": text})
    assert (published.status_code, len(published.json["warnings"])) == (201, 2)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_only_a_changed_definition_is_a_new_version(alice: Producer, method: str) -> None:
    automation = alice.create()
    path = f"{alice.automations}/{automation['id']}"
    same = alice.request(method, path, json={"name": "Renamed", "definition": definition()}).json["automation"]
    assert (same["name"], same["version"]) == ("Renamed", 1)
    other = alice.request(method, path, json={"definition": definition(type="other"), "enabled": False}).json[
        "automation"
    ]
    assert (other["version"], other["triggerType"], other["enabled"]) == (2, "other", False)


def test_a_rejected_change_changes_nothing(alice: Producer) -> None:
    automation = alice.create()
    path = f"{alice.automations}/{automation['id']}"
    assert alice.request("PUT", path, json={"name": "New", "definition": {}}).status_code == 422
    assert alice.get(path).json["automation"]["name"] == "Welcome"


def test_a_published_change_is_seen_by_the_next_trigger(alice: Producer) -> None:
    automation = alice.create()
    trigger = {"type": "contact.created", "contact": {"externalId": "c"}}
    assert len(alice.post("/api/triggers", trigger).json["executions"]) == 1
    alice.request("PATCH", f"{alice.automations}/{automation['id']}", json={"enabled": False})
    assert alice.post("/api/triggers", trigger).json["executions"] == []


def test_deleting_an_automation_cancels_its_active_executions(alice: Producer) -> None:
    automation = alice.create()
    started = alice.post("/api/triggers", {"type": "contact.created", "contact": {"externalId": "c"}}).json
    response = alice.request("DELETE", f"{alice.automations}/{automation['id']}")
    assert response.json == {"success": True, "cancelled": 1}
    assert alice.get(f"{alice.automations}/{automation['id']}").status_code == 404
    execution = alice.get(f"/api/executions/{started['executions'][0]['executionId']}").json["execution"]
    assert (execution["status"], execution["stage"]) == ("cancelled", "skipped")
    assert execution["automationName"] == "Welcome"


def test_the_list_is_searched_filtered_and_paged(alice: Producer) -> None:
    for name, enabled in (("Welcome back", True), ("Goodbye", False), ("Well done", True)):
        alice.create(name=name, enabled=enabled)

    def list_names(query: str) -> list[str]:
        return [automation["name"] for automation in alice.get(f"{alice.automations}?{query}").json["automations"]]

    assert list_names("q=wel") == ["Well done", "Welcome back"]
    assert list_names("enabled=false") == ["Goodbye"]
    assert list_names("type=playbook") == []
    first = alice.get(f"{alice.automations}?limit=2").json
    assert first["nextCursor"]
    assert list_names(f"limit=2&cursor={first['nextCursor']}") == ["Welcome back"]


def test_another_workspace_sees_and_changes_nothing(alice: Producer, charlie: Producer) -> None:
    automation = alice.create()
    path = f"{charlie.automations}/{automation['id']}"
    for method, body in (("GET", None), ("PUT", {"name": "Mine"}), ("DELETE", None)):
        options: dict[str, Any] = {"json": body} if body else {}
        assert charlie.request(method, path, **options).status_code == 404
    assert charlie.get(charlie.automations).json["automations"] == []


def test_a_new_hook_url_replaces_the_previous_one(alice: Producer) -> None:
    automation = alice.create(definition=definition(type="hook"))
    path = f"{alice.automations}/{automation['id']}"
    assert alice.get(path).json["automation"]["hookUrl"] is None
    renewed = alice.post(f"{path}/hook").json["hookUrl"]
    assert alice.client.post(automation["hookUrl"], json={}).status_code == 404
    assert alice.client.post(renewed, json={}).status_code == 202


def test_changes_are_in_the_audit_log(alice: Producer) -> None:
    automation = alice.create()
    alice.request("PATCH", f"{alice.automations}/{automation['id']}", json={"enabled": False})
    entries = alice.get("/api/audit").json["entries"]
    assert sorted(entry["action"] for entry in entries) == [
        "automation.created", "automation.disabled", "automation.published",
    ]  # fmt: skip
    assert {entry["actorName"] for entry in entries} == {"alice's shop"}


def test_an_automation_is_paused_and_resumed(alice: Producer) -> None:
    automation = alice.create()
    assert alice.post(f"/api/automations/{automation['id']}/pause").json["paused"] is True
    assert alice.get(f"{alice.automations}/{automation['id']}").json["automation"]["pausedAt"] is not None
    assert alice.post(f"/api/automations/{automation['id']}/resume").json["paused"] is False
    assert alice.post("/api/providers/mailgun/pause").status_code == 200
    assert [pause["name"] for pause in alice.get("/api/queues").json["pauses"]] == ["mailgun"]
    assert alice.post("/api/providers/mailgun/resume").status_code == 200
    with acting_as(alice.workspace_id):
        assert fetch_value("select count(*) from pauses") == 0


LOCAL = {
    "trigger": {"type": "contact.created"},
    "steps": [{"id": "call", "action": "call_webhook", "with": {"url": "http://127.1:9/in"}}],
}


def test_a_webhook_to_a_private_address_is_not_published(alice: Producer) -> None:
    refused = alice.post(alice.automations, {"name": "n", "definition": LOCAL})
    assert refused.status_code == 422
    assert [error["path"] for error in refused.json["errors"]] == ["definition.steps[0].with.url"]
    judged = alice.post(f"{alice.automations}/validate", {"definition": LOCAL}).json
    assert [error["path"] for error in judged["errors"]] == ["steps[0].with.url"]
    path = f"{alice.automations}/{alice.create()['id']}"
    assert alice.put(path, {"definition": LOCAL}).status_code == 422


class TestWithAnAllowedNetwork:
    @pytest.fixture
    def config(self) -> settings.Settings:
        return settings.load().replace(webhook_allowed_networks=(ipaddress.ip_network("127.0.0.0/8"),))

    def test_a_webhook_into_an_allowed_network_is_published(self, alice: Producer) -> None:
        assert alice.post(f"{alice.automations}/validate", {"definition": LOCAL}).json["valid"] is True
        automation = alice.create(definition=LOCAL)
        path = f"{alice.automations}/{automation['id']}"
        changed = {**LOCAL, "trigger": {"type": "other"}}
        assert alice.put(path, {"definition": changed}).json["automation"]["version"] == 2


PRICE = definition(type="instagram.message", **{"with": {"keywords": ["price"]}})


def test_publishing_names_the_automations_that_answer_the_same_messages(alice: Producer) -> None:
    first = alice.post(alice.automations, {"name": "Prices", "definition": PRICE}).json
    second = alice.post(alice.automations, {"name": "Offers", "definition": PRICE}).json
    path = f"{alice.automations}/{second['automation']['id']}"
    beside = alice.put(path, {"definition": {**PRICE, "exclusive": False}}).json
    checked = alice.post(
        f"{alice.automations}/validate", {"definition": PRICE, "automationId": first["automation"]["id"]}
    ).json

    assert first["warnings"] == []
    because = "answers those that both match, because it is more specific or older"
    assert [problem["message"] for problem in second["warnings"]] == [
        f'"Prices" also matches such messages: that one {because}.'
    ]
    assert [problem["message"] for problem in beside["warnings"] + checked["warnings"]] == [
        '"Prices" also matches such messages: both start.', '"Offers" also matches such messages: both start.',
    ]  # fmt: skip


def test_an_automation_that_an_upgrade_lets_start_beside_others_says_so(alice: Producer) -> None:
    automation = alice.create(definition=PRICE)
    path = f"{alice.automations}/{automation['id']}"
    with acting_as(alice.workspace_id):
        execute("update automations set exclusive = false")
    served = alice.get(path).json["automation"]["definition"]
    assert served == {**PRICE, "exclusive": False}
    assert alice.put(path, {"definition": served}).json["automation"]["version"] == 1
    assert alice.put(path, {"definition": PRICE}).json["automation"]["definition"] == PRICE


def schedule(**options: Any) -> dict[str, Any]:
    trigger = {"type": "schedule", "with": {"cron": "30 2 * * *", "timezone": "Europe/Berlin", **options}}
    return {**definition(), "trigger": trigger}


def test_a_schedule_names_its_next_tick_and_the_ticks_that_it_skipped(alice: Producer) -> None:
    path = f"{alice.automations}/{alice.create(definition=schedule(catch_up='2h'))['id']}"
    answer = alice.get(path).json["automation"]["schedule"]
    assert answer["nextAt"].endswith("Z")
    assert answer["skipped"] is None
    with acting_as(alice.workspace_id):
        execute(
            "update automation_schedules set skipped_ticks = 3, skipped_from = '2026-05-04 09:00Z',"
            " skipped_until = '2026-05-06 09:00Z'"
        )
    assert alice.get(path).json["automation"]["schedule"]["skipped"] == {
        "count": 3, "firstAt": "2026-05-04T09:00:00Z", "lastAt": "2026-05-06T09:00:00Z",
    }  # fmt: skip


def test_an_automation_without_a_schedule_says_so(alice: Producer) -> None:
    assert alice.create()["schedule"] is None


@pytest.mark.parametrize("catch_up", ["30m", "0s", "0", 0, "365d"])
def test_catch_up_is_a_duration_or_zero(alice: Producer, catch_up: object) -> None:
    answer = alice.post(f"{alice.automations}/validate", {"definition": schedule(catch_up=catch_up)}).json
    assert answer["errors"] == []


@pytest.mark.parametrize("catch_up", ["soon", "-1h", 60, True, False, None, "366d", "1h30m"])
def test_any_other_catch_up_is_an_error_with_its_path(alice: Producer, catch_up: object) -> None:
    answer = alice.post(f"{alice.automations}/validate", {"definition": schedule(catch_up=catch_up)}).json
    assert [error["path"] for error in answer["errors"]] == ["trigger.with.catch_up"]
