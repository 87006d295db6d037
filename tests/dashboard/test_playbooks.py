"""Playbooks over HTTP: published like other automations, never started by a trigger, and read with a site key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from dashboard.pages import labels
from models import site_key
from models.database import acting_as
from models.queries import execute
from rules.json_text import dump_json
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import read_text, sign_in_as
from tests.support.waiting import eventually

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


def test_pages_speak_of_a_playbook_as_one(client: FlaskClient, alice: Producer, playbook: dict[str, Any]) -> None:
    bob = sign_in_as(client, alice)
    path = f"/automations/{playbook['id']}"
    card, own = bob.get("/automations").text, bob.get(path).text
    for page in (card, own):
        assert "On /pricing*" in read_text(page)
        assert f"{path}/test" not in page
        assert f"{path}/monitor" not in page
    assert "On every visit" in read_text(own)
    assert "Replace text h1 · Welcome" in read_text(own)
    tested = bob.get(f"{path}/test")
    assert (tested.status_code, tested.headers["Location"]) == (303, path)
    assert "visitors' browsers" in read_text(bob.get(path).text)


def test_the_monitor_of_a_playbook_leads_to_its_executions(
    client: FlaskClient, alice: Producer, playbook: dict[str, Any]
) -> None:
    response = sign_in_as(client, alice).get(f"/automations/{playbook['id']}/monitor")
    assert (response.status_code, response.headers["Location"]) == (303, f"/automations/{playbook['id']}")


@pytest.mark.parametrize(
    ("days", "text"), [(0, "Today"), (1, "Yesterday"), (2, "28 Nov 2026"), (400, "26 Oct 2025"), (-1, "1 Dec 2026")]
)
def test_the_last_run_is_a_day_in_the_zone_of_the_page(days: int, text: str) -> None:
    now = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)
    assert labels.format_day(now - timedelta(days=days), now, ZoneInfo("UTC")) == text
    assert labels.format_day(now, now + timedelta(hours=1), ZoneInfo("Europe/Rome")) == "Today"


# With a site key.

SHOP = "https://shop.example"


@pytest.fixture
def key(alice: Producer) -> str:
    """A site key of Alice's workspace, for pages of her shop."""
    return site_key.issue(alice.workspace_id, "Shop", [SHOP]).key


def load(client: FlaskClient, key: str, **headers: str) -> TestResponse:
    return client.get(f"/api/playbooks?k={key}", headers={"Origin": SHOP, **headers})


def list_names(client: FlaskClient, key: str) -> list[str]:
    return [playbook["name"] for playbook in load(client, key).json["playbooks"]]


def test_a_page_gets_its_active_playbooks(client: FlaskClient, key: str, playbook: dict[str, Any]) -> None:
    response = load(client, key)
    assert response.json == {
        "success": True,
        "tracking": True,
        "playbooks": [
            {
                "id": playbook["id"], "name": "Welcome", "version": 1, "trigger": {"url": "/pricing*"},
                "actions": [{
                    "id": "title", "action": "replace_text", "name": "Replace Text",
                    "with": {"selector": "h1", "text": "Welcome"},
                }],
            }
        ],
    }  # fmt: skip
    assert response.headers["Cache-Control"] == "public, max-age=60"
    assert response.headers["Access-Control-Allow-Origin"] == SHOP
    assert {"Origin", "X-Site-Key"} <= set(response.vary)


def test_the_same_answer_is_not_sent_again(client: FlaskClient, key: str, playbook: dict[str, Any]) -> None:
    etag = load(client, key).headers["ETag"]
    again = load(client, key, **{"If-None-Match": etag})
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", etag)
    assert again.headers["Access-Control-Allow-Origin"] == SHOP


def test_a_playbook_that_is_off_paused_or_deleted_is_not_served(
    client: FlaskClient, alice: Producer, key: str, playbook: dict[str, Any]
) -> None:
    path = f"{alice.automations}/{playbook['id']}"
    assert list_names(client, key) == ["Welcome"]
    alice.request("PATCH", path, json={"enabled": False})
    assert list_names(client, key) == []
    alice.request("PATCH", path, json={"enabled": True, "name": "Offer"})
    assert list_names(client, key) == ["Offer"]
    alice.post(f"/api/automations/{playbook['id']}/pause")
    assert list_names(client, key) == []
    alice.post(f"/api/automations/{playbook['id']}/resume")
    assert list_names(client, key) == ["Offer"]
    alice.request("DELETE", path)
    assert list_names(client, key) == []


def test_a_page_gets_neither_messages_nor_playbooks_of_others(
    client: FlaskClient, alice: Producer, charlie: Producer, key: str
) -> None:
    alice.create()
    charlie.create(type="playbook", definition=PLAYBOOK)
    assert list_names(client, key) == []


def test_only_a_site_key_with_its_origin_reads_playbooks(
    client: FlaskClient, alice: Producer, key: str, playbook: dict[str, Any]
) -> None:
    assert load(client, key, Origin="https://evil.example").status_code == 403
    assert load(client, "sk_unknown").status_code == 401
    assert client.get("/api/playbooks").status_code == 401
    assert alice.get("/api/playbooks").status_code == 401
    by_header = client.get("/api/playbooks", headers={"X-Site-Key": key})
    assert (by_header.status_code, len(by_header.json["playbooks"])) == (200, 1)
    site_key.revoke(alice.workspace_id, site_key.list_all(alice.workspace_id)[0]["id"])
    eventually(lambda: load(client, key).status_code == 401)


def test_one_address_reads_no_more_than_twenty_times_a_second(client: FlaskClient, key: str) -> None:
    statuses = [load(client, key).status_code for _ in range(60)]
    assert statuses.count(200) >= 20
    assert 429 in statuses
    limited = next(response for response in iter(lambda: load(client, key), None) if response.status_code == 429)
    assert int(limited.headers["Retry-After"]) >= 1


def test_a_page_learns_that_tracking_is_off(client: FlaskClient, alice: Producer, key: str) -> None:
    alice.put("/api/settings/switches", {"executionTracking": False})
    eventually(lambda: load(client, key).json["tracking"] is False)


def test_a_version_from_before_a_rule_never_reaches_a_browser(
    client: FlaskClient, alice: Producer, key: str, playbook: dict[str, Any]
) -> None:
    hostile = {"id": "x", "action": "set_attribute", "with": {"selector": "a", "name": "onclick", "value": "alert(1)"}}
    other = alice.create(name="Other", type="playbook", definition=PLAYBOOK)
    with acting_as(alice.workspace_id):
        execute(
            "update workflow_versions set definition = %s::jsonb where automation_id = %s",
            (dump_json({"trigger": {"type": "page"}, "steps": [hostile]}), playbook["id"]),
        )
    alice.request("PATCH", f"{alice.automations}/{other['id']}", json={"name": "Served"})
    assert list_names(client, key) == ["Served"]


@pytest.mark.parametrize("frequency", [{"max": 1}, 5, "often"])
def test_the_page_of_a_version_from_before_a_rule_says_what_is_not_valid(
    client: FlaskClient, alice: Producer, playbook: dict[str, Any], frequency: Any
) -> None:
    definition = {**PLAYBOOK, "trigger": {"type": "page"}, "frequency": frequency}
    with acting_as(alice.workspace_id):
        execute(
            "update workflow_versions set definition = %s::jsonb where automation_id = %s",
            (dump_json(definition), playbook["id"]),
        )
    page = sign_in_as(client, alice).get(f"/automations/{playbook['id']}")
    assert page.status_code == 200
    assert "Pages do not get v1, because it is not valid any more: frequency" in page.text
