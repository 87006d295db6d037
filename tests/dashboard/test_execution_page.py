"""The page of one execution: why it ended and what to do, and no end without a question."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import clock
from dashboard.pages import remedies, words
from models.database import acting_as, value
from tests.dashboard import stories
from tests.dashboard.cast import Producer
from tests.dashboard.test_pages import Browser, automation, bob, post, signed_in, words_of

__all__ = ["automation", "bob"]

#: These end follow-ups; nothing is skipped by them.
_OF_FOLLOW_UPS = {"replied", "unsubscribed", "stopped"}


def status_of(alice: Producer, execution_id: str) -> str:
    with acting_as(alice.workspace_id):
        return str(value("select status from executions where id = %s", (execution_id,)))


def test_there_is_something_to_do_about_every_error_and_every_rule() -> None:
    # What is to be done about an unknown outcome are the three buttons beside it.
    assert set(remedies.ERRORS) == set(words.ERRORS) - {"unknown_outcome"}
    assert set(remedies.RULES) == set(words.RULES) - _OF_FOLLOW_UPS


def test_a_skipped_execution_says_why_what_to_do_and_where(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    ada = stories.contact(alice, "Ada")
    skipped = {"status": "skipped", "stage": "skipped", "contact_id": ada}
    suppressed = stories.execution(alice, automation, **skipped, skipped_rule="suppressed")
    page = bob.get(f"/executions/{suppressed}").text
    assert "it can be lifted there. To the contact" in words_of(page)
    assert f'<a class="button" href="/contacts/{ada}">' in page
    limited = stories.execution(alice, automation, **skipped, skipped_rule="daily_limit")
    assert f'<a class="button" href="/automations/{automation["id"]}">' in bob.get(f"/executions/{limited}").text


def test_a_failed_execution_says_what_to_do(bob: Browser, alice: Producer, automation: dict[str, Any]) -> None:
    page = words_of(bob.get(f"/executions/{stories.failed(alice, automation)}").text)
    assert "No route to Mailgun. Look whether this machine reaches the provider" in page


def test_an_execution_is_cancelled_after_a_question(bob: Browser, alice: Producer, automation: dict[str, Any]) -> None:
    soon = clock.now() + timedelta(hours=1)
    one = stories.execution(alice, automation, status="waiting", stage="sent", waiting_for="time", due_at=soon)
    assert f'href="/executions/{one}/cancel"' in bob.get(f"/executions/{one}").text
    assert "What was sent stays sent" in words_of(bob.get(f"/executions/{one}/cancel").text)
    assert status_of(alice, one) == "waiting"
    assert post(bob, f"/executions/{one}/cancel").status_code == 303
    assert status_of(alice, one) == "cancelled"
    assert "An operator ended it" in words_of(bob.get(f"/executions/{one}").text)


def test_a_message_that_may_have_left_is_sent_again_after_a_question(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    one = stories.unknown(alice, automation)
    with acting_as(alice.workspace_id):
        message = value("select id from messages where execution_id = %s", (one,))
    for decision in ("resend", "discard"):
        path = f"/executions/{one}/messages/{message}/{decision}"
        assert f'href="{path}"' in bob.get(f"/executions/{one}").text
        assert bob.get(path).status_code == 200
    assert "the contact gets it twice" in words_of(bob.get(f"/executions/{one}/messages/{message}/resend").text)
    assert bob.get(f"/executions/{one}/messages/{one}/resend").status_code == 404
    assert status_of(alice, one) == "failed"


def test_a_viewer_is_not_asked(alice: Producer, client: Browser, automation: dict[str, Any]) -> None:
    one = stories.execution(alice, automation, status="pending", stage="queued")
    viewer = signed_in(client, alice, "viewer")
    assert "/cancel" not in viewer.get(f"/executions/{one}").text
    assert viewer.get(f"/executions/{one}/cancel").status_code == 403
