"""An automation's page and the settings in a real browser: no errors, nothing wider than the window."""

from __future__ import annotations

import os
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

import clock
from tests.browser.conftest import DESKTOP, PHONE
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer
from tests.dashboard.recorded_runs import record_runs

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def automation(alice: Producer) -> dict[str, Any]:
    """An automation with a month of runs."""
    automation, now = alice.create(), clock.now()
    chance = random.Random(7)
    ada = example_executions.create_contact(alice, "Ada", last_name="Byron")
    for kind, count in (("opening_dm", 160), ("comment_reply", 60), ("main_dm", 40)):
        moments = [now - timedelta(days=29 * chance.random() ** 2, minutes=chance.random() * 60) for _ in range(count)]
        record_runs(alice, automation["id"], *moments, kind=kind, contact_id=ada)
    return automation


@pytest.mark.parametrize(
    ("viewport", "scheme"),
    [
        pytest.param(DESKTOP, "light", id="desktop-light"),
        pytest.param(PHONE, "dark", id="phone-dark"),
        pytest.param(DESKTOP, "dark", id="desktop-dark", marks=pytest.mark.slow),
        pytest.param(PHONE, "light", id="phone-light", marks=pytest.mark.slow),
    ],
)
def test_the_pages_fit_the_window_in_both_themes(
    visit: Any, automation: dict[str, Any], viewport: dict[str, int], scheme: str
) -> None:
    visitor = visit(viewport, scheme)
    for name, path in (
        ("cards", "/automations"), ("automation", f"/automations/{automation['id']}"), ("settings", "/settings"),
    ):  # fmt: skip
        page = visitor.go(path)
        assert not visitor.has_overflow(), path
        if "TEST_SCREENSHOTS" in os.environ:
            folder = Path(os.environ["TEST_SCREENSHOTS"])
            page.screenshot(path=folder / f"{name}-{scheme}-{viewport['width']}.png", full_page=True)


def test_the_filters_of_the_runs_are_in_the_url(visit: Any, automation: dict[str, Any]) -> None:
    visitor = visit()
    page = visitor.go(f"/automations/{automation['id']}")
    expect(page.locator(".chart svg rect").first).to_be_visible()
    page.get_by_role("link", name="Comment reply", exact=True).click()
    page.get_by_role("link", name="24 hours", exact=True).click()
    page.wait_for_url("**?kind=comment_reply&by=hour")
    expect(page.get_by_role("heading", name="Runs by hour")).to_be_visible()
    assert set(
        page.locator("section[aria-labelledby=history] .dot").evaluate_all("all => all.map(e => e.className)")
    ) == {"dot run-comment_reply"}


@pytest.mark.parametrize("role", ["owner"])
def test_a_switch_is_changed_with_the_keyboard(visit: Any, alice: Producer) -> None:
    page = visit().go("/settings")
    switch = page.get_by_role("switch", name="Statistics in the API")
    expect(switch).to_be_checked()
    switch.focus()
    page.keyboard.press("Space")
    expect(page.get_by_role("switch", name="Statistics in the API")).not_to_be_checked()
    assert alice.get("/api/settings/switches").json["statsInApi"] is False
