"""The page of one execution: reasons, remedies, and confirmations."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import clock
from dashboard.pages import labels, remedies
from models.database import acting_as
from models.queries import fetch_value
from rules.errors import BY_CLASS
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer, definition
from tests.dashboard.test_pages import Browser, automation, bob, post, read_text, sign_in_as

__all__ = ["automation", "bob"]

#: Reasons that end follow-ups and never skip an execution.
_FOLLOW_UP_RULES = {"replied", "unsubscribed", "stopped"}


def fetch_status(alice: Producer, execution_id: str) -> str:
    with acting_as(alice.workspace_id):
        return str(fetch_value("select status from executions where id = %s", (execution_id,)))


def test_every_error_and_every_rule_has_a_remedy() -> None:
    # An unknown outcome has three buttons instead of a remedy.
    assert {name for name, error in BY_CLASS.items() if not error.remedy} == {"unknown_outcome"}
    assert set(remedies.RULES) == set(labels.RULES) - _FOLLOW_UP_RULES


def test_a_skipped_execution_shows_the_reason_and_a_remedy(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    ada = example_executions.create_contact(alice, "Ada")
    skipped = {"status": "skipped", "stage": "skipped", "contact_id": ada}
    suppressed = example_executions.create_execution(alice, automation, **skipped, skipped_rule="suppressed")
    page = bob.get(f"/executions/{suppressed}").text
    assert "You can lift the suppression there. Go to contact" in read_text(page)
    assert f'<a class="button" href="/contacts/{ada}">' in page
    limited = example_executions.create_execution(alice, automation, **skipped, skipped_rule="daily_limit")
    assert f'<a class="button" href="/automations/{automation["id"]}">' in bob.get(f"/executions/{limited}").text


def test_a_failed_execution_shows_a_remedy(bob: Browser, alice: Producer, automation: dict[str, Any]) -> None:
    page = read_text(bob.get(f"/executions/{example_executions.create_failed(alice, automation)}").text)
    assert "No route to Mailgun. Check that this machine can reach the provider" in page


def test_an_execution_is_cancelled_after_confirmation(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    soon = clock.now() + timedelta(hours=1)
    execution_id = example_executions.create_execution(
        alice, automation, status="waiting", stage="sent", waiting_for="time", due_at=soon
    )
    assert f'href="/executions/{execution_id}/cancel"' in bob.get(f"/executions/{execution_id}").text
    assert "Messages already sent are not recalled" in read_text(bob.get(f"/executions/{execution_id}/cancel").text)
    assert fetch_status(alice, execution_id) == "waiting"
    assert post(bob, f"/executions/{execution_id}/cancel").status_code == 303
    assert fetch_status(alice, execution_id) == "cancelled"
    assert "An operator cancelled it" in read_text(bob.get(f"/executions/{execution_id}").text)


def test_a_message_of_unknown_outcome_is_resent_after_confirmation(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    execution_id = example_executions.create_unknown(alice, automation)
    with acting_as(alice.workspace_id):
        message = fetch_value("select id from messages where execution_id = %s", (execution_id,))
    for decision in ("resend", "discard"):
        path = f"/executions/{execution_id}/messages/{message}/{decision}"
        assert f'href="{path}"' in bob.get(f"/executions/{execution_id}").text
        assert bob.get(path).status_code == 200
    assert "the contact gets it twice" in read_text(
        bob.get(f"/executions/{execution_id}/messages/{message}/resend").text
    )
    assert bob.get(f"/executions/{execution_id}/messages/{execution_id}/resend").status_code == 404
    assert fetch_status(alice, execution_id) == "failed"


def test_a_viewer_is_offered_no_actions(alice: Producer, client: Browser, automation: dict[str, Any]) -> None:
    execution_id = example_executions.create_execution(alice, automation, status="pending", stage="queued")
    viewer = sign_in_as(client, alice, "viewer")
    assert "/cancel" not in viewer.get(f"/executions/{execution_id}").text
    assert viewer.get(f"/executions/{execution_id}/cancel").status_code == 403


def test_the_automations_that_left_the_event_to_this_one_are_named(bob: Browser, alice: Producer) -> None:
    trigger = {"type": "instagram.message", "with": {"keywords": ["price"]}}
    alice.create(name="Prices", definition=definition(**trigger))
    newer = alice.create(name="Offers", definition=definition(**trigger))
    body = {
        "type": "instagram.message",
        "contact": {"email": "a@example.com"},
        "payload": {"message": {"text": "price"}},
    }
    answer = alice.post("/api/triggers", body).json

    assert answer["notChosen"] == [{"automationId": newer["id"], "because": "newer"}]
    (started,) = answer["executions"]
    page = read_text(bob.get(f"/executions/{started['executionId']}").text)
    assert "Also matched, not started Offers newer" in page
    cards = read_text(bob.get("/automations").text)
    assert '"Prices" also matches such messages: that one answers those that both match' in cards
