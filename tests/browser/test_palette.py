"""The command palette and the keyboard shortcuts in a real browser."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import PHONE
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer

#: Enough time for a busy machine.
pytestmark = pytest.mark.timeout(120)


def list_options(page: Page) -> Any:
    return page.get_by_role("listbox", name="Results").get_by_role("option")


def test_the_palette_finds_and_opens_with_the_keyboard_alone(visit: Any, alice: Producer) -> None:
    ada = example_executions.create_contact(alice, "Ada", last_name="Byron", email="ada@example.com")
    page = visit().go("/contacts")
    page.get_by_role("link", name="New contact").focus()
    page.keyboard.press("Control+k")
    field = page.get_by_role("combobox", name="Find anything")
    expect(field).to_be_focused()
    # Before a word is typed: what can be done here, and every page.
    expect(list_options(page).filter(has_text="New contact")).to_have_count(1)
    expect(list_options(page).filter(has_text="Executions")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(field).to_be_hidden()
    expect(page.get_by_role("link", name="New contact")).to_be_focused()
    page.keyboard.press("Control+k")
    page.keyboard.type("byr ad")
    match = list_options(page).filter(has_text="Ada Byron")
    expect(match).to_have_attribute("aria-selected", "true")
    expect(field).to_have_attribute("aria-activedescendant", match.get_attribute("id") or "")
    page.keyboard.press("ArrowDown")
    expect(list_options(page).last).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/contacts/{ada}")
    page.go_back()
    page.keyboard.press("Control+k")
    expect(list_options(page).filter(has_text="Ada Byron")).to_be_visible()


def test_an_answer_that_comes_too_late_is_ignored(visit: Any, alice: Producer) -> None:
    example_executions.create_contact(alice, "Ada")
    example_executions.create_contact(alice, "Grace")
    page = visit().go("/contacts")
    late: list[Route] = []
    page.route(re.compile(r"/api/search\?q=ada$"), lambda route: late.append(route))
    page.keyboard.press("Control+k")
    with page.expect_request(re.compile(r"q=ada$")):
        page.keyboard.type("ada")
    page.get_by_role("combobox", name="Find anything").fill("grace")
    expect(list_options(page).filter(has_text="Grace")).to_have_count(1)
    late[0].continue_()
    expect(list_options(page).filter(has_text="Grace")).to_have_count(1)
    expect(list_options(page).filter(has_text="Ada")).to_have_count(0)


def test_shortcuts_move_between_pages_and_rows_and_spare_fields(visit: Any, alice: Producer) -> None:
    for name in ("Ada", "Grace"):
        example_executions.create_contact(alice, name)
    page = visit().go("/automations")
    page.keyboard.press("g")
    page.keyboard.press("c")
    page.wait_for_url("**/contacts")
    expect(page.locator("ul.rows > li")).to_have_count(2)
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("ul.rows a").nth(1)).to_be_focused()
    page.keyboard.press("k")
    expect(page.locator("ul.rows a").first).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("gjk?p")
    expect(page.get_by_role("searchbox", name="Find a contact")).to_have_value("gjk?p")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("searchbox", name="Find a contact").blur()
    page.keyboard.press("p")
    expect(page.get_by_text("Updates are paused.")).to_be_visible()
    page.keyboard.press("p")
    expect(page.get_by_text("Updates are paused.")).to_be_hidden()


@pytest.mark.slow
def test_the_magnifier_opens_the_palette_on_a_phone(visit: Any) -> None:
    visitor = visit(PHONE)
    page = visitor.go("/automations")
    page.get_by_role("link", name="Find anything").click()
    expect(page.get_by_role("combobox", name="Find anything")).to_be_focused()
    assert not visitor.has_overflow()
