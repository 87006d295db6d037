"""Analytics: counts by day with their lists, and the automations with the most executions."""

from __future__ import annotations

import csv
import html
import io
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient

import clock
import settings
from models import database
from models.database import acting_as
from models.ids import new_id
from models.queries import execute
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


def create_history(alice: Producer, automation: dict[str, Any]) -> None:
    """Create executions of several days, some of them before the default period, with every outcome."""
    for days, count in ((0, 1), (3, 2), (40, 4)):
        for _ in range(count):
            create_days_ago(alice, automation, days)
    create_days_ago(alice, automation, 3, status="skipped", stage="skipped", skipped_rule="tags")
    create_days_ago(alice, automation, 3, status="cancelled", stage="skipped", skipped_rule="cancelled")
    for error_class in ("network", "network", "unknown_outcome"):
        create_days_ago(alice, automation, 5, status="failed", stage="failed", error_class=error_class)
    create_days_ago(alice, automation, 5, status="pending", stage="queued", finished_at=None)
    create_days_ago(alice, automation, 3, test=True)


def read_counts(page: str) -> list[tuple[str, int]]:
    """The numbers of the page that have a list, with its path."""
    links = re.findall(r'href="([^"]+)" data-count="list">([\d,]+)<', page)
    return [(html.unescape(path), int(number.replace(",", ""))) for path, number in links]


def test_each_number_leads_to_its_list(alice: Producer, automation: dict[str, Any], client: FlaskClient) -> None:
    bob = sign_in_as(client, alice)
    create_history(alice, automation)
    page = bob.get("/analytics").text
    counts = read_counts(page)
    assert counts[0][1] == 9
    assert [number for _, number in counts[1:7]] == [3, 1, 1, 1, 1, 2]
    assert [(path, number) for path, number in counts if len(list_ids(bob, path)) != number] == []
    text = read_text(page)
    assert "Success rate 60.0%" in text
    assert "Time, p50 1.2 s" in text


def track(alice: Producer, automation: dict[str, Any], *executions: dict[str, Any]) -> None:
    """Insert executions of visitors' browsers, an hour ago, with the service role: the dashboard's only reads."""
    config = settings.load()
    database.db.close_all()
    database.open_pool(config.database_service_url, "beckon_service", 8)
    with acting_as(alice.workspace_id):
        for execution in executions:
            row = {
                "workflow_id": automation["id"], "status": "success", "execution_time_ms": 250, "device_type": "mobile",
                "page_path": "/pricing", "executed_at": clock.now() - timedelta(hours=1), **execution,
            }  # fmt: skip
            columns, places = ", ".join(row), ", ".join(["%s"] * len(row))
            execute(f"insert into workflow_executions ({columns}) values ({places})", list(row.values()))
    database.db.close_all()
    database.open_pool(config.database_app_url, "beckon_app", 8)


def count_tracked(browser: FlaskClient, path: str) -> int:
    return len(re.findall(r'<li id="t-[0-9a-f-]{36}"', browser.get(path).text))


def test_executions_of_both_kinds_have_a_list_each(
    alice: Producer, automation: dict[str, Any], client: FlaskClient
) -> None:
    bob = sign_in_as(client, alice)
    create_days_ago(alice, automation, 3)
    offer = alice.create(name="Offer")
    track(alice, offer, {"trigger_name": "Exit Intent"}, {}, {"device_type": None, "status": "error"})
    page = bob.get("/analytics").text
    text = read_text(page)
    assert "Executions 4" in text
    assert "By device playbooks Mobile 2 100.0% succeeded Unknown 1 0.0% succeeded" in text
    assert "/pricing 3 66.7% succeeded" in text
    # What counts both has no list; the ranking keeps them apart.
    counts = read_counts(page)
    assert [number for _, number in counts] == [3, 1, 2, 3]
    assert [count_tracked(bob, path) or len(list_ids(bob, path)) for path, _ in counts] == [3, 1, 2, 3]
    playbooks = read_counts(bob.get("/analytics?show=playbooks").text)
    assert [number for _, number in playbooks] == [3, 2, 1, 2, 1, 3, 3, 2, 3, 1]
    assert [(path, number) for path, number in playbooks if count_tracked(bob, path) != number] == []
    assert "Executions 1" in read_text(bob.get("/analytics?show=automations").text)
    mobile = read_text(bob.get("/analytics?device=mobile").text)
    assert "Executions 2" in mobile
    assert "not counted with this filter" in mobile


def test_the_period_is_selected_and_compared(alice: Producer, automation: dict[str, Any], client: FlaskClient) -> None:
    bob = sign_in_as(client, alice)
    for days, count in ((2, 3), (40, 2)):
        for _ in range(count):
            create_days_ago(alice, automation, days)
    assert "Executions 3 ▲ up 50% 2 before" in read_text(bob.get("/analytics").text)
    assert "Executions 5" in read_text(bob.get("/analytics?range=90d").text)
    assert "before" not in read_text(bob.get("/analytics?compare=none").text).partition("Execution time")[0]
    day = clock.now().astimezone(UTC).date() - timedelta(days=40)
    single = read_text(bob.get(f"/analytics?range=custom&from={day}&to={day}&by=hour").text)
    assert "Executions 2" in single
    assert f"{day:%-d %B %Y}" in single
    assert "2 before" in read_text(bob.get(f"/analytics?range=7d&compare=custom&compareFrom={day}").text)
    assert "No executions in this period" in bob.get("/analytics?range=24h").text


@pytest.mark.parametrize(
    "query",
    [
        "range=31", "from=tomorrow", "from=2026-13-01", "from=0001-01-01", "to=30.11.2026", "device=fridge",
        "status=won", "channel=pigeon", "automationId=1", "automationId='--", "funnel=x", "by=minute", "show=nothing",
        "compare=yesterday", "unknown=1", "page=%00", "trigger=" + "x" * 300, "compareFrom=9999-12-31",
    ],
)  # fmt: skip
def test_a_wrong_filter_is_rejected_by_name(alice: Producer, client: FlaskClient, query: str) -> None:
    bob = sign_in_as(client, alice)
    response = bob.get(f"/analytics?{query}")
    assert response.status_code == 422
    assert [error["path"] for error in response.json["errors"]] == [query.partition("=")[0]]


@pytest.mark.parametrize("query", ["page=/pricing&trigger=Exit+Intent&device=mobile", "trigger=other&status=timed_out"])
def test_filters_that_are_not_counted_together_are_reduced(alice: Producer, client: FlaskClient, query: str) -> None:
    assert sign_in_as(client, alice).get(f"/analytics?{query}").status_code == 200


def test_every_filter_stays_in_the_url(alice: Producer, automation: dict[str, Any], client: FlaskClient) -> None:
    bob = sign_in_as(client, alice)
    create_days_ago(alice, automation, 1)
    query = f"range=7d&compare=none&automationId={automation['id']}&channel=email&status=succeeded&by=hour"
    page = html.unescape(bob.get(f"/analytics?{query}&show=automations").text)
    for link in re.findall(r'<a href="(/analytics\?[^"]+)"', page):
        changed = parse_qs(urlsplit(link).query)
        assert set(parse_qs(query)) - set(changed) <= {"by"}
    for name, value in (("range", "7d"), ("compare", "none"), ("channel", "email"), ("status", "succeeded")):
        assert re.search(rf'<select name="{name}"[^>]*>.*?<option value="{value}" selected>', page)
    assert '<input type="hidden" name="by" value="hour">' in page
    assert '<input type="hidden" name="show" value="automations">' in page


def test_names_are_escaped(alice: Producer, client: FlaskClient) -> None:
    automation = alice.create(name="<script>alert(1)</script>")
    create_days_ago(alice, automation, 1)
    track(alice, automation, {"page_path": "/<b>x</b>", "trigger_name": "<i>Exit</i>"})
    page = sign_in_as(client, alice).get("/analytics").text
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<b>x" not in page
    assert "<i>Exit" not in page


def test_the_causes_stand_on_the_chart(alice: Producer, automation: dict[str, Any], client: FlaskClient) -> None:
    bob = sign_in_as(client, alice)
    failure = {"status": "failed", "stage": "failed", "error_class": "provider_5xx", "provider": "mailgun"}
    for _ in range(6):
        create_days_ago(alice, automation, 2, error_code="503", **failure)
    page = bob.get(f"/analytics?automationId={automation['id']}").text
    causes = re.findall(r'<li data-index="(\d+)" data-tone="(\w+)"><a href="([^"]+)">([^<]+)<', page)
    assert [(index, tone, text) for index, tone, _, text in causes] == [
        ("27", "bad", "Mailgun 503, 6 failed"), ("29", "good", "version 1 published"),
    ]  # fmt: skip
    assert len(list_ids(bob, html.unescape(causes[0][2]))) == 6


def list_exports(page: str) -> dict[str, str]:
    """The files of the menu, by their label."""
    links = re.findall(r'<a href="(/api/analytics/export[^"]+)" download>([^<]+)<', page)
    return {label: html.unescape(path) for path, label in links}


def test_the_page_is_exported_as_csv(alice: Producer, client: FlaskClient) -> None:
    automation = alice.create(name="=cmd|' /C calc'!A0")
    create_history(alice, automation)
    bob = sign_in_as(client, alice)
    files = {label: bob.get(path) for label, path in list_exports(bob.get("/analytics").text).items()}
    assert {response.status_code for response in files.values()} == {200}
    rows = list(csv.DictReader(io.StringIO(files["Executions over time"].text)))
    assert len(rows) == 30
    assert sum(int(row["executions"]) for row in rows) == 9
    (top,) = csv.DictReader(io.StringIO(files["Automations and playbooks"].text))
    assert top["name"] == "'=cmd|' /C calc'!A0"
    assert len(files) == 10


def test_a_status_leaves_no_rates_and_says_what_is_not_counted(
    alice: Producer, automation: dict[str, Any], client: FlaskClient
) -> None:
    bob = sign_in_as(client, alice)
    create_history(alice, automation)
    text = read_text(bob.get("/analytics?status=failed").text)
    assert "Executions 2" in text
    assert "Success rate – not measured of one status" in text
    assert "0.0%" not in text
    assert "No execution has succeeded in this period" in text
    assert "Messages are not counted together with a device, a page, a trigger or a status." in text
    assert "Playbooks send no messages" in read_text(bob.get("/analytics?show=playbooks").text)


@pytest.mark.parametrize("query", ["device=mobile", "page=/pricing", "status=failed", "trigger=x&range=90d", "by=hour"])
def test_only_what_is_counted_with_the_filters_is_exported(
    alice: Producer, automation: dict[str, Any], client: FlaskClient, query: str
) -> None:
    track(alice, automation, {})
    bob = sign_in_as(client, alice)
    exports = list_exports(bob.get(f"/analytics?{query}").text)
    assert "Executions over time" in exports
    assert [path for path in exports.values() if bob.get(path).status_code != 200] == []


_SQL = """
    select to_char(created_at, 'Dy FMDD Mon') || ' ' || case when finished_at is null then 'active'
        when error_class = 'unknown_outcome' then 'unknown' else status end, count(*)
    from executions where not test and created_at >= %s group by 1
"""


def read_cells(page: str) -> dict[str, int]:
    """The numbers of the table of the first chart that are not 0, by day and outcome."""
    table = page[page.index('id="status-chart-table"') :].partition("</table>")[0]
    names = re.findall(r'data-series="(\w+)"', table)
    return {
        f"{day} {name}": int(value)
        for day, cells in re.findall(r'<th scope="row">([^<]+)</th>(.*?)</tr>', table)
        for name, value in zip(names, re.findall(r'data-value="(\d+)"', cells), strict=True)
        if int(value) and name != "before"
    }


def test_the_numbers_are_those_of_the_rows_and_of_the_api(
    alice: Producer, automation: dict[str, Any], client: FlaskClient
) -> None:
    create_history(alice, automation)
    for days in (1, 1, 2, 8, 8, 8, 21):
        create_days_ago(alice, automation, days)
    since = clock.now().astimezone(UTC).date() - timedelta(days=29)
    answer = alice.get(f"/api/analytics/summary?from={since}T00:00:00Z").json
    page = sign_in_as(client, alice).get("/analytics").text
    with acting_as(alice.workspace_id):
        rows = dict(database.db.execute_sql(_SQL, (since,)).fetchall())
    assert read_cells(page) == rows
    assert f"Executions {answer['summary']['executions']}" in read_text(page)
    assert sum(rows.values()) == answer["summary"]["executions"]


def test_a_period_that_is_not_kept_whole_is_not_compared(
    alice: Producer, automation: dict[str, Any], client: FlaskClient
) -> None:
    bob = sign_in_as(client, alice)
    create_days_ago(alice, automation, 1)
    page = read_text(bob.get("/analytics?range=90d").text)
    assert "not compared: numbers are kept for 90 days" in page
    assert "days before" not in page
    assert "not compared" not in bob.get("/analytics?compare=none").text
    old = read_text(bob.get("/analytics?range=custom&from=2020-01-01&to=2020-01-05").text)
    assert "Numbers are kept for 90 days." in old


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
