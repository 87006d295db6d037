"""The overview in a real browser: it refreshes, stops refreshing, and fits a phone."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import expect

import clock
from tests.browser.conftest import DESKTOP, PHONE
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer
from tests.dashboard.test_overview import hold
from tests.dashboard.test_pauses import record_refusal

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize(
    ("viewport", "look"), [pytest.param(DESKTOP, "light", id="desktop"), pytest.param(PHONE, "dark", id="phone")]
)
def test_a_refusing_provider_is_seen_in_five_seconds(
    visit: Any, alice: Producer, viewport: dict[str, int], look: str
) -> None:
    automation = alice.create(name="Appointment reminder " + "without-a-break" * 6)
    example_executions.create_sent(alice, automation, clock.now() - timedelta(hours=2))
    example_executions.create_failed(alice, automation)
    record_refusal(alice)
    contact_id = example_executions.create_contact(alice, "Nadia Okafor")
    execution_id = hold(alice, automation, contact_id=contact_id)
    visitor = visit(viewport, look)
    page = visitor.go("/overview")
    expect(page.get_by_role("link", name=re.compile("^Late Instagram: 11 min"))).to_be_in_viewport()
    expect(page.get_by_role("article").filter(has_text="Instagram")).to_be_visible()
    expect(page.locator(".time-chart:visible")).to_have_count(1)
    assert not visitor.has_overflow()
    page.get_by_text("Show as table").click()
    expect(page.get_by_role("table")).to_be_visible()
    page.get_by_role("link", name="Nadia Okafor").click()
    page.wait_for_url(f"**/executions/{execution_id}")


def test_the_overview_follows_and_stops_on_request(visit: Any, alice: Producer) -> None:
    automation = alice.create()
    page = visit().go_with_clock("/overview")
    sent = page.locator(".legend a").filter(has_text="Sent")
    expect(sent).to_have_text("Sent 0")
    page.get_by_text("Show as table").click()
    example_executions.create_sent(alice, automation, clock.now())
    page.clock.fast_forward(10_000)
    expect(sent).to_have_text("Sent 1")
    expect(page.locator("#chart-table")).to_have_attribute("open", "")
    page.get_by_role("link", name="Pause updates").click()
    expect(page.get_by_text("Paused", exact=True)).to_be_visible()
    assert page.locator("#overview").get_attribute("hx-get") is None
    page.get_by_role("link", name="Resume updates").click()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()


@pytest.mark.slow
def test_the_badges_of_the_navigation_follow_the_summary(visit: Any, alice: Producer) -> None:
    automation = alice.create()
    page = visit().go_with_clock("/overview")
    badge = page.get_by_role("navigation", name="Main", exact=True).locator("[data-badge=failures]")
    expect(badge).to_be_hidden()
    example_executions.create_failed(alice, automation)
    page.clock.fast_forward(10_000)
    expect(badge).to_be_visible()
    expect(badge).to_contain_text("1")
