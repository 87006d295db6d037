"""Every automation of the demo workspace does in the sandbox what it is there to show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cast import at_rest, finished, let_time_pass, messages, steps
from models import demo, verification
from models.database import row
from models.demo_examples import CONTACTS
from sandbox.server import Running
from settings import Settings
from tasks import sweeps
from tasks.engine import Engine
from tasks.triggers import Accepted, TriggerRequest, accept

ADA = CONTACTS[0]


@pytest.fixture
def happen(engine: Engine) -> Callable[..., Accepted]:
    """Let something happen to Ada, in a demo workspace that was just made."""
    workspace_id = demo.make()

    def happened(type: str, **payload: Any) -> Accepted:
        request = TriggerRequest(type=type, contact_id=None, contact={"email": ADA["email"]}, payload=payload)
        (answer,) = accept(workspace_id, [request], "api")
        assert isinstance(answer, Accepted)
        return answer

    return happened


def test_a_new_contact_gets_a_welcome_that_the_ai_wrote(happen, sandbox: Running):
    found = finished(happen("contact.created"))
    assert found["status"] == "succeeded"
    assert messages(found["id"])[0]["body"] == steps(found["id"])["write"]["output"]["text"]
    assert [one["to"] for one in sandbox.messages(provider="mailgun")] == [ADA["email"]]


@pytest.mark.parametrize(("amount", "provider", "to"), [(800, "telnyx", ADA["phone"]), (99, "mailgun", ADA["email"])])
def test_an_overdue_invoice_is_reminded_of_and_becomes_a_task_two_hours_later(
    happen, sandbox: Running, settings: Settings, amount: int, provider: str, to: str
):
    waiting = at_rest(happen("invoice.overdue", amount=amount))
    assert [one["to"] for one in sandbox.messages(provider=provider)] == [to]
    let_time_pass(waiting["id"])
    sweeps.wake_due(settings)
    assert finished(waiting["id"])["status"] == "succeeded"
    assert str(amount) in row("select title from contact_tasks")["title"]


def test_a_hot_lead_is_told_of_and_tagged(happen, sandbox: Running):
    finished(happen("lead.scored", score=91))
    assert len(sandbox.messages(provider="slack")) == 1
    assert "hot" in row("select tags from contacts where email = %s", (ADA["email"],))["tags"]
    assert happen("lead.scored", score=10).executions == []


def test_a_personal_note_is_sent_by_hand(happen, sandbox: Running):
    finished(happen("manual"))
    assert len(sandbox.messages(provider="telnyx")) == 1
    assert all(one.holds for one in verification.verify())
