"""Every automation of the demo workspace does in the sandbox what it is there to show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import meta_world as meta
import pytest

from cast import at_rest, finished, let_time_pass, messages, steps
from ephemeral import workflow_cache
from models import demo, verification
from models.database import changed, row
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


# What comes from Instagram


@pytest.fixture
def world(engine: Engine) -> str:
    """The demo workspace as Meta's webhooks find it."""
    workspace_id = demo.make()
    demo.connect(workspace_id)
    return workspace_id


def _said(sandbox: Running, to: str) -> list[str]:
    told = [one["body"]["message"] for one in sandbox.messages(provider="instagram", to=to)]
    return [one if isinstance(one, str) else one.get("text") or one["attachment"]["payload"]["text"] for one in told]


@pytest.mark.parametrize(
    ("person", "step", "says"), [("1001", "link", "Here it is, there"), ("1002", "link_and_ask", "Follow us")]
)
def test_a_comment_becomes_a_conversation_whose_end_depends_on_who_follows(
    world: str, sandbox: Running, person: str, step: str, says: str
):
    meta.tell(meta.comment("Is this the SPRING collection?", number=7, person=person))
    (started,) = meta.executions()
    at_rest(started["id"])
    assert _said(sandbox, "comment-7") == [
        "Thank you! Look into your messages, we have written to you.",
        f"Hi user_{person}, you like our spring collection? Shall we send you the link?",
    ]

    meta.tell(meta.event(person=person, postback={"mid": "m-1", "title": "Send me the link", "payload": "SEND_LINK"}))

    assert finished(started["id"])["status"] == "succeeded"
    assert steps(started["id"])[step]["status"] == "succeeded"
    (link,) = _said(sandbox, person)
    assert says in link or f"Here it is, user_{person}" in link
    assert len(meta.executions()) == 1


def test_a_story_reply_is_thanked_for(world: str, sandbox: Running):
    meta.tell(meta.says("I love it", person="1001", reply_to={"story": {"id": "s", "url": "https://cdn.example/s"}}))
    (started,) = meta.executions()
    assert finished(started["id"])["status"] == "succeeded"
    assert "Thank you for your answer" in _said(sandbox, "1001")[0]
    assert meta.contacts()[-1]["tags"] == ["story"]


def test_a_direct_message_with_the_keyword_is_answered_once_within_the_cool_down(world: str, sandbox: Running):
    meta.tell(meta.says("what about SPRING?", person="1001"), meta.says("spring!!", person="1001"))
    (started,) = meta.executions()
    assert finished(started["id"])["status"] == "succeeded"
    assert len(_said(sandbox, "1001")) == 1


def test_every_other_message_is_answered_once_that_is_switched_on(world: str, sandbox: Running):
    meta.tell(meta.says("good morning", person="1001"))
    assert meta.executions() == []
    changed("update automations set enabled = true")
    workflow_cache.invalidate(world)

    meta.tell(meta.says("anybody there?", person="1001"), meta.says("spring?", person="1002"))

    for one in meta.executions():
        assert finished(one["id"])["status"] == "succeeded"
    assert [len(_said(sandbox, person)) for person in ("1001", "1002")] == [1, 1]
    assert "What is it about?" in _said(sandbox, "1001")[0]
    assert row("select title from contact_tasks")["title"] == "Answer a message on Instagram"
