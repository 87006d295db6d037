"""The page of pending executions: what is due, why it is not running yet, and what a pause holds."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

import clock
from dashboard.pages import pending
from ephemeral import heartbeats
from models import pause
from models.database import acting_as
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import list_ids, post, read_text, sign_in_as


def create_due(alice: Producer, automation: dict[str, Any], age_seconds: int, queue: str = "sending") -> str:
    """Create an execution that is due for so long, and whose worker was notified."""
    due_at = clock.now() - timedelta(seconds=age_seconds)
    return example_executions.create_execution(
        alice, automation, status="pending", stage="queued", queue=queue, due_at=due_at, rung_at=due_at
    )


def test_the_longest_due_comes_first_and_each_says_why_it_waits(alice: Producer, client: FlaskClient) -> None:
    automation, bob = alice.create(), sign_in_as(client, alice)
    heartbeats.record(["sending"], clock.now())
    second, first = create_due(alice, automation, 60), create_due(alice, automation, 3600)
    other = create_due(alice, automation, 30, "generation")
    page = bob.get("/executions/pending").text
    assert list_ids(bob, "/executions/pending") == [first, second, other]
    assert "Next in the queue sending 1 h" in read_text(page)
    assert "Waits its turn behind 1 1 min" in read_text(page)
    assert "No worker serves the queue generation" in read_text(page)
    assert list_ids(bob, "/executions/pending?queue=sending") == [first, second]


def test_a_pause_shows_what_it_holds(alice: Producer, client: FlaskClient) -> None:
    automation, bob = alice.create(), sign_in_as(client, alice)
    heartbeats.record(["sending"], clock.now())
    create_due(alice, automation, 5)
    example_executions.create_execution(
        alice, automation, status="waiting", stage="ready_to_send", queue="sending", waiting_for="pause"
    )
    with acting_as(alice.workspace_id):
        pause.start("queue", "sending", alice.workspace_id, reason="deploy", actor_name="Jonas Weber")
    text = read_text(bob.get("/executions/pending").text)
    assert "Queue sending is paused by Jonas Weber, now : deploy 1 waiting" in text
    assert "The queue sending is paused" in text


def test_a_page_ends_with_the_next_and_no_execution_is_left_out(
    alice: Producer, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    automation, bob = alice.create(), sign_in_as(client, alice)
    heartbeats.record(["sending"], clock.now())
    monkeypatch.setattr(pending, "PAGE_SIZE", 2)
    expected = [create_due(alice, automation, age) for age in (500, 400, 300, 200, 100)]
    path, listed = "/executions/pending?queue=sending", []
    while path:
        listed += list_ids(bob, path)
        page = bob.get(path).text
        path = html.unescape(next(iter(re.findall(r'href="([^"]+)">Next page', page)), ""))
    assert listed == expected
    assert "Waits its turn behind 4" in read_text(page)


def test_processing_enqueues_everything_that_is_due(alice: Producer, client: FlaskClient) -> None:
    automation, bob = alice.create(), sign_in_as(client, alice)
    create_due(alice, automation, 60)
    create_due(alice, automation, 60, "generation")
    assert "Process 2 pending" in read_text(bob.get("/executions/pending").text)
    assert post(bob, "/executions/pending").status_code == 303
    assert "2 executions enqueued." in read_text(bob.get("/executions/pending").text)


def test_nothing_pending_says_so(alice: Producer, client: FlaskClient) -> None:
    text = read_text(sign_in_as(client, alice).get("/executions/pending").text)
    assert "Nothing is pending" in text
    assert "Process" not in text


@pytest.mark.parametrize("query", ["queue=tracking", "cursor=nonsense", "cursor=MjAyNg"])
def test_an_invalid_queue_or_cursor_is_refused(alice: Producer, client: FlaskClient, query: str) -> None:
    assert sign_in_as(client, alice).get(f"/executions/pending?{query}").status_code == 422


def test_a_viewer_sees_the_list_and_cannot_process(alice: Producer, client: FlaskClient) -> None:
    viewer = sign_in_as(client, alice, role="viewer")
    create_due(alice, alice.create(), 60)
    assert "Process" not in read_text(viewer.get("/executions/pending").text)
    assert post(viewer, "/executions/pending").status_code == 403
