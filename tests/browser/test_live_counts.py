"""Counts and the last run move without a reload, right after an execution: on cards, lists and an automation's page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

import clock
from tests.browser.conftest import PHONE
from tests.dashboard.producers import Producer
from tests.dashboard.recorded_runs import record_runs
from tests.support.programs import Programs
from tests.support.waiting import eventually

PLAYBOOK: dict[str, Any] = {
    "trigger": {"type": "page", "with": {"url": "/pricing*"}},
    "steps": [{"id": "hide", "action": "hide", "with": {"selector": ".old"}}],
}


@pytest.fixture
def playbook(alice: Producer) -> str:
    """A playbook without executions."""
    return str(alice.create(name="Offer", type="playbook", definition=PLAYBOOK)["id"])


@pytest.fixture
def tracking(app: Any, tmp_path: Path) -> Iterator[None]:
    """The program that records tracked executions."""
    programs = Programs(tmp_path)
    programs.start("worker", "--queues", "tracking")
    eventually(programs.are_ready, 30)
    yield
    programs.end()


def track(alice: Producer, automation_id: str, **fields: Any) -> None:
    body = {"workflowId": automation_id, "pageUrl": "https://shop.example/pricing", "deviceType": "mobile", **fields}
    assert alice.post("/api/track-execution", body).status_code == 201


def read_document_id(page: Page) -> str:
    """A mark that a reload would remove."""
    return str(page.evaluate("window.mark ??= Math.random().toString()"))


def test_a_tracked_execution_moves_the_card_the_page_and_the_lists(
    visit: Any, alice: Producer, playbook: str, tracking: None
) -> None:
    cards, own = visit().go("/automations"), visit(PHONE).go(f"/automations/{playbook}")
    overview, listed = visit().go("/overview"), visit(color_scheme="dark").go("/executions/playbooks")
    card = cards.locator(f"#automation-{playbook}")
    expect(card.locator("[data-count=playbook_executions]")).to_have_text("Executions0")
    expect(card).to_contain_text("Last run: Never")
    expect(own.get_by_text("No executions yet.")).to_be_visible()
    marks = [read_document_id(page) for page in (cards, own, overview, listed)]

    track(alice, playbook)
    expect(card.locator("[data-count=playbook_executions]")).to_have_text("Executions1")
    expect(card).to_contain_text("Last run: Today")
    expect(own.locator("[data-live=executions]")).to_have_text("1")
    expect(own.locator("#playbook-executions")).to_contain_text("/pricing")
    expect(overview.locator(f"[data-live=executions][data-of='{playbook}']")).to_have_text("1")
    expect(listed.locator("#list li")).to_have_count(1)

    track(alice, playbook, status="error")
    expect(card.locator("[data-count=playbook_executions]")).to_have_text("Executions2")
    expect(card.locator("[data-count=playbook_failed]")).to_have_text("Failed1")
    expect(own.locator("[data-live=successRate]")).to_have_text("50%")
    expect(listed.locator("#list li")).to_have_count(2)
    assert [read_document_id(page) for page in (cards, own, overview, listed)] == marks


def test_the_counts_of_other_automations_move_too(visit: Any, alice: Producer) -> None:
    automation = alice.create(name="Welcome")
    card = visit().go("/automations").locator(f"#automation-{automation['id']}")
    expect(card.locator("[data-count=runs]")).to_have_text("Runs0")
    record_runs(alice, automation["id"], clock.now())
    expect(card.locator("[data-count=runs]")).to_have_text("Runs1")
