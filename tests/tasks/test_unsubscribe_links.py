"""E-mail that bulk senders must send: links to unsubscribe in header, body and footer, and what they then decide."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from models import email_recipient, suppression, workspace_preferences
from models.audit import SYSTEM
from models.database import acting_as
from models.queries import execute
from models.tables import Contact
from rules.unsubscribe_links import Recipient
from sandbox.server import RunningSandbox
from tasks.runtime.engine import Engine
from tests.support.factories import Alice, bob, messages, steps, wait_until_finished
from tests.support.rows import fetch_rows

BASE = "https://beckon.example"
_numbers = itertools.count(1)


@pytest.fixture
def alice(engine: Engine) -> Iterator[Alice]:
    earlier, engine.settings = engine.settings, engine.settings.replace(url=BASE)
    yield Alice()
    engine.settings = earlier


def send(alice: Alice, body: str = "Hi!", document: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """Run a workflow of one e-mail to Bob; return the execution."""
    event = f"event.e{next(_numbers)}"
    step = {"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": body, **fields}}
    alice.automation([step], trigger=event, **(document or {}))
    return wait_until_finished(alice.trigger(event))


def find_recipient(sandbox: RunningSandbox) -> Recipient:
    """Whom the newest e-mail's link belongs to."""
    url = sandbox.list_messages("mailgun")[-1]["body"]["h:List-Unsubscribe"].strip("<>")
    recipient = email_recipient.find(url.removeprefix(f"{BASE}/u/"))
    assert recipient
    return recipient


def test_bulk_email_has_both_headers_and_a_footer(alice: Alice, sandbox: RunningSandbox) -> None:
    changes = {"sender_name": "Ada & Co", "postal_address": "1 Main St\nRome"}
    workspace_preferences.change(alice.workspace_id, "sender", changes, SYSTEM)
    send(alice)
    body = sandbox.list_messages("mailgun")[-1]["body"]
    url = body["h:List-Unsubscribe"].strip("<>")
    assert body["h:List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert body["text"] == (
        f"Hi!\n\n-- \nAda & Co\n1 Main St\nRome\nUnsubscribe: {url}\nChoose topics: {url}/preferences"
    )
    recipient = find_recipient(sandbox)
    assert recipient.workspace_id == alice.workspace_id
    assert email_recipient.load(recipient).address == bob()["email"]


def test_a_link_in_the_body_replaces_the_footer(alice: Alice, sandbox: RunningSandbox) -> None:
    send(alice, "<p>Hi!</p><a href='{{ unsubscribe_url }}'>Stop</a>", format="html")
    body = sandbox.list_messages("mailgun")[-1]["body"]
    url = body["h:List-Unsubscribe"].strip("<>")
    assert body["html"] == f"<p>Hi!</p><a href='{url}'>Stop</a>"
    send(alice, "Hi! {{ preferences_url }}")
    assert "Unsubscribe: " in sandbox.list_messages("mailgun")[-1]["body"]["text"]


def test_transactional_email_and_http_have_neither_header_nor_footer(
    alice: Alice, engine: Engine, sandbox: RunningSandbox
) -> None:
    send(alice, document={"transactional": True})
    engine.settings = engine.settings.replace(url="http://beckon.example")
    send(alice)
    send(alice, "Stop: {{ unsubscribe_url }}")
    first, second, third = (message["body"] for message in sandbox.list_messages("mailgun")[-3:])
    for body in (first, second, third):
        assert not [name for name in body if "Unsubscribe" in name]
    assert (first["text"], second["text"]) == ("Hi!", "Hi!")
    assert third["text"].startswith("Stop: http://beckon.example/u/")


def test_one_click_stops_all_but_transactional_email_and_allowed_topics(alice: Alice, sandbox: RunningSandbox) -> None:
    send(alice, document={"topic": "news"})
    recipient = find_recipient(sandbox)
    assert recipient.topic == "news"
    email_recipient.unsubscribe(recipient)
    for document in ({}, {"topic": "news"}, {"topic": "sale"}):
        assert send(alice, document=document)["status"] == "skipped"
    assert send(alice, document={"transactional": True})["status"] == "succeeded"
    email_recipient.choose_topics(recipient, {"news": True})
    assert send(alice, document={"topic": "news"})["status"] == "succeeded"
    assert send(alice, document={"topic": "sale"})["status"] == "skipped"
    email_recipient.resubscribe(recipient)
    email_recipient.choose_topics(recipient, {"news": False})
    assert send(alice)["status"] == "succeeded"
    assert send(alice, document={"topic": "news"})["status"] == "skipped"


@pytest.mark.parametrize("reason", ["complained", "bounced"])
def test_transactional_email_ignores_no_other_reason(alice: Alice, sandbox: RunningSandbox, reason: Any) -> None:
    send(alice)
    recipient = find_recipient(sandbox)
    email_recipient.unsubscribe(recipient)
    with acting_as(alice.workspace_id):
        suppression.add_hashed(alice.workspace_id, "email", recipient.address_hash, bob()["email"], reason)
    assert send(alice, document={"transactional": True})["status"] == "skipped"
    email_recipient.resubscribe(recipient)
    assert send(alice)["status"] == "skipped"


def test_a_link_outlives_the_contact_and_its_address(alice: Alice, sandbox: RunningSandbox) -> None:
    send(alice)
    recipient = find_recipient(sandbox)
    with acting_as(alice.workspace_id):
        execute("update email_recipients set address = null")
        execute(Contact.update(deleted_at="2026-01-01T00:00:00Z").where(Contact.workspace_id == alice.workspace_id))
    email_recipient.unsubscribe(recipient)
    (row,) = fetch_rows(
        "select address, reason from suppressed_addresses where workspace_id = %s", (alice.workspace_id,)
    )
    assert row == {"address": None, "reason": "unsubscribed"}
    assert send(alice)["status"] == "skipped"


def test_allowed_headers_reach_the_provider(alice: Alice, sandbox: RunningSandbox) -> None:
    execution = send(alice, headers={"X-Team": "{{ contact.first_name }}", "Feedback-ID": "1:news"})
    body = sandbox.list_messages("mailgun")[-1]["body"]
    assert (body["h:X-Team"], body["h:Feedback-ID"]) == (bob()["first_name"], "1:news")
    assert steps(execution["id"])["hello"]["status"] == "succeeded"
    assert len(messages(execution["id"])) == 1
