"""Every automation of the demo workspace does in the sandbox what it demonstrates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ephemeral import workflow_cache
from models.checks import verification
from models.demo import workspace as demo_workspace
from models.demo.examples import CONTACTS
from models.queries import execute
from rules.trigger_requests import TriggerRequest
from sandbox.server import RunningSandbox
from settings import Settings
from tasks import periodic_jobs
from tasks.intake.triggers import AcceptedTrigger, accept
from tasks.runtime.engine import Engine
from tests.support import meta_world as meta
from tests.support.factories import expire_wait, messages, steps, wait_for_status, wait_until_finished
from tests.support.rows import fetch_row

ADA = CONTACTS[0]


@pytest.fixture
def trigger_for_ada(engine: Engine) -> Callable[..., AcceptedTrigger]:
    """Send triggers about Ada in a new demo workspace."""
    workspace_id = demo_workspace.create_demo()

    def trigger(type: str, **payload: Any) -> AcceptedTrigger:
        request = TriggerRequest(type=type, contact_id=None, contact={"email": ADA["email"]}, payload=payload)
        (accepted,) = accept(workspace_id, [request], "api")
        assert isinstance(accepted, AcceptedTrigger)
        return accepted

    return trigger


def test_a_new_contact_gets_a_welcome_that_the_ai_generated(trigger_for_ada, sandbox: RunningSandbox):
    execution = wait_until_finished(trigger_for_ada("contact.created"))
    assert execution["status"] == "succeeded"
    assert messages(execution["id"])[0]["body"] == steps(execution["id"])["write"]["output"]["text"]
    assert [message["to"] for message in sandbox.list_messages(provider="mailgun")] == [ADA["email"]]


@pytest.mark.parametrize(("amount", "provider", "to"), [(800, "telnyx", ADA["phone"]), (99, "mailgun", ADA["email"])])
def test_an_overdue_invoice_sends_a_reminder_and_creates_a_task_two_hours_later(
    trigger_for_ada, sandbox: RunningSandbox, settings: Settings, amount: int, provider: str, to: str
):
    waiting = wait_for_status(trigger_for_ada("invoice.overdue", amount=amount))
    assert [message["to"] for message in sandbox.list_messages(provider=provider)] == [to]
    expire_wait(waiting["id"])
    periodic_jobs.enqueue_due(settings)
    assert wait_until_finished(waiting["id"])["status"] == "succeeded"
    assert str(amount) in fetch_row("select title from contact_tasks")["title"]


def test_a_hot_lead_is_reported_and_tagged(trigger_for_ada, sandbox: RunningSandbox):
    wait_until_finished(trigger_for_ada("lead.scored", score=91))
    assert len(sandbox.list_messages(provider="slack")) == 1
    assert "hot" in fetch_row("select tags from contacts where email = %s", (ADA["email"],))["tags"]
    assert trigger_for_ada("lead.scored", score=10).executions == []


def test_a_personal_note_is_sent_manually(trigger_for_ada, sandbox: RunningSandbox):
    wait_until_finished(trigger_for_ada("manual"))
    assert len(sandbox.list_messages(provider="telnyx")) == 1
    assert all(invariant.holds for invariant in verification.verify())


# Events from Instagram


@pytest.fixture
def demo_workspace_id(engine: Engine) -> str:
    """The demo workspace with the accounts that Meta's webhooks name."""
    workspace_id = demo_workspace.create_demo()
    demo_workspace.connect(workspace_id)
    return workspace_id


def _list_texts(sandbox: RunningSandbox, to: str) -> list[str]:
    contents = [message["body"]["message"] for message in sandbox.list_messages(provider="instagram", to=to)]
    return [
        content if isinstance(content, str) else content.get("text") or content["attachment"]["payload"]["text"]
        for content in contents
    ]


@pytest.mark.parametrize(
    ("person", "step", "says"), [("1001", "link", "Here it is, there"), ("1002", "link_and_ask", "Follow us")]
)
def test_a_comment_starts_a_conversation_whose_end_depends_on_following(
    demo_workspace_id: str, sandbox: RunningSandbox, person: str, step: str, says: str
):
    meta.deliver_webhooks(meta.comment("Is this the SPRING collection?", number=7, person=person))
    (started,) = meta.executions()
    wait_for_status(started["id"])
    assert _list_texts(sandbox, "comment-7") == [
        "Thank you! Check your direct messages: we have sent you one.",
        f"Hi user_{person}, you like our spring collection? Shall we send you the link?",
    ]

    meta.deliver_webhooks(
        meta.event(person=person, postback={"mid": "m-1", "title": "Send me the link", "payload": "SEND_LINK"})
    )

    assert wait_until_finished(started["id"])["status"] == "succeeded"
    assert steps(started["id"])[step]["status"] == "succeeded"
    (link,) = _list_texts(sandbox, person)
    assert says in link or f"Here it is, user_{person}" in link
    assert len(meta.executions()) == 1


def test_a_story_reply_gets_a_thank_you(demo_workspace_id: str, sandbox: RunningSandbox):
    meta.deliver_webhooks(
        meta.message_event("I love it", person="1001", reply_to={"story": {"id": "s", "url": "https://cdn.example/s"}})
    )
    (started,) = meta.executions()
    assert wait_until_finished(started["id"])["status"] == "succeeded"
    assert "Thank you for your answer" in _list_texts(sandbox, "1001")[0]
    assert meta.contacts()[-1]["tags"] == ["story"]


def test_a_direct_message_with_the_keyword_is_answered_once_within_the_cool_down(
    demo_workspace_id: str, sandbox: RunningSandbox
):
    meta.deliver_webhooks(
        meta.message_event("what about SPRING?", person="1001"), meta.message_event("spring!!", person="1001")
    )
    (started,) = meta.executions()
    assert wait_until_finished(started["id"])["status"] == "succeeded"
    assert len(_list_texts(sandbox, "1001")) == 1


def test_every_other_message_is_answered_once_its_automation_is_on(demo_workspace_id: str, sandbox: RunningSandbox):
    meta.deliver_webhooks(meta.message_event("good morning", person="1001"))
    assert meta.executions() == []
    execute("update automations set enabled = true")
    workflow_cache.invalidate(demo_workspace_id)

    meta.deliver_webhooks(
        meta.message_event("anybody there?", person="1001"), meta.message_event("spring?", person="1002")
    )

    for execution in meta.executions():
        assert wait_until_finished(execution["id"])["status"] == "succeeded"
    assert [len(_list_texts(sandbox, person)) for person in ("1001", "1002")] == [1, 1]
    assert "What is it about?" in _list_texts(sandbox, "1001")[0]
    assert fetch_row("select title from contact_tasks")["title"] == "Answer a message on Instagram"
