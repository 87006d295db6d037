"""The pages in a real browser. Every test fails on console messages, errors and content security policy violations."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

import clock
from models.database import acting_as
from models.queries import execute, fetch_value
from tests.browser.conftest import DESKTOP, PHONE
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer

#: Enough time for a busy machine.
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def automation(alice: Producer) -> dict[str, Any]:
    return alice.create()


def list_summary_rows(page: Any) -> list[int]:
    """How many counts each row of the summary bar has; nothing is clipped."""
    cells = page.locator("#summary .cell").evaluate_all(
        "all => all.map(cell => [cell.offsetTop, cell.scrollWidth > cell.clientWidth])"
    )
    assert not any(clipped for _, clipped in cells)
    tops = [top for top, _ in cells]
    return [tops.count(top) for top in sorted(set(tops))]


def test_an_automation_is_toggled_in_place(visit: Any, alice: Producer, automation: dict[str, Any]) -> None:
    page = visit().go("/automations")
    switch = page.get_by_role("switch", name="Welcome")
    expect(switch).to_be_checked()
    page.locator("html").evaluate("element => { element.dataset.seen = 'before' }")
    switch.click()
    expect(switch).not_to_be_checked()
    assert page.locator("html").get_attribute("data-seen") == "before"
    assert alice.get(f"{alice.automations}/{automation['id']}").json["automation"]["enabled"] is False


def test_an_automation_is_filtered_by_channel_and_duplicated(
    visit: Any, alice: Producer, automation: dict[str, Any]
) -> None:
    alice.create(name="Text", definition={"trigger": {"type": "a"}, "steps": [
        {"id": "text", "action": "send_sms", "with": {"body": "Hi"}}]})  # fmt: skip
    page = visit().go("/automations")
    expect(page.locator("article")).to_have_count(2)
    page.get_by_label("Channel").select_option("sms")
    page.wait_for_url(re.compile(r"/automations\?channel=sms$"))
    expect(page.locator("article")).to_have_count(1)
    page.get_by_role("button", name="Duplicate Text").click()
    page.wait_for_url(re.compile(r"/automations/[0-9a-f-]{36}/edit$"))
    expect(page.get_by_text('"Copy of Text" created. It is off until you publish it')).to_be_visible()
    page.goto(page.url.removesuffix("/edit"))
    expect(page.get_by_role("switch", name="Copy of Text")).to_be_disabled()
    page.get_by_role("link", name="Delete").click()
    expect(page.get_by_role("heading", name="Delete “Copy of Text”?")).to_be_visible()


def test_a_filter_is_a_chip_and_in_the_url(visit: Any, alice: Producer, automation: dict[str, Any]) -> None:
    example_executions.create_execution(alice, automation, contact_id=example_executions.create_contact(alice, "Ada"))
    example_executions.create_failed(alice, automation, contact_id=example_executions.create_contact(alice, "Grace"))
    visitor = visit()
    page = visitor.go("/executions")
    rows = page.locator("ul.rows > li")
    expect(rows).to_have_count(2)
    page.get_by_label("Status", exact=True).select_option("failed")
    page.wait_for_url(re.compile(r"/executions\?status=failed$"))
    expect(rows).to_have_count(1)
    page.keyboard.press("/")
    page.keyboard.type("ada")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/executions\?q=ada&status=failed$"))
    expect(page.get_by_role("heading", name="No matching executions")).to_be_visible()
    page.get_by_role("link", name="Remove filter: status failed").click()
    page.wait_for_url(re.compile(r"/executions\?q=ada$"))
    expect(rows).to_have_count(1)


def test_a_failed_execution_is_retried_from_its_page(visit: Any, alice: Producer, automation: dict[str, Any]) -> None:
    execution_id = example_executions.create_failed(alice, automation)
    visitor = visit()
    page = visitor.go("/executions?status=failed")
    page.locator("ul.rows a").click()
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_role("status").filter(has_text="resumes at its failed step")).to_be_visible()
    with acting_as(alice.workspace_id):
        assert fetch_value("select status from executions where id = %s", (execution_id,)) == "waiting"


def test_matching_executions_are_retried_after_a_preview(
    visit: Any, alice: Producer, automation: dict[str, Any]
) -> None:
    for _ in range(3):
        example_executions.create_failed(alice, automation)
    page = visit().go("/executions?errorClass=network")
    page.get_by_role("link", name="Retry …").click()
    expect(page.get_by_role("heading", name="Retry 3 executions?")).to_be_visible()
    page.get_by_role("button", name="Retry 3").click()
    expect(page.get_by_text("3 executions retried.")).to_be_visible()


def test_an_active_execution_refreshes_until_it_finishes(
    visit: Any, alice: Producer, automation: dict[str, Any]
) -> None:
    execution_id = example_executions.create_execution(alice, automation, status="pending", stage="queued")
    page = visit().go(f"/executions/{execution_id}")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    with acting_as(alice.workspace_id):
        execute(
            "update executions set status = 'succeeded', stage = 'completed', due_at = null, finished_at = %s "
            "where id = %s",
            (clock.now(), execution_id),
        )
    expect(page.locator(".head .pill")).to_have_text("Completed")
    expect(page.get_by_text("Live", exact=True)).to_have_count(0)
    assert page.locator("#execution").get_attribute("hx-get") is None


def test_the_summary_bar_refreshes(visit: Any, alice: Producer, automation: dict[str, Any]) -> None:
    page = visit().go_with_clock("/automations")
    failed = page.locator("#summary a").filter(has_text="Failed")
    expect(failed).to_contain_text("0")
    example_executions.create_failed(alice, automation)
    page.clock.fast_forward(5_000)
    expect(failed).to_contain_text("1")


def test_the_theme_follows_the_system_until_one_is_selected(visit: Any) -> None:
    visitor = visit(color_scheme="dark")
    body = visitor.go("/automations").locator("body")
    expect(body).to_have_css("background-color", "rgb(13, 17, 23)")
    visitor.page.get_by_role("button", name="Light theme").click()
    expect(body).to_have_css("background-color", "rgb(246, 247, 249)")
    visitor.go("/executions")
    expect(body).to_have_css("background-color", "rgb(246, 247, 249)")
    visitor.page.get_by_role("button", name="System theme").click()
    expect(body).to_have_css("background-color", "rgb(13, 17, 23)")


@pytest.mark.parametrize(
    ("look", "viewport"),
    [
        pytest.param("light", DESKTOP, id="light-desktop"),
        pytest.param("dark", PHONE, id="dark-phone"),
        pytest.param("dark", DESKTOP, id="dark-desktop", marks=pytest.mark.slow),
        pytest.param("light", PHONE, id="light-phone", marks=pytest.mark.slow),
    ],
)
def test_every_page_fits_and_logs_no_errors(
    visit: Any, alice: Producer, automation: dict[str, Any], viewport: dict[str, int], look: str
) -> None:
    long = alice.create(name="A name that goes on and on " + "without-a-break" * 8)
    execution_id = example_executions.create_unknown(alice, long)
    example_executions.create_failed(alice, automation)
    # The messages to review are part of the waiting ones.
    example_executions.create_execution(
        alice, automation, status="waiting", stage="ready_to_send", waiting_for="review"
    )
    visitor = visit(viewport, look)
    for path in (
        "/automations", "/executions", f"/executions/{execution_id}", "/executions/all/retry",
        f"/automations/{automation['id']}/delete", "/health",
    ):  # fmt: skip
        page = visitor.go(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert not visitor.has_overflow(), path
        assert list_summary_rows(page) == ([4, 3] if viewport == PHONE else [7]), path


def test_on_a_phone_the_navigation_is_at_the_bottom(visit: Any) -> None:
    page = visit(PHONE).go("/automations")
    bottom = page.get_by_role("navigation", name="Main, bottom")
    bottom.get_by_role("link", name="Executions").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Executions")


def test_on_a_phone_the_other_pages_and_the_account_are_under_more(visit: Any) -> None:
    page = visit(PHONE).go("/automations")
    bottom = page.get_by_role("navigation", name="Main, bottom")
    expect(bottom.get_by_role("link", name="Contacts")).to_be_hidden()
    bottom.get_by_text("More", exact=True).click()
    expect(bottom.get_by_role("link", name="Account")).to_be_visible()
    expect(bottom.get_by_role("button", name="Sign out")).to_be_visible()
    bottom.get_by_role("link", name="Contacts").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Contacts")


def test_the_skip_link_is_the_first_focus(visit: Any) -> None:
    page = visit().go("/executions")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    expect(skip).to_be_focused()
    expect(skip).to_have_css("outline-style", "solid")
    page.keyboard.press("Enter")
    page.wait_for_url("**/executions#content")


def test_every_control_has_a_name(visit: Any, alice: Producer, automation: dict[str, Any]) -> None:
    visitor = visit()
    for path in ("/automations", "/executions", "/health"):
        page = visitor.go(path)
        for kind in ("button", "link", "combobox", "searchbox", "switch"):
            for control in page.get_by_role(kind).all():  # type: ignore[arg-type]
                expect(control).to_have_accessible_name(re.compile(r"\S"))


def test_a_page_shows_a_failed_refresh_and_recovers(visit: Any, automation: dict[str, Any]) -> None:
    visitor = visit()
    page = visitor.go_with_clock("/automations")
    page.route("**/summary", lambda route: route.abort())
    page.clock.fast_forward(5_000)
    expect(page.get_by_text("This page could not be refreshed")).to_be_visible()
    page.unroute("**/summary")
    page.clock.fast_forward(5_000)
    expect(page.get_by_text("This page could not be refreshed")).to_be_hidden()
    # The browser logs the aborted requests of this test.
    visitor.complaints[:] = [
        complaint for complaint in visitor.complaints if "ERR_FAILED" not in complaint and "fetch" not in complaint
    ]
