"""The Health page: every part with what was measured, its problems with their remedies, and the missing settings."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import flask
import pytest
from flask.testing import FlaskClient

import clock
from dashboard.pages.health import format_since
from ephemeral import heartbeats
from models import database
from models.database import acting_as
from models.pause import start
from tasks.runtime.broker import QUEUES
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer
from tests.dashboard.test_members_page import sign_in_as
from tests.dashboard.test_pages import post
from tests.support.rows import fetch_row
from tests.support.waiting import eventually


@pytest.fixture
def bob(app: flask.Flask, alice: Producer) -> FlaskClient:
    """An operator of Alice's workspace."""
    return sign_in_as(app, alice, "operator")


def list_states(page: str) -> dict[str, str]:
    """The state of each part on the page, by its id."""
    return dict(re.findall(r'<li id="part-([\w-]+)" class="part (\w+)', page))


def test_every_part_is_shown_with_its_state_and_only_problems_unfold(bob: FlaskClient, alice: Producer) -> None:
    heartbeats.record(QUEUES, clock.now(), program="worker", pools={"sending": heartbeats.Pool(32, 5)})
    page = bob.get("/health").text
    states = list_states(page)
    assert len(states) == 18
    assert (states["queue-sending"], states["leader"], states["redis"]) == ("ready", "failing", "ready")
    assert "<strong>5 of 32 threads busy</strong>" in page
    assert re.findall(r'id="problem-([\w-]+)"', page) == ["no_leader"]
    assert (
        "<strong>What to do:</strong> <code>beckon status</code> says whether the program is stopped or hangs." in page
    )


def test_unknown_outcomes_are_counted_apart_from_failures(bob: FlaskClient, alice: Producer) -> None:
    automation = alice.create()
    example_executions.create_failed(alice, automation, finished_at=clock.now())
    assert "of unknown outcome" not in bob.get("/health").text
    example_executions.create_unknown(alice, automation)
    assert "1 of unknown outcome besides" in bob.get("/health").text
    failures = alice.get("/api/health").json["recentFailures"]
    assert (failures["last24Hours"], len(failures["items"]), len(failures["groups"])) == (1, 1, 1)


def test_missing_settings_say_what_they_block_and_where_to_set_them(app: flask.Flask, alice: Producer) -> None:
    page = sign_in_as(app, alice, "owner").get("/health").text
    assert "<code>TELNYX_API_KEY</code>" in page
    assert 'href="/settings/channels#telnyx">Settings, Channels, SMS</a>' in page
    assert "Configure Secrets" in page


def test_a_viewer_sees_the_same_without_buttons(app: flask.Flask, alice: Producer) -> None:
    viewer = sign_in_as(app, alice, "viewer")
    with acting_as(alice.workspace_id):
        start("queue", "sending", alice.workspace_id)
    page = viewer.get("/health").text
    assert list_states(page)["queue-sending"] == "failing"
    main = page[page.index("<main") : page.index("</main>")]
    assert "<form" not in main
    assert post(viewer, "/executions/pending").status_code == 403


def test_the_button_says_how_many_it_enqueued_and_the_audit_log_who(bob: FlaskClient, alice: Producer) -> None:
    alice.create()
    alice.post("/api/triggers", {"type": "contact.created", "contact": {"externalId": "c", "email": "c@example.com"}})
    page = bob.get("/health").text
    assert "Process 1 Pending Automation<" in page
    response = post(bob, "/executions/pending", next="/health")
    assert response.headers["Location"] == "/health"
    assert "1 execution enqueued." in bob.get("/health").text
    with acting_as(alice.workspace_id):
        row = fetch_row("select actor_name, detail from audit where action = 'executions.processed'")
    assert (row["actor_name"], row["detail"]) == ("Bob", {"processed": 1})


def test_a_paused_provider_is_resumed_from_its_line(bob: FlaskClient, alice: Producer) -> None:
    with acting_as(alice.workspace_id):
        start("provider", "mailgun", alice.workspace_id, reason="channel is renamed", actor_name="Jonas Weber")
    page = bob.get("/health").text
    assert list_states(page)["email"] == "paused"
    assert "<strong>Paused by Jonas Weber</strong>" in page
    assert 'action="/pauses/provider/mailgun/end"' in page
    assert post(bob, "/pauses/provider/mailgun/end", next="/health").headers["Location"] == "/health"


def test_the_navigation_counts_the_problems_that_need_a_person(bob: FlaskClient, alice: Producer) -> None:
    def read_badge() -> Any:
        return re.search(r'data-badge="health">(\d+)<', bob.get("/automations").text)

    eventually(read_badge)
    problems = alice.get("/api/health").json["problems"]
    badge = eventually(read_badge)
    assert int(badge[1]) == sum(problem["severity"] != "notice" for problem in problems)


def test_without_postgresql_the_page_is_a_503_that_says_so(bob: FlaskClient, tmp_path: object) -> None:
    database.db.close_all()
    database.open_pool(f"postgresql://app@/gone?host={tmp_path}", "beckon_app", 4)
    response = bob.get("/health", headers={"Accept": "text/html"})
    assert (response.status_code, response.mimetype) == (503, "text/html")
    assert "PostgreSQL does not answer" in response.text


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 11, 30, 8, 58, tzinfo=UTC), "09:58"),
        (datetime(2026, 11, 29, 21, 10, tzinfo=UTC), "Sun 22:10"),
        (datetime(2026, 11, 18, 8, 0, tzinfo=UTC), "18 Nov"),
    ],
)
def test_times_are_short_and_of_the_workspace_s_zone(moment: datetime, text: str) -> None:
    assert format_since(moment, datetime(2026, 11, 30, 12, tzinfo=UTC), ZoneInfo("Europe/Rome")) == text
