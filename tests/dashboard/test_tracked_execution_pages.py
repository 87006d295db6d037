"""Executions of playbooks for people and programs: the list with its filters, and the page of one with its actions."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from models import site_key
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import Browser, read_text, sign_in_as
from tests.support.tracking import record_as_service

PLAYBOOK = {
    "trigger": {"type": "page"},
    "steps": [{"id": "hide", "action": "hide", "with": {"selector": ".old"}}],
}
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def offer(alice: Producer) -> str:
    """A playbook of Alice's."""
    return str(alice.create(name="Offer", type="playbook", definition=PLAYBOOK)["id"])


@pytest.fixture
def bob(client: FlaskClient, alice: Producer) -> Browser:
    """Bob's browser; he may look."""
    return sign_in_as(client, alice, role="viewer")


def track(alice: Producer, automation_id: str, **fields: Any) -> str:
    """Report an execution and record it as the tracking program does; return its id in the lists."""
    body = {
        "workflowId": automation_id, "executionId": "exec-789", "status": "success", "executionTimeMs": 250,
        "pageUrl": "https://shop.example/pricing?utm_source=x", "sessionId": "session-123", "deviceType": "desktop",
        "triggerName": "UTM Parameters",
        "actions": [{"name": "Replace Text", "selector": ".title", "executionTimeMs": 45, "config": {"text": "Hi"}}],
        **fields,
    }  # fmt: skip
    assert alice.post("/api/track-execution", body).status_code == 201
    record_as_service()
    (row,) = alice.get(f"/api/tracked-executions?q={body['executionId']}").json["executions"]
    return str(row["id"])


def test_the_api_lists_and_shows_an_execution(alice: Producer, offer: str) -> None:
    row_id = track(alice, offer)
    (listed,) = alice.get("/api/tracked-executions?status=success&deviceType=desktop&page=/pricing").json["executions"]
    assert listed == {
        "id": row_id, "executionId": "exec-789", "automationId": offer, "automationName": "Offer", "status": "success",
        "executionTimeMs": 250, "pageUrl": "https://shop.example/pricing?utm_source=x", "sessionId": "session-123",
        "userId": None, "deviceType": "desktop", "triggerName": "UTM Parameters", "actionCount": 1,
        "failedActions": 0, "executedAt": listed["executedAt"],
    }  # fmt: skip
    detail = alice.get(f"/api/tracked-executions/{row_id}").json["execution"]
    assert detail["actions"] == [
        {"name": "Replace Text", "selector": ".title", "executionTimeMs": 45, "config": {"text": "Hi"}, "error": None}
    ]


def test_pages_of_the_api_follow_one_another(alice: Producer, offer: str) -> None:
    ids = [track(alice, offer, executionId=f"exec-{number}") for number in range(3)]
    first = alice.get("/api/tracked-executions?limit=2").json
    assert [row["id"] for row in first["executions"]] == [ids[2], ids[1]]
    last = alice.get(f"/api/tracked-executions?limit=2&cursor={first['nextCursor']}").json
    assert ([row["id"] for row in last["executions"]], last["nextCursor"]) == ([ids[0]], None)


def test_the_list_shows_executions_and_keeps_its_filters_in_the_url(bob: Browser, alice: Producer, offer: str) -> None:
    row_id = track(alice, offer)
    page = bob.get(f"/executions/playbooks?automationId={offer}&status=failed").text
    assert row_id not in page
    assert 'aria-label="Remove filter: playbook Offer"' in page
    page = bob.get("/executions/playbooks?page=/pricing&time=today&q=session-123").text
    assert f'href="/executions/playbooks/{row_id}"' in page
    text = read_text(page)
    for part in ("Succeeded", "Offer", "/pricing", "UTM Parameters", "Desktop", "250 ms"):
        assert part in text


def test_executions_of_a_deleted_playbook_stay(bob: Browser, alice: Producer, offer: str) -> None:
    row_id = track(alice, offer)
    alice.request("DELETE", f"{alice.automations}/{offer}")
    page = bob.get(f"/executions/playbooks/{row_id}").text
    assert "Deleted" in read_text(page)
    assert f'href="/automations/{offer}"' not in page
    assert row_id in bob.get("/executions/playbooks").text


def test_a_filter_by_any_automation_names_it(bob: Browser, alice: Producer) -> None:
    automation = str(alice.create(name="Welcome")["id"])
    row_id = track(alice, automation)
    page = bob.get(f"/executions/playbooks?automationId={automation}").text
    assert row_id in page
    assert "Remove filter: playbook Welcome" in page
    assert bob.get("/executions/playbooks?automationId=nothing").status_code == 200


def test_an_empty_list_says_how_executions_come_about(bob: Browser) -> None:
    assert "install the script" in read_text(bob.get("/executions/playbooks").text)


def test_the_page_of_an_execution_shows_each_action(bob: Browser, alice: Producer, offer: str) -> None:
    actions = [
        {"name": "Replace Text", "selector": ".title", "executionTimeMs": 45, "config": {"text": "Hi"}},
        {"name": "Show", "selector": "#b", "executionTimeMs": 3, "error": "no such element"},
    ]
    text = read_text(bob.get(f"/executions/playbooks/{track(alice, offer, actions=actions)}").text)
    for part in ("Offer", "Succeeded", "250 ms", "Replace Text", ".title", "45 ms", "no such element", "session-123"):
        assert part in text


def test_whatever_a_browser_reported_is_shown_as_text(bob: Browser, alice: Producer, offer: str) -> None:
    hostile = {
        "pageUrl": f"https://shop.example/{HOSTILE.replace(' ', '')}", "sessionId": HOSTILE, "userId": HOSTILE,
        "triggerName": HOSTILE,
        "actions": [{"name": HOSTILE, "selector": HOSTILE, "config": {HOSTILE: HOSTILE}, "error": HOSTILE}],
    }  # fmt: skip
    row_id = track(alice, offer, **hostile)
    for path in ("/executions/playbooks", f"/executions/playbooks/{row_id}"):
        page = bob.get(path).text
        assert HOSTILE not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_another_workspace_sees_no_execution(charlie: Producer, alice: Producer, offer: str) -> None:
    row_id = track(alice, offer)
    assert charlie.get("/api/tracked-executions").json["executions"] == []
    assert charlie.get(f"/api/tracked-executions/{row_id}").status_code == 404


def test_an_execution_of_a_page_is_shown_with_its_site_key(client: FlaskClient, alice: Producer, offer: str) -> None:
    key = site_key.issue(alice.workspace_id, "Shop", ["https://shop.example"]).key
    response = client.post(
        f"/api/track-execution?k={key}", json={"workflowId": offer}, headers={"Origin": "https://shop.example"}
    )
    assert response.status_code == 201
    record_as_service()
    assert len(alice.get(f"/api/tracked-executions?automationId={offer}").json["executions"]) == 1
