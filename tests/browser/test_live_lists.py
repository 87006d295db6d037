"""The live pages of an operator in a real browser: executions follow, keep the selection, and are acted on together."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

import clock
from ephemeral import heartbeats
from ephemeral.heartbeats import Pool
from models.database import acting_as
from models.queries import execute, fetch_value
from tests.browser.conftest import PHONE
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer

#: Enough time for a busy machine.
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def automation(alice: Producer) -> dict[str, Any]:
    return alice.create()


def test_the_list_follows_and_keeps_the_selection(visit: Any, alice: Producer, automation: dict[str, Any]) -> None:
    first = example_executions.create_failed(alice, automation)
    page = visit().go_with_clock("/executions")
    rows = page.locator("ul.rows > li")
    box = page.locator(f"#e-{first} input")
    box.check()
    expect(page.get_by_text("1 selected")).to_be_visible()

    example_executions.create_failed(alice, automation)
    page.clock.fast_forward(5_000)
    expect(rows).to_have_count(2)

    expect(box).to_be_checked()
    expect(box).to_be_focused()
    expect(page.get_by_text("1 selected")).to_be_visible()


def test_selected_executions_are_retried_together(visit: Any, alice: Producer, automation: dict[str, Any]) -> None:
    for _ in range(3):
        example_executions.create_failed(alice, automation)
    page = visit().go("/executions")
    expect(page.get_by_role("button", name="Retry selected")).to_be_hidden()
    page.get_by_label("Select all on this page").check()
    expect(page.get_by_text("3 selected")).to_be_visible()
    page.locator("ul.rows input").first.uncheck()
    expect(page.get_by_text("2 selected")).to_be_visible()
    page.get_by_role("button", name="Retry selected").click()
    page.get_by_role("button", name="Retry 2 executions").click()
    expect(page.get_by_text("2 executions retried.")).to_be_visible()
    with acting_as(alice.workspace_id):
        assert fetch_value("select count(*) from executions where status = 'failed'") == 1


def test_updates_are_paused_by_the_keyboard_and_the_url_remembers_it(
    visit: Any, alice: Producer, automation: dict[str, Any]
) -> None:
    example_executions.create_failed(alice, automation)
    page = visit().go("/executions?status=failed")
    page.get_by_role("link", name="Pause updates").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"status=failed&updates=paused"))
    expect(page.get_by_text("Live", exact=True)).to_have_count(0)
    assert page.locator("#list").get_attribute("hx-get") is None
    page.get_by_role("link", name="Resume updates").click()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    assert page.locator("#list").get_attribute("hx-get") == "/executions?status=failed"


def test_a_queue_is_paused_with_a_reason_and_resumed(visit: Any, alice: Producer) -> None:
    heartbeats.record(["sending"], clock.now(), pools={"sending": Pool(32, 5)})
    page = visit().go("/queues")
    expect(page.get_by_text("5 of 32").first).to_be_visible()
    page.get_by_role("link", name="Pause all sending").click()
    page.get_by_label("Reason").fill("provider maintenance")
    page.get_by_role("button", name="Pause all sending").click()
    expect(page.get_by_text("provider maintenance").first).to_be_visible()
    page.get_by_role("main").get_by_role("button", name="Resume queue sending").click()
    expect(page.get_by_text("Queue sending resumed")).to_be_visible()


@pytest.mark.parametrize(
    "path",
    ["/queues", *(pytest.param(path, marks=pytest.mark.slow) for path in ("/executions", "/executions/pending"))],
)
def test_a_phone_needs_no_sideways_scrolling(
    visit: Any, alice: Producer, automation: dict[str, Any], path: str
) -> None:
    heartbeats.record(["sending"], clock.now(), pools={"sending": Pool(32, 5)})
    example_executions.create_failed(alice, automation)
    example_executions.create_execution(alice, automation, status="pending", stage="queued")
    with acting_as(alice.workspace_id):
        execute("update executions set attempt = 3 where status = 'failed'")
    page = visit(viewport=PHONE).go(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
