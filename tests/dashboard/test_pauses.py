"""Pauses are shown on every page with what to do, and operators end them there."""

from __future__ import annotations

import html
import re

from flask.testing import FlaskClient

import clock
from models import pause, restore_pauses
from models.database import acting_as
from models.ids import new_id
from models.queries import execute, fetch_value
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import list_ids, post, read_text, sign_in_as

REFUSED = "Instagram refused the request (the session has expired). Renew META_PAGE_ACCESS_TOKEN."


def record_refusal(alice: Producer) -> None:
    """Record a pause as a worker does after invalid credentials."""
    with acting_as(alice.workspace_id):
        execute(
            "insert into pauses (id, workspace_id, kind, name, reason, message, retry_at) values "
            "(%s, %s, 'provider', 'instagram', 'configuration', %s, beckon_now() + interval '40 minutes')",
            (new_id(), alice.workspace_id, REFUSED),
        )


def test_invalid_credentials_are_shown_on_every_page(alice: Producer, client: FlaskClient) -> None:
    bob = sign_in_as(client, alice)
    assert "is paused" not in bob.get("/automations").text
    record_refusal(alice)

    for path in ("/automations", "/executions", "/summary"):
        text = read_text(bob.get(path).text)
        assert "Instagram is paused" in text
        assert REFUSED in text

    response = post(bob, "/pauses/provider/instagram/end")
    assert response.status_code == 303
    assert "Instagram resumed: nothing was waiting." in read_text(bob.get("/executions").text)
    with acting_as(alice.workspace_id):
        assert pause.list_all(alice.workspace_id) == []
        assert fetch_value("select action from audit order by id desc limit 1") == "provider.resumed"
    assert post(bob, "/pauses/provider/instagram/end").status_code == 404


def test_a_restore_is_one_notice_and_each_provider_is_resumed(alice: Producer, client: FlaskClient) -> None:
    alice.create()
    bob = sign_in_as(client, alice)
    with acting_as(alice.workspace_id):
        restore_pauses.start(["mailgun", "telnyx"], "Started after a restore")

    page = read_text(bob.get("/executions").text)
    assert page.count("Sends are paused after a restore") == 1
    assert "Mailgun is paused" not in page
    assert "Paused after a restore" in read_text(bob.get("/health").text)

    assert post(bob, "/pauses/provider/mailgun/end").status_code == 303
    with acting_as(alice.workspace_id):
        assert [row["name"] for row in pause.list_all(alice.workspace_id)] == ["telnyx"]
        assert fetch_value("select action from audit order by id desc limit 1") == "provider.resumed"


def test_a_pause_counts_the_messages_that_wait_for_it(alice: Producer, client: FlaskClient) -> None:
    automation, bob = alice.create(), sign_in_as(client, alice)
    record_refusal(alice)
    assert "Waiting messages continue automatically once fixed" in read_text(bob.get("/summary").text)
    waiting = {"status": "waiting", "stage": "ready_to_send", "waiting_for": "configuration", "queue": "sending"}
    waiting["due_at"] = clock.now()
    for provider in ("instagram", "instagram", "mailgun"):
        execution_id = example_executions.create_execution(alice, automation, **waiting)
        example_executions.create_message(alice, automation, execution_id, status="pending", provider=provider)
    page = bob.get("/summary").text
    assert "2 waiting messages continue automatically once fixed" in read_text(page)
    assert "Waiting 3 2 for Instagram" in read_text(page)
    (path, *_) = re.findall(r'href="([^"]+)" data-count="held"', page)
    assert len(list_ids(bob, html.unescape(path))) == 2


def test_a_pause_of_generation_counts_the_executions_that_wait_for_a_text(alice: Producer, client: FlaskClient) -> None:
    automation, bob = alice.create(), sign_in_as(client, alice)
    with acting_as(alice.workspace_id):
        pause.start("provider", "gemini", alice.workspace_id)
        pause.start("queue", "sending", alice.workspace_id)
    waiting = {"status": "waiting", "stage": "eligible", "waiting_for": "pause", "queue": "generation"}
    example_executions.create_execution(alice, automation, **waiting)
    text = read_text(bob.get("/summary").text)
    assert "Gemini is paused by an operator , now . 1 waiting message continues when it is resumed" in text
    assert "Queue sending is paused by an operator , now . Waiting messages continue when it is resumed" in text


def test_a_viewer_sees_pauses_and_cannot_end_them(alice: Producer, client: FlaskClient) -> None:
    with acting_as(alice.workspace_id):
        pause.start("queue", "sending", alice.workspace_id)
    viewer = sign_in_as(client, alice, role="viewer")

    page = viewer.get("/executions").text

    assert "Queue sending is paused by an operator" in read_text(page)
    assert "/pauses/" not in page
    assert post(viewer, "/pauses/queue/sending/end").status_code == 403
