"""A list is searched while one types: the URL follows, and the focus and the caret stay where they are."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.dashboard import example_executions
from tests.dashboard.producers import Producer

#: Enough time for a busy machine.
pytestmark = pytest.mark.timeout(120)


def test_a_list_follows_what_one_types(visit: Any, alice: Producer) -> None:
    automation = alice.create(name="Café welcome")
    for name in ("Ada", "Adam", "Grace"):
        contact_id = example_executions.create_contact(alice, name)
        example_executions.create_failed(alice, automation, contact_id=contact_id)
    visitor = visit()
    page = visitor.page
    for path, label in (("/contacts", "Find a contact"), ("/executions?status=failed", "Find by contact or id")):
        visitor.go(path)
        field, rows = page.get_by_role("searchbox", name=label), page.locator("ul.rows > li")
        expect(rows).to_have_count(3)
        page.locator("html").evaluate("element => { element.dataset.seen = 'before' }")
        field.press_sequentially("ada")
        expect(rows).to_have_count(2)
        expect(page).to_have_url(re.compile(r"[?&]q=ada\b"))
        expect(page.get_by_role("link", name="Remove filter: “ada”")).to_be_visible()
        expect(field).to_be_focused()
        field.press("ArrowLeft")
        field.press_sequentially("m")
        field.press("Delete")
        expect(field).to_have_value("adm")
        expect(page.get_by_role("heading", level=2, name=re.compile("^No matching"))).to_be_visible()
        for _ in range(3):
            field.press("Backspace")
        expect(rows).to_have_count(3)
        expect(page).to_have_url(re.compile(rf"{re.escape(path)}$"))
        assert page.locator("html").get_attribute("data-seen") == "before"
