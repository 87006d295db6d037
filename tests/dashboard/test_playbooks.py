"""Playbooks over HTTP: published like other automations, and never started by a trigger."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dashboard.producers import Producer

TITLE = {"id": "title", "action": "replace_text", "with": {"selector": "h1", "text": "Welcome"}}
PLAYBOOK: dict[str, Any] = {"trigger": {"type": "page", "with": {"url": "/pricing*"}}, "steps": [TITLE]}


@pytest.fixture
def playbook(alice: Producer) -> dict[str, Any]:
    """A published playbook."""
    return alice.create(type="playbook", definition=PLAYBOOK)


def test_a_definition_with_the_page_trigger_is_a_playbook(alice: Producer) -> None:
    assert alice.post(f"{alice.automations}/validate", {"definition": PLAYBOOK}).json["valid"] is True
    created = alice.post(alice.automations, {"name": "Offer", "definition": PLAYBOOK})
    assert (created.status_code, created.json["automation"]["type"]) == (201, "playbook")
    wrong = alice.post(alice.automations, {"name": "Offer", "type": "workflow", "definition": PLAYBOOK})
    assert (wrong.status_code, wrong.json["errors"][0]["path"]) == (422, "definition.trigger.type")


def test_no_trigger_starts_a_playbook(alice: Producer, playbook: dict[str, Any]) -> None:
    by_type = alice.post("/api/triggers", {"type": "page"})
    assert (by_type.status_code, by_type.json["errors"][0]["path"]) == (422, "type")
    by_id = alice.post("/api/triggers", {"type": "manual", "automationId": playbook["id"]})
    assert (by_id.status_code, by_id.json["errors"][0]["path"]) == (409, "automationId")
    batch = alice.post("/api/triggers/batch", {"triggers": [{"type": "page"}, {"type": "contact.created"}]}).json
    assert (batch["accepted"], [entry["index"] for entry in batch["rejected"]]) == (1, [0])
    assert alice.get("/api/executions").json["executions"] == []


@pytest.mark.parametrize("body", [{}, {"sample": 2}, {"test": False}, {"contact": {"externalId": "c-1"}}])
def test_a_test_trigger_of_a_playbook_is_refused(
    alice: Producer, playbook: dict[str, Any], body: dict[str, Any]
) -> None:
    response = alice.post(f"/api/automations/{playbook['id']}/trigger", body)
    assert response.status_code == 409
    assert "visitors' browsers" in response.json["detail"]
    assert alice.get("/api/executions").json["executions"] == []
