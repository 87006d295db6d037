"""The versions page: any two compared, restoring, and executions in flight that move; the same over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

import clock
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import post, read_text, sign_in_as

SOURCE = """\
# Kept
trigger: {type: contact.created}
rules: {daily_limit: 200}
steps:
  - {id: hello, action: send_email, with: {subject: Hello, body: Hi}}
"""
SECOND = SOURCE.replace("200", "300")
THIRD = SECOND.replace("subject: Hello", "subject: Welcome") + "# The end\n"


@pytest.fixture
def bob(alice: Producer, client: FlaskClient) -> FlaskClient:
    return sign_in_as(client, alice)


@pytest.fixture
def automation(alice: Producer) -> dict[str, Any]:
    """Three versions; two executions have not begun on the first, and one waits at the step that the third changed."""
    created = alice.post(alice.automations, {"name": "Welcome", "source": SOURCE}).json["automation"]
    for _ in range(2):
        example_executions.create_execution(alice, created, status="pending", stage="queued")
    example_executions.create_execution(
        alice, created, status="waiting", stage="ready_to_send", waiting_for="time",
        due_at=clock.now() + timedelta(hours=1),
    )  # fmt: skip
    for source in (SECOND, THIRD):
        response = alice.put(f"{alice.automations}/{created['id']}", {"source": source})
        assert response.status_code == 200
    detail: dict[str, Any] = response.json["automation"]
    return detail


def test_two_versions_are_compared_in_words_and_by_lines(bob: FlaskClient, automation: dict[str, Any]) -> None:
    path = f"/automations/{automation['id']}/versions"
    text = read_text(bob.get(f"{path}?from=1&to=3").text)
    assert "Daily limit: 200 → 300" in text
    assert 'Step "hello": subject changed from "Hello" to "Welcome"' in text
    assert "3 lines added, 2 removed" in text
    assert "Restore version 1 as draft" in text
    newest = read_text(bob.get(path).text)
    assert "Daily limit" not in newest
    assert "subject changed" in newest
    assert "No changes" in read_text(bob.get(f"{path}?from=2&to=2").text)
    back = read_text(bob.get(f"{path}?from=3&to=1").text)
    assert "Daily limit: 300 → 200" in back


def test_a_draft_is_compared_with_the_published_version(
    bob: FlaskClient, alice: Producer, automation: dict[str, Any]
) -> None:
    assert post(bob, f"/automations/{automation['id']}/versions/1/restore").status_code == 303
    detail = alice.get(f"{alice.automations}/{automation['id']}").json["automation"]
    assert (detail["version"], detail["hasDraft"]) == (3, True)
    assert alice.get(f"{alice.automations}/{automation['id']}/draft").json["draft"]["source"] == SOURCE
    page = bob.get(f"/automations/{automation['id']}/versions").text
    assert '<option value="draft" selected>' in page
    assert "Daily limit: 300 → 200" in read_text(page)


@pytest.mark.parametrize(
    ("query", "status"), [("from=9", 404), ("to=draft", 404), ("from=x", 404), ("to=²", 404), ("surprise=1", 422)]
)
def test_a_version_that_is_not_there_is_404(
    bob: FlaskClient, automation: dict[str, Any], query: str, status: int
) -> None:
    assert bob.get(f"/automations/{automation['id']}/versions?{query}").status_code == status


def test_the_page_says_what_moving_does_and_moves(
    bob: FlaskClient, alice: Producer, automation: dict[str, Any]
) -> None:
    path = f"/automations/{automation['id']}/versions"
    text = read_text(bob.get(path).text)
    assert "Version 1 2 Before the first step Starts with the rules and steps of the current version." in text
    assert "Version 1 1 At “hello” Stays: The step “hello” is different in the current version." in text
    assert "Move 2 of 3 of version 1" in text
    assert 'href="/queues"' in bob.get(path).text
    assert post(bob, f"{path}/move", versions="1").status_code == 303
    text = read_text(bob.get(path).text)
    assert "2 executions moved to version 3. 1 stay on their version." in text
    assert "Version 3 2 Before the first step On the published version" in text
    entries = alice.get("/api/audit").json["entries"]
    assert [entry["detail"] for entry in entries if entry["action"] == "automation.executions_moved"] == [
        {"from": [1], "to": 3, "moved": 2}
    ]


def test_the_api_counts_first_and_moves_then(alice: Producer, automation: dict[str, Any]) -> None:
    path = f"{alice.automations}/{automation['id']}/in-flight"
    places = alice.get(path).json["places"]
    assert {(place["version"], place["count"], place["refusal"] is None) for place in places} == {
        (1, 2, True), (1, 1, False),
    }  # fmt: skip
    dry = alice.post(f"{path}/move", {"dryRun": True}).json
    assert (dry["matched"], dry["moved"], dry["left"]) == (2, 0, 1)
    assert alice.post(f"{path}/move", {"versions": [2]}).json["moved"] == 0
    moved = alice.post(f"{path}/move", {"versions": [1]}).json
    assert (moved["moved"], moved["left"]) == (2, 1)
    assert alice.post(f"{path}/move").json["moved"] == 0
    assert alice.post(f"{path}/move", {"versions": [0]}).status_code == 422
    assert alice.post(f"{path}/move", {"versions": "1"}).status_code == 422


def test_a_viewer_and_another_workspace_move_nothing(
    alice: Producer, charlie: Producer, automation: dict[str, Any], client: FlaskClient
) -> None:
    viewer = sign_in_as(client, alice, "viewer")
    page = viewer.get(f"/automations/{automation['id']}/versions").text
    assert "Move to version" not in page
    assert "Restore version" not in viewer.get(f"/automations/{automation['id']}/versions?from=1&to=3").text
    assert post(viewer, f"/automations/{automation['id']}/versions/move", versions="1").status_code == 403
    assert charlie.get(f"{charlie.automations}/{automation['id']}/in-flight").status_code == 404
    assert charlie.post(f"{charlie.automations}/{automation['id']}/in-flight/move").status_code == 404
    assert sum(place["count"] for place in alice.get(f"{alice.automations}/{automation['id']}/in-flight").json["places"]
        if place["version"] == 1) == 3  # fmt: skip
