"""The page of queues: three tables, and the pages that pause, drain, resume and try."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

import clock
from ephemeral import heartbeats
from ephemeral.heartbeats import Pool
from models import pause
from models.database import acting_as
from models.queries import fetch_value
from tasks.health.calls import FAILING_CALLS
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import post, read_text, sign_in_as
from tests.dashboard.test_pauses import record_refusal


def test_the_page_shows_queues_providers_and_processes(alice: Producer, client: FlaskClient) -> None:
    bob = sign_in_as(client, alice)
    heartbeats.record(["sending"], clock.now(), program="sending", pools={"sending": Pool(32, 5)})
    heartbeats.record([], clock.now(), program="scheduler", leader=True)
    example_executions.create_execution(alice, alice.create(), status="pending", stage="queued", queue="sending")
    page = bob.get("/queues").text
    text = read_text(page)
    assert "sending call providers 1" in text
    assert "5 of 32" in text
    assert "scheduler Leader" in text
    assert "Mailgun e-mail" in text
    assert 'href="/executions/pending?queue=sending"' in page
    assert "Pause all sending" in text
    assert "hidden sending" in text


def test_a_queue_is_paused_for_a_reason_and_resumed(alice: Producer, client: FlaskClient) -> None:
    bob = sign_in_as(client, alice)
    assert "Pause all sending?" in read_text(bob.get("/pauses/queue/sending").text)
    assert post(bob, "/pauses/queue/sending", reason=" channel is renamed ").headers["Location"] == "/queues"
    text = read_text(bob.get("/queues").text)
    assert "Queue sending paused." in text
    assert "channel is renamed" in text
    assert "Pause all sending" not in text
    with acting_as(alice.workspace_id):
        assert fetch_value("select detail->>'reason' from audit order by id desc limit 1") == "channel is renamed"
    assert post(bob, "/pauses/queue/sending/end", next="/queues").headers["Location"] == "/queues"
    with acting_as(alice.workspace_id):
        assert pause.list_all(alice.workspace_id) == []


def test_a_queue_drains(alice: Producer, client: FlaskClient) -> None:
    bob = sign_in_as(client, alice)
    assert "Drain queue generation?" in read_text(bob.get("/pauses/queue/generation?drain=1").text)
    assert post(bob, "/pauses/queue/generation", drain="1").status_code == 303
    assert "Drained" in read_text(bob.get("/queues").text)


def test_a_provider_that_refused_its_credentials_is_tried(alice: Producer, client: FlaskClient) -> None:
    bob = sign_in_as(client, alice)
    record_refusal(alice)
    assert "/pauses/provider/instagram/try" in bob.get("/queues").text
    assert post(bob, "/pauses/provider/instagram/try").status_code == 303
    assert "Nothing waits: the next message tries Instagram." in read_text(bob.get("/queues").text)
    assert post(bob, "/pauses/provider/mailgun/try").status_code == 303
    assert "Only a provider that is paused for refused credentials" in read_text(bob.get("/queues").text)


def test_every_page_says_that_a_provider_does_not_answer(alice: Producer, client: FlaskClient) -> None:
    bob = sign_in_as(client, alice)
    waiting = {"status": "waiting", "stage": "ready_to_send", "waiting_for": "provider", "queue": "sending"}
    execution_id = example_executions.create_execution(
        alice, alice.create(), provider="mailgun", due_at=clock.now(), test=False, **waiting
    )
    example_executions.open_breaker(alice, "mailgun")
    queues = bob.get("/queues").text
    assert "5 calls in a row got no answer in time" in read_text(queues)
    assert "/pauses/provider/mailgun/try" in queues
    assert "Mailgun does not answer" in read_text(bob.get("/health").text)
    assert "1 waiting message continues automatically once it answers" in read_text(bob.get("/summary").text)
    assert execution_id in bob.get("/executions?heldBy=provider:mailgun").text
    assert "Mailgun does not answer, next attempt in" in read_text(bob.get(f"/executions/{execution_id}").text)
    assert "Mailgun does not answer" in read_text(bob.get("/executions/pending").text)


def test_a_provider_whose_last_calls_failed_is_failing_as_on_the_page_of_health(
    alice: Producer, client: FlaskClient
) -> None:
    bob, automation = sign_in_as(client, alice), alice.create()
    for _ in range(FAILING_CALLS):
        execution_id = example_executions.create_failed(alice, automation, provider="mailgun")
        example_executions.create_message(
            alice, automation, execution_id, status="failed", sending_at=clock.now(), error_class="network",
            error_message="No route to Mailgun.",
        )  # fmt: skip
    page = bob.get("/queues").text
    assert 'href="/failures?provider=mailgun"' in page
    assert "/pauses/provider/mailgun/try" not in page
    assert "Mailgun is failing" in read_text(bob.get("/health").text)
    states = {row["name"]: row["state"] for row in bob.get("/api/queues").json["providers"]}
    assert (states["mailgun"], states["telnyx"]) == ("failing", "not_configured")


def test_updates_can_be_paused(alice: Producer, client: FlaskClient) -> None:
    bob = sign_in_as(client, alice)
    live, still = bob.get("/queues").text, bob.get("/queues?updates=paused").text
    assert 'hx-get="/queues"' in live
    assert 'hx-get="/queues"' not in still
    assert "Resume updates" in still
    fragment = bob.get("/queues", headers={"HX-Request": "true"}).text
    assert fragment.strip().startswith('<div id="queues"')


@pytest.mark.parametrize("path", ["/pauses/queue/tracking", "/pauses/provider/nope", "/pauses/provider/nope/try"])
def test_unknown_names_are_not_found(alice: Producer, client: FlaskClient, path: str) -> None:
    assert post(sign_in_as(client, alice), path).status_code == 404


def test_a_viewer_sees_the_page_without_buttons(alice: Producer, client: FlaskClient) -> None:
    viewer = sign_in_as(client, alice, role="viewer")
    page = viewer.get("/queues").text
    assert "/pauses/" not in page
    assert viewer.get("/pauses/queue/sending").status_code == 403
    assert post(viewer, "/pauses/queue/sending").status_code == 403
