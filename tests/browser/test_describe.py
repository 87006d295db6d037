"""From a description to a draft in the editor, in a real browser."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, PHONE
from tests.dashboard.producers import Producer
from tests.dashboard.test_proposals import use_sandbox

#: Enough time for a busy machine.
pytestmark = pytest.mark.timeout(120)


def describe(page: Any, text: str) -> None:
    field = page.get_by_label("Describe what")
    field.fill(text)
    field.press("Control+Enter")


def test_a_description_becomes_a_draft_in_the_editor(visit: Any, alice: Producer) -> None:
    use_sandbox(alice)
    page = visit().go("/automations/new")
    describe(page, "Ask each customer for a review after delivery")
    expect(page.get_by_role("heading", level=1)).to_have_text("Draft from a description")
    expect(page.locator(".outline").first).to_contain_text("Wait for an event")
    expect(page.get_by_role("heading", name="Addresses in this draft")).to_be_visible()
    assert alice.get(alice.automations).json["automations"] == []
    page.get_by_role("button", name="Use this draft").click()
    expect(page.locator("input[name=name]")).to_have_value("Review request")
    expect(page.locator("#problem-count")).to_contain_text("Ready to publish")
    (row,) = alice.get(alice.automations).json["automations"]
    assert (row["name"], row["version"]) == ("Review request", 0)


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_page_of_a_draft_fits(visit: Any, alice: Producer, viewport: dict[str, int]) -> None:
    use_sandbox(alice)
    visitor = visit(viewport)
    page = visitor.go("/automations/new")
    describe(page, "price comments as a DM")
    expect(page.get_by_role("button", name="Use this draft")).to_be_visible()
    assert not visitor.has_overflow()
