"""A page on paper: the content without navigation and controls, black on white in every theme."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.dashboard import example_executions
from tests.dashboard.producers import Producer

#: Enough time for a busy machine.
pytestmark = pytest.mark.timeout(120)


def test_a_list_prints_its_rows_alone(visit: Any, alice: Producer) -> None:
    example_executions.create_contact(alice, "Ada")
    page = visit(color_scheme="dark").go("/contacts")
    page.emulate_media(media="print")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.locator("ul.rows")).to_contain_text("Ada")
    for part in (".side", ".bottom", ".summary", ".filters", ".actions"):
        expect(page.locator(part).first).to_be_hidden()
    assert page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor") == "rgb(255, 255, 255)"
