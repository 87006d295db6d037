"""Analytics: counts by day with their lists, and the automations with the most executions."""

from __future__ import annotations

import html
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

import clock
from dashboard.pages.analytics import fill_days
from dashboard.pages.day_chart import HEIGHT, draw_days
from models.ids import new_id
from models.reports.analytics import DayRow
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import list_ids, read_text, sign_in_as


@pytest.fixture
def automation(alice: Producer) -> dict[str, Any]:
    return alice.create()


def create_days_ago(alice: Producer, automation: dict[str, Any], days: int, **fields: Any) -> None:
    """Create a finished execution that was accepted at noon so many days ago."""
    day = clock.now().astimezone(UTC).date() - timedelta(days=days)
    accepted = datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=0 if days == 0 else 12)
    milliseconds = int(accepted.timestamp() * 1000)
    # The id has the time of its row, as the list's index expects.
    row_id = f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}{new_id()[13:]}"
    finished = {"started_at": accepted, "finished_at": accepted, "execution_time_ms": 1200}
    example_executions.create_execution(
        alice, automation, **{"id": row_id, "created_at": accepted, **finished, **fields}
    )


def test_each_number_leads_to_its_list(alice: Producer, automation: dict[str, Any], client: FlaskClient) -> None:
    bob = sign_in_as(client, alice)
    for days, count in ((0, 1), (3, 2), (40, 4)):
        for _ in range(count):
            create_days_ago(alice, automation, days)
    create_days_ago(alice, automation, 3, status="skipped", stage="skipped", skipped_rule="tags")
    create_days_ago(alice, automation, 3, test=True)
    page = bob.get("/analytics").text
    numbers = re.findall(r'href="([^"]+)" data-count="list">(?:<strong>)?([\d,]+)<', page)
    assert len(numbers) == 3 + 2 * 4
    for path, number in numbers:
        assert (path, len(list_ids(bob, html.unescape(path)))) == (path, int(number))
    assert [int(number) for _, number in numbers[:3]] == [4, 0, 1]
    text = read_text(page)
    assert "Success rate 100.0%" in text
    assert "Time, p50 1.2 s" in text


def test_the_period_is_selected(alice: Producer, automation: dict[str, Any], client: FlaskClient) -> None:
    bob = sign_in_as(client, alice)
    create_days_ago(alice, automation, 40)
    assert "No executions in this period" in bob.get("/analytics").text
    assert "Executions 1" in read_text(bob.get("/analytics?days=90").text)
    assert bob.get("/analytics?days=31").status_code == 422


def test_a_workspace_sees_its_own_numbers_alone(
    alice: Producer, charlie: Producer, automation: dict[str, Any], client: FlaskClient
) -> None:
    create_days_ago(alice, automation, 1)
    page = sign_in_as(client, charlie).get("/analytics").text
    assert "No executions in this period" in page
    assert automation["name"] not in page


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("/automations", "Automations"), ("/automations/health", "Health"), ("/automations/monitor", "Monitor"),
        ("/automations/analytics", "Analytics"),
    ],
)  # fmt: skip
def test_the_tabs_stand_beside_the_list_of_automations(
    alice: Producer, client: FlaskClient, path: str, title: str
) -> None:
    page = sign_in_as(client, alice).get(path).text
    assert f'href="{path}" aria-current="page">{title}</a>' in page
    assert f"<h1>{title}</h1>" in page
    (tabs,) = re.findall(r'<nav class="tabs" aria-label="Automations">(.*?)</nav>', page)
    assert re.findall(r">([^<]+)</a>", tabs) == ["Automations", "Health", "Monitor", "Analytics"]


def test_the_tab_monitor_stays_where_it_is_while_it_is_filtered(
    alice: Producer, automation: dict[str, Any], client: FlaskClient
) -> None:
    bob = sign_in_as(client, alice)
    example_executions.create_failed(alice, automation)
    page = bob.get("/automations/monitor?status=failed").text
    assert 'hx-get="/automations/monitor?status=failed"' in page
    assert 'href="/automations/monitor" aria-label="Remove filter' in page
    assert 'href="/automations/monitor?status=failed&amp;updates=paused"' in page


def test_days_without_executions_are_drawn_as_gaps() -> None:
    busy: DayRow = {"day": "2026-05-02", "executions": 4, "succeeded": 2, "failed": 1, "skipped": 0}
    days = fill_days([busy], date(2026, 5, 1), date(2026, 5, 3))
    assert [day["executions"] for day in days] == [0, 4, 0]
    bars = draw_days(days)
    assert [bar.part for bar in bars] == ["succeeded", "other", "failed"]
    assert {bar.x for bar in bars} == {240.0}
    assert sum(bar.height for bar in bars) == HEIGHT - 4
