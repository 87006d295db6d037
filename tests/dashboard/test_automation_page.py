"""An automation's page and card with their runs, and the switches in the settings."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

import clock
from dashboard.pages.chart import HEIGHT, WIDTH, build_bars
from models.database import acting_as
from models.queries import execute
from settings import Settings
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer, definition
from tests.dashboard.recorded_runs import record_runs
from tests.dashboard.test_pages import post, read_text, sign_in_as

Browser = FlaskClient


@pytest.fixture
def bob(alice: Producer, client: FlaskClient) -> Browser:
    return sign_in_as(client, alice)


@pytest.fixture
def owner(alice: Producer, app: Any) -> Browser:
    """An owner's browser: operators cannot change switches."""
    return sign_in_as(app.test_client(), alice, "owner")


def test_a_card_shows_its_runs_the_last_run_and_runs_per_hour(bob: Browser, alice: Producer) -> None:
    automation, now = alice.create(), clock.now()
    record_runs(
        alice, automation["id"], now - timedelta(days=3), now - timedelta(minutes=7), now - timedelta(minutes=7)
    )
    page = bob.get("/automations").text
    text = read_text(page)
    assert "Runs 3" in text
    assert "2 runs in 24 h" in text
    assert re.search("Last run: (Today|Yesterday)", text)
    assert 'aria-label="2 runs in the last 24 hours, by hour"' in page
    assert f'href="/automations/{automation["id"]}"' in page


def test_the_page_shows_runs_by_type_with_their_contacts(bob: Browser, alice: Producer) -> None:
    automation, now = alice.create(), clock.now()
    record_runs(
        alice, automation["id"], now - timedelta(minutes=3), contact_id=example_executions.create_contact(alice, "Ada")
    )
    record_runs(alice, automation["id"], now - timedelta(days=2), kind="comment_reply")
    path = f"/automations/{automation['id']}"

    text = read_text(bob.get(path).text)
    assert re.search("Runs 2 Runs in 24 h 1 Last run (Today|Yesterday)", text)
    assert "Main DM Ada 3 min ago" in text
    assert "2 in 30 days" in text
    assert "v1 Published" in text
    kind = bob.get(f"{path}?kind=comment_reply").text
    assert "1 in 30 days" in read_text(kind)
    assert "Ada" not in kind
    assert "1 in 24 hours" in read_text(bob.get(f"{path}?by=hour").text)


def test_the_history_is_paged(bob: Browser, alice: Producer) -> None:
    automation, now = alice.create(), clock.now()
    record_runs(alice, automation["id"], *[now - timedelta(minutes=n) for n in range(35)])
    first = bob.get(f"/automations/{automation['id']}").text
    older = re.search(r'href="([^"]+cursor=[^"]+)">Older', first)
    assert older is not None
    assert first.count('class="run-row"') == 30 + 1
    assert bob.get(older[1].replace("&amp;", "&")).text.count('class="run-row"') == 5 + 1


def test_without_runs_the_page_explains_runs(bob: Browser, alice: Producer) -> None:
    text = read_text(bob.get(f"/automations/{alice.create()['id']}").text)
    assert "No runs yet" in text
    assert "No runs in this period" in text
    assert "Last run Never" in text


def test_another_workspaces_automation_is_404_and_invalid_queries_422(
    bob: Browser, alice: Producer, charlie: Producer
) -> None:
    mine = alice.create()["id"]
    assert bob.get(f"/automations/{charlie.create()['id']}").status_code == 404
    assert bob.get("/automations/nonsense").status_code == 404
    for query in ("by=week", "kind=fax", "cursor=x", "from=yesterday"):
        assert bob.get(f"/automations/{mine}?{query}").status_code == 422


def test_bars_are_stacked_and_scaled_and_small_counts_stay_visible() -> None:
    drawn = build_bars([{"count": 1000, "kinds": {"main_dm": 999, "opening_dm": 1}}, {"count": 0, "kinds": {}}])
    assert {bar.x for bar in drawn} == {0}
    assert all(1.5 <= bar.height <= HEIGHT and bar.width < WIDTH / 2 for bar in drawn)
    assert build_bars([{"count": 0, "kinds": {}}]) == []


def test_a_switch_is_changed_on_the_settings_page(owner: Browser, alice: Producer) -> None:
    page = owner.get("/settings").text
    assert page.count('aria-checked="true"') == 3
    assert post(owner, "/settings/switches/run_tracking", on="false").status_code == 303
    assert "Run tracking turned off." in read_text(owner.get("/settings").text)
    assert alice.get("/api/settings/switches").json["runTracking"] is False
    text = read_text(owner.get(f"/automations/{alice.create()['id']}").text)
    assert "Run tracking is off: new runs are not counted" in text
    assert post(owner, "/settings/switches/nonsense", on="true").status_code == 404


def test_an_operator_sees_switches_and_cannot_change_them(bob: Browser, alice: Producer) -> None:
    assert "Run tracking" in read_text(bob.get("/settings").text)
    assert post(bob, "/settings/switches/run_tracking", on="false").status_code == 403
    assert alice.get("/api/settings/switches").json["runTracking"] is True


class TestLocked:
    @pytest.fixture
    def config(self, config: Settings) -> Settings:
        return config.replace(run_tracking=False)

    def test_a_switch_set_by_the_environment_is_shown_as_locked(self, owner: Browser, alice: Producer) -> None:
        page = owner.get("/settings").text
        assert "RUN_TRACKING in the environment turns it off" in read_text(page)
        assert re.search(r'aria-labelledby="switch-run_tracking" disabled', page)
        post(owner, "/settings/switches/run_tracking", on="true")
        assert "RUN_TRACKING" in read_text(owner.get("/settings").text)
        assert alice.get("/api/settings/switches").json["runTracking"] is False


def test_a_viewer_sees_switches_and_cannot_change_them(client: FlaskClient, alice: Producer) -> None:
    viewer = sign_in_as(client, alice, "viewer")
    assert viewer.get("/settings").text.count(" disabled></button>") == 3
    assert post(viewer, "/settings/switches/run_tracking", on="false").status_code == 403


def test_the_page_of_a_schedule_names_the_next_time_and_what_was_skipped(bob: Browser, alice: Producer) -> None:
    trigger = {"type": "schedule", "with": {"cron": "0 9 * * *"}}
    automation_id = alice.create(definition={**definition(), "trigger": trigger})["id"]
    assert "Next time: 20" in read_text(bob.get(f"/automations/{automation_id}").text)
    with acting_as(alice.workspace_id):
        execute(
            "update automation_schedules set skipped_ticks = 2, skipped_from = '2026-05-04 09:00Z',"
            " skipped_until = '2026-05-05 09:00Z'"
        )

    text = read_text(bob.get(f"/automations/{automation_id}").text)

    assert "2 scheduled times skipped, too late to make up for: 2026-05-04" in text
    assert " to 2026-05-05" in text
