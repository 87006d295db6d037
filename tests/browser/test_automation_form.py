"""The automation form in a real browser: validated while it is edited, published, edited again."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, PHONE
from tests.dashboard.producers import Producer, definition

#: Enough time for a busy machine.
pytestmark = pytest.mark.timeout(120)


def test_an_automation_is_created_from_a_template_and_validated(visit: Any, alice: Producer) -> None:
    page = visit().go("/automations/new?start=welcome-by-e-mail&view=yaml")
    problems = page.get_by_role("region", name="No problems")
    expect(problems).to_be_visible()
    text = page.get_by_label("Definition (YAML or JSON)")
    good = text.input_value()
    text.fill(good.replace("send_email", "send_fax"))
    expect(page.get_by_role("region", name="1 problem")).to_contain_text('unknown action "send_fax"')
    text.fill(good)
    expect(problems).to_be_visible()
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Welcome by e-mail")
    assert [automation["name"] for automation in alice.get(alice.automations).json["automations"]] == [
        "Welcome by e-mail"
    ]


def test_an_edit_of_the_text_becomes_the_next_version(visit: Any, alice: Producer) -> None:
    automation = alice.create()
    page = visit().go(f"/automations/{automation['id']}/edit?view=yaml")
    text = page.get_by_label("Definition (YAML or JSON)")
    text.fill(text.input_value().replace("Hello there", "Good morning"))
    page.get_by_role("button", name="Publish version 2").click()
    expect(page.get_by_text("published. Active executions stay")).to_be_visible()
    updated = alice.get(f"{alice.automations}/{automation['id']}").json["automation"]
    assert updated["definition"]["steps"][0]["with"]["body"] == "Good morning"


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_page_of_the_form_fits(visit: Any, alice: Producer, viewport: dict[str, int]) -> None:
    automation = alice.create(
        name="without-a-break" * 12, definition=definition(where="payload.x == '" + "y" * 300 + "'")
    )
    visitor = visit(viewport)
    for path in ("/automations/new", "/automations/new?start=empty", f"/automations/{automation['id']}/edit"):
        page = visitor.go(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert not visitor.has_overflow(), path
