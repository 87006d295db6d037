"""The contact pages in a real browser: search, edit in place, suppress, import, and fit every window."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from models import suppression
from models.audit import SYSTEM
from tests.browser.conftest import DESKTOP, PHONE
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer
from tests.dashboard.test_possible_opt_outs import receive

#: Enough time for a busy machine.
pytestmark = pytest.mark.timeout(120)


def test_contacts_are_searched_with_the_keyboard_and_opened(visit: Any, alice: Producer) -> None:
    example_executions.create_contact(alice, "Ada", tags=["lead"])
    example_executions.create_contact(alice, "Grace")
    page = visit().go("/automations")
    page.get_by_role("navigation", name="Main", exact=True).get_by_role("link", name="Contacts").click()
    # Wait for the scripts, which handle the keyboard.
    page.wait_for_url(re.compile(r"/contacts$"))
    expect(page.locator("ul.rows > li")).to_have_count(2)
    page.keyboard.press("/")
    page.keyboard.type("ada")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/contacts\?q=ada$"))
    page.locator("ul.rows a").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Ada")
    page.get_by_role("link", name="lead").click()
    expect(page.locator("ul.rows > li")).to_have_count(1)


def test_a_contact_is_edited_in_place(visit: Any, alice: Producer) -> None:
    ada = example_executions.create_contact(alice, "Ada", attributes={"seats": 3})
    page = visit().go(f"/contacts/{ada}")
    page.locator("html").evaluate("element => { element.dataset.seen = 'before' }")
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Last name").fill("Byron")
    page.get_by_label("Attribute 1, value").fill("4")
    assert page.locator("html").get_attribute("data-seen") == "before"
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Ada Byron")
    assert alice.get(f"/api/contacts/{ada}").json["contact"]["attributes"] == {"seats": 4}


def test_an_edit_is_discarded(visit: Any, alice: Producer) -> None:
    page = visit().go(f"/contacts/{example_executions.create_contact(alice, 'Ada')}")
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Last name").fill("Byron")
    page.get_by_role("link", name="Discard changes").click()
    expect(page.get_by_label("Last name")).to_have_count(0)
    expect(page.get_by_role("link", name="Edit")).to_be_visible()


def test_a_suppression_is_lifted_after_confirmation(visit: Any, alice: Producer) -> None:
    ada = example_executions.create_contact(alice, "Ada", email="ada@example.com")
    suppression.add(alice.workspace_id, ada, "email", SYSTEM)
    page = visit().go(f"/contacts/{ada}")
    page.get_by_role("link", name="Lift suppression of E-mail").click()
    page.get_by_label("Reason").fill("Asked by phone")
    page.get_by_role("button", name="Lift suppression").click()
    expect(page.get_by_text("E-mail suppression lifted.")).to_be_visible()
    assert suppression.list_for_contact(alice.workspace_id, ada) == []


def test_a_possible_opt_out_is_found_by_its_badge_and_suppressed(visit: Any, alice: Producer) -> None:
    ada = example_executions.create_contact(alice, "Ada", phone="+15550100")
    receive(alice, ada, "please no more")
    page = visit().go("/contacts")
    page.get_by_role("link", name="Possible opt-outs 1").click()
    expect(page.get_by_text("please no more")).to_be_visible()
    page.get_by_role("button", name="Suppress Ada").click()
    expect(page.get_by_text("SMS suppressed.")).to_be_visible()
    expect(page.get_by_role("heading", name="No possible opt-outs")).to_be_visible()
    assert [row["reason"] for row in suppression.list_for_contact(alice.workspace_id, ada)] == ["stopped"]


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_page_fits_and_names_its_controls(visit: Any, alice: Producer, viewport: dict[str, int]) -> None:
    long = "without-a-break" * 12
    ada = example_executions.create_contact(
        alice, "Ada", last_name=long, email="ada@example.com", tags=[long[:60]] * 1, username=long,
        attributes={"x": long},
    )  # fmt: skip
    receive(alice, ada, long)
    visitor = visit(viewport)
    for path in ("/suppressions/possible", "/suppressions", "/contacts",
                 "/contacts/new", f"/contacts/{ada}", f"/contacts/{ada}?edit", f"/contacts/{ada}/delete",
                 f"/contacts/{ada}/channels/email", "/contacts?q=nobody"):  # fmt: skip
        page = visitor.go(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert not visitor.has_overflow(), path
        for kind in ("button", "link", "textbox", "combobox", "searchbox"):
            for control in page.get_by_role(kind).all():  # type: ignore[arg-type]
                expect(control).to_have_accessible_name(re.compile(r"\S"))


def test_a_file_is_imported_after_its_preview(visit: Any, alice: Producer) -> None:
    page = visit().go("/contacts")
    page.get_by_role("link", name="Import CSV").first.click()
    file = {
        "name": "list.csv",
        "mimeType": "text/csv",
        "buffer": b"firstName,email,plan\nAda,ada@example.com,pro\nBob,x\n",
    }
    page.get_by_label("CSV file").set_input_files(file)  # type: ignore[arg-type]
    page.get_by_role("button", name="Preview import").click()
    expect(page.get_by_role("heading", name="Import 1 contact?")).to_be_visible()
    expect(page.get_by_role("cell", name="has 2 cells where the first line has 3")).to_be_visible()
    page.get_by_role("button", name="Import 1 contact").click()
    expect(page.get_by_role("heading", name="1 contact imported")).to_be_visible()
    assert alice.get("/api/contacts?q=ada@example.com").json["contacts"][0]["attributes"] == {"plan": "pro"}


def test_a_file_that_is_too_large_is_rejected_before_the_upload(visit: Any) -> None:
    page = visit().go("/contacts/import")
    file = {"name": "list.csv", "mimeType": "text/csv", "buffer": b"x" * (10 * 2**20 + 1)}
    page.get_by_label("CSV file").set_input_files(file)  # type: ignore[arg-type]
    page.get_by_role("button", name="Preview import").click()
    expect(page.locator("input[type=file]:invalid")).to_have_count(1)
    page.wait_for_url("**/contacts/import")
