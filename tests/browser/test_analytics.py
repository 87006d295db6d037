"""Analytics in a real browser: its charts are read by keyboard and pointer, follow the theme, and have tables."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

import clock
from tests.browser.conftest import DESKTOP, PHONE, Visitor
from tests.browser.test_accessibility import look_at
from tests.dashboard.producers import Producer
from tests.dashboard.test_analytics_page import create_days_ago, create_history, track

#: Enough time for a busy machine.
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def automation(alice: Producer) -> dict[str, Any]:
    """An automation with executions of every outcome, and a cause."""
    automation = alice.create(name="Price comments")
    create_history(alice, automation)
    for _ in range(6):
        create_days_ago(
            alice, automation, 2, status="failed", stage="failed", error_class="network", provider="mailgun"
        )
    return automation


def open_analytics(visitor: Visitor, query: str = "") -> Page:
    """The page with its charts drawn."""
    page = visitor.go(f"/analytics{query}")
    expect(page.locator("#status-chart canvas")).to_be_visible()
    return page


def read_pixels(page: Page) -> str:
    return str(page.locator("#status-chart canvas").evaluate("canvas => canvas.toDataURL()"))


def test_a_chart_is_read_by_keyboard_and_pointer(visit: Any, automation: dict[str, Any]) -> None:
    page = open_analytics(visit())
    slider = page.get_by_role("slider", name="Executions by status, day")
    reader = page.locator("#status-chart .reader")
    whole = reader.inner_text()
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    day = clock.now() - timedelta(days=2)
    expect(slider).to_have_attribute("aria-valuetext", re.compile(rf"^{day:%a %-d %b}, .*Failed 6, .*Mailgun"))
    expect(reader).to_contain_text(f"{day:%a %-d %b}")
    expect(reader.get_by_role("link", name="6")).to_have_attribute("href", re.compile("^/executions.*status=failed"))
    page.keyboard.press("Home")
    expect(slider).to_have_attribute("aria-valuenow", "0")
    page.keyboard.press("Escape")
    assert reader.inner_text() == whole
    box = page.locator("#status-chart .u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 27.5 / 30, box["y"] + 50)
    expect(reader).to_contain_text(f"{day:%a %-d %b}")
    # Nothing covers the bars, and reading moves none of them.
    assert page.locator("#status-chart .u-over").bounding_box() == box


def test_a_table_stands_for_the_chart(visit: Any, automation: dict[str, Any], chromium: Browser) -> None:
    visitor = visit()
    page = open_analytics(visitor)
    toggle = page.get_by_role("button", name="Show as table: Executions by status")
    toggle.focus()
    page.keyboard.press("Enter")
    expect(toggle).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#status-chart").get_by_role("row")).to_have_count(31)
    expect(page.locator("#status-chart canvas")).to_be_hidden()
    page.get_by_role("combobox", name="Status").select_option("failed")
    page.wait_for_url("**/analytics?status=failed")
    expect(page.locator("#status-chart").get_by_role("row")).to_have_count(31)
    toggle.click()
    expect(page.locator("#status-chart canvas")).to_be_visible()
    context = chromium.new_context(java_script_enabled=False, storage_state=page.context.storage_state())
    plain = context.new_page()
    plain.goto(f"{visitor.address}/analytics")
    expect(plain.locator("#status-chart").get_by_role("row")).to_have_count(31)
    expect(plain.get_by_role("button", name="Show as table")).to_have_count(0)
    plain.get_by_role("combobox", name="Status").select_option("skipped")
    plain.get_by_role("button", name="Apply").first.click()
    plain.wait_for_url("**status=skipped*")
    expect(plain.locator(".analytics-card .figure").first).to_have_text("1")
    context.close()


def test_filters_replace_the_report_without_a_reload(visit: Any, alice: Producer, automation: dict[str, Any]) -> None:
    track(alice, automation, {"trigger_name": "Exit Intent"})
    page = open_analytics(visit())
    page.evaluate("window.kept = true")
    executions = page.locator(".analytics-card .figure").first
    expect(executions).to_have_text("16")
    page.get_by_role("link", name="Playbooks", exact=True).click()
    page.wait_for_url("**/analytics?show=playbooks")
    expect(executions).to_have_text("1")
    page.get_by_role("combobox", name="Device").select_option("mobile")
    page.wait_for_url("**/analytics?show=playbooks&device=mobile")
    page.get_by_role("combobox", name="Status").select_option("failed")
    expect(page.get_by_role("heading", name="No executions in this period")).to_be_visible()
    page.get_by_role("combobox", name="Status").select_option("")
    expect(page.locator("#time-chart canvas")).to_be_visible()
    toggle = page.get_by_role("button", name="Show as table: Execution time")
    toggle.click()
    expect(toggle).to_have_attribute("aria-pressed", "true")
    page.get_by_role("combobox", name="Period").select_option("custom")
    expect(page.get_by_label("From")).to_be_visible()
    expect(page.locator("#status-chart canvas")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("combobox", name="Device")).to_have_value("mobile")
    assert page.evaluate("window.kept")


def test_the_charts_follow_the_theme(visit: Any, automation: dict[str, Any]) -> None:
    page = open_analytics(visit())
    light = read_pixels(page)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("light => document.querySelector('#status-chart canvas').toDataURL() !== light", arg=light)
    page.emulate_media(color_scheme="light")
    page.wait_for_function("light => document.querySelector('#status-chart canvas').toDataURL() === light", arg=light)


@pytest.mark.slow
def test_the_page_fits_a_phone_and_passes_axe(visit: Any, automation: dict[str, Any]) -> None:
    visitor = visit(PHONE)
    page = open_analytics(visitor)
    assert not visitor.has_overflow()
    page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]
    page.wait_for_function("() => document.querySelector('#status-chart canvas').clientWidth > 600")
    violations = look_at(page, "chart", ("light", "dark", "phone"))
    page.get_by_role("button", name="Show as table: Executions by status").click()
    assert violations | look_at(page, "table", ("dark", "phone")) == {}
    assert not visitor.has_overflow()
