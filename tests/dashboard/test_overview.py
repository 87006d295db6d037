"""The overview: five answers, problems, the chart's numbers, changes, and the lists of what is stuck and next."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from typing import Any

import pytest

import clock
from dashboard.pages.changes import build_changes
from models import audit
from models.database import acting_as
from models.deployment import DeploymentRow
from models.queries import execute
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import Browser, list_ids, read_text, sign_in_as
from tests.dashboard.test_pauses import record_refusal


@pytest.fixture
def bob(alice: Producer, client: Browser) -> Browser:
    """Bob's browser; he is an operator in Alice's workspace."""
    return sign_in_as(client, alice)


@pytest.fixture
def automation(alice: Producer) -> dict[str, Any]:
    return alice.create()


def read_answer(page: str, label: str) -> str:
    match = re.search(rf'<a class="answer[^>]*><span class="label">{label}</span>(.*?)</a>', page)
    assert match is not None
    return read_text(match[1])


def hold(alice: Producer, automation: dict[str, Any], **fields: Any) -> str:
    """A message that waits for Instagram's credentials since eleven minutes."""
    since = clock.now() - timedelta(minutes=11)
    waiting = {"status": "waiting", "stage": "ready_to_send", "waiting_for": "configuration", "queue": "sending"}
    due_at = clock.now() + timedelta(hours=1)
    execution_id = example_executions.create_execution(
        alice, automation, **waiting, stage_since=since, due_at=due_at, **fields
    )
    example_executions.create_message(alice, automation, execution_id, status="pending", provider="instagram")
    return execution_id


def test_the_first_page_is_the_overview(bob: Browser) -> None:
    assert bob.get("/").headers["Location"] == "/overview"
    text = read_text(bob.get("/overview").text)
    assert "tests not counted" in text
    assert "Nobody is stuck." in text
    assert "Nothing was sent in this period." in text


def test_a_calm_workspace_sends_on_time(bob: Browser, alice: Producer, automation: dict[str, Any]) -> None:
    example_executions.create_sent(alice, automation, clock.now() - timedelta(minutes=2))
    page = bob.get("/overview").text
    assert read_answer(page, "Late") == "On time Nothing is due"
    assert read_answer(page, "Stuck").startswith("None")
    assert f"{automation['name']}, version 1" in read_answer(page, "Last change")


def test_a_provider_that_refuses_is_named_in_every_answer(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    record_refusal(alice)
    held = hold(alice, automation, contact_id=example_executions.create_contact(alice, "Nadia"))
    hold(alice, automation, test=True)
    page = bob.get("/overview").text
    assert read_answer(page, "Late").startswith("Instagram: 11 min")
    assert read_answer(page, "Stuck") == "1 execution 1 for Instagram"
    assert "Waiting for Instagram 1" in read_text(page)
    assert f'<a href="/executions/{held}">Nadia</a>' in page
    assert "waits for Instagram" in page
    assert 'class="bar-held"' in page
    (problem, *_) = re.findall(r'<article class="trouble">(.*?)</article>', page, re.DOTALL)
    assert "What to do:" in problem
    assert "`" not in page
    assert page.count("button primary") == 1


def test_what_is_overdue_is_late_and_stuck(bob: Browser, alice: Producer, automation: dict[str, Any]) -> None:
    due_at = clock.now() - timedelta(minutes=5)
    example_executions.create_execution(alice, automation, status="pending", stage="queued", due_at=due_at)
    page = bob.get("/overview").text
    assert read_answer(page, "Late").startswith("5 min")
    assert read_answer(page, "Stuck") == "1 execution 1 overdue"


def test_the_numbers_of_the_chart_lead_to_exactly_their_executions(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    now = clock.now()
    for minutes in (1, 2, 45, 300, 2_000):
        example_executions.create_sent(alice, automation, now - timedelta(minutes=minutes))
    for minutes in (3, 70, 1_999):
        example_executions.create_failed(alice, automation, finished_at=now - timedelta(minutes=minutes))
    example_executions.create_unknown(alice, automation)
    for window, sent, failed in (("hour", 3, 1), ("day", 4, 2), ("week", 5, 3)):
        page = bob.get(f"/overview?window={window}").text
        legend = re.findall(
            r'<a href="([^"]+)" data-count="list"><span class="dot (\w+)"></span>\w+ <strong>(\d+)', page
        )
        assert [(name, int(count)) for _, name, count in legend] == [("sent", sent), ("failed", failed)]
        table = re.findall(r'<td><a href="([^"]+)" data-count="list">(\d+)</a></td>', page)
        assert sum(int(count) for _, count in table) == sent + failed
        for path, count in [*((path, count) for path, _, count in legend), *table]:
            assert len(list_ids(bob, html.unescape(path))) == int(count), path


def test_an_execution_that_sends_twice_counts_once_in_the_total(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    execution_id = example_executions.create_sent(alice, automation, clock.now() - timedelta(hours=5))
    with acting_as(alice.workspace_id):
        execute(
            "insert into stage_history select execution_id, workspace_id, automation_id, test, from_stage, from_ms, "
            "stage, beckon_now() from stage_history where execution_id = %s",
            (execution_id,),
        )
    page = bob.get("/overview").text
    assert "Sent <strong>1</strong>" in page
    assert len(re.findall(r'sentTo=[^"]+" data-count="list">1</a>', page)) == 2


def test_changes_are_listed_and_marked_in_the_words_of_an_operator(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    alice.put(f"{alice.automations}/{automation['id']}", {"enabled": False})
    alice.post("/api/queues/sending/pause", {})
    page = bob.get("/overview").text
    changes = read_text(page[page.index('id="changes"') :])
    assert (
        changes.index("Queue sending paused")
        < changes.index("Welcome turned off")
        < changes.index("Welcome, version 1")
    )
    assert page.count('<g class="mark-icon') >= 6


def test_a_deployment_of_the_same_version_is_a_restart() -> None:
    at = clock.now()
    rows: list[DeploymentRow] = [
        {"version": version, "started_at": at - timedelta(hours=age)}
        for age, version in enumerate(("2.9.0", "2.9.0", "2.8.1"))
    ]
    titles = [change.title for change in build_changes([], rows, {}, [])]
    assert titles == ["Restarted 2.9.0", "Deployed 2.9.0", "Deployed 2.8.1"]


def test_skipped_scheduled_times_are_a_change_with_their_number(bob: Browser, alice: Producer) -> None:
    automation_id = alice.create()["id"]
    with acting_as(alice.workspace_id):
        audit.record(alice.workspace_id, audit.SYSTEM, "automation.ticks_skipped", "automation", automation_id,
                     {"count": 3})  # fmt: skip
    page = bob.get("/overview").text
    assert "Welcome, 3 scheduled times skipped" in read_text(page[page.index('id="changes"') :])


def test_next_retries_and_look_ups_are_grouped_with_their_times(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    soon = clock.now() + timedelta(seconds=200)
    retry = {"status": "waiting", "stage": "failed", "waiting_for": "retry", "error_class": "rate_limit"}
    for _ in range(3):
        example_executions.create_execution(
            alice, automation, **retry, error_code="613", due_at=soon, next_retry_at=soon, attempt=1
        )
    example_executions.create_unknown(alice, automation, look_up_at=soon + timedelta(minutes=2), look_ups=3)
    text = read_text(bob.get("/overview").text)
    assert "Rate limit, retry 1 of 3 3 executions, code 613 in 3 min" in text
    assert "Mailgun look-up 4 1 message of unknown outcome in 5 min" in text


def test_updates_are_paused_by_a_link(bob: Browser) -> None:
    assert 'hx-get="/overview?window=week"' in bob.get("/overview?window=week").text
    page = bob.get("/overview?window=week&updates=paused").text
    assert 'hx-get="/overview' not in page
    assert "Resume updates" in page
    assert bob.get("/overview?window=year").status_code == 422


def test_a_fragment_has_neither_navigation_nor_summary(bob: Browser) -> None:
    fragment = bob.get("/overview", headers={"HX-Request": "true"}).text
    assert fragment.lstrip().startswith('<div id="overview"')
    assert 'id="summary"' not in fragment


def test_the_overview_is_the_callers_workspace_only(bob: Browser, charlie: Producer) -> None:
    theirs = charlie.create(name="Charlie's secret")
    example_executions.create_sent(charlie, theirs, clock.now())
    hold(charlie, theirs, contact_id=example_executions.create_contact(charlie, "Carl Secret"))
    page = bob.get("/overview").text
    assert "ecret" not in read_text(page).replace("credentials", "")


def test_commands_in_a_remedy_are_code(bob: Browser, alice: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.health.stores.list_pending_migrations", lambda _: ["0099_pre_example"])
    page = bob.get("/overview").text
    assert "This version needs 0099_pre_example." in page
    assert "Run <code>beckon migrate</code> as" in page
