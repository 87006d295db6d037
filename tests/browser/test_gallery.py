"""The gallery in a real browser: found by words, filtered by chips, used with Enter."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, PHONE

#: Enough time for a busy machine.
pytestmark = pytest.mark.timeout(120)


def test_a_template_is_found_by_words_and_used_with_enter(visit: Any) -> None:
    page = visit().go("/automations/new")
    page.keyboard.press("/")
    page.keyboard.type("appoint")
    expect(page.locator(".gallery li")).to_have_count(1)
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Appointment reminder").focus()
    page.keyboard.press("Enter")
    expect(page.locator("input[name=name]")).to_have_value("Appointment reminder")
    expect(page.locator("#problem-count")).to_contain_text("Ready to publish")


def test_chips_filter_and_a_preview_leads_to_the_editor(visit: Any) -> None:
    page = visit().go("/automations/new")
    page.get_by_role("group", name="Goal").get_by_role("link", name="Reviews").click()
    expect(page.get_by_role("link", name="Review request")).to_be_visible()
    card = page.locator(".gallery li").filter(has_text="Review request")
    card.hover()
    card.get_by_role("link", name="Preview").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Review request")
    expect(page.locator(".outline li")).to_have_count(8)
    page.get_by_role("link", name="Use template").click()
    expect(page.locator("input[name=name]")).to_have_value("Review request")


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_gallery_and_previews_fit(visit: Any, viewport: dict[str, int]) -> None:
    visitor = visit(viewport)
    for path in ("/automations/new", "/automations/new?preview=comment-to-dm", "/automations/new?q=nothing+at+all"):
        page = visitor.go(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert not visitor.has_overflow(), path
