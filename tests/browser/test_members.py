"""Invitations in a real browser, from the owner's form to the new member's first page."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, PHONE, Visitor
from tests.dashboard.producers import Producer
from tests.dashboard.test_access import add_person
from tests.dashboard.test_account_page import join

pytestmark = pytest.mark.timeout(120)


def invite(alice: Producer, address: str, email: str = "dora@example.com") -> str:
    """The link that the inviter sees, at the test's base URL."""
    url = alice.post("/api/invitations", {"email": email, "role": "operator"}).json["invitation"]["url"]
    return str(url).replace("http://localhost", address)


@pytest.fixture
def stranger(chromium: Any, address: str) -> Any:
    """A browser without a session."""
    context = chromium.new_context(viewport=PHONE, reduced_motion="reduce")
    visitor = Visitor(context.new_page(), address)
    visitor.listen()
    yield visitor
    context.close()
    assert visitor.complaints == []


def test_a_person_creates_an_account_by_a_link(stranger: Visitor, alice: Producer, address: str) -> None:
    page = stranger.page
    page.goto(invite(alice, address))
    assert not stranger.has_overflow()
    form = page.get_by_role("form", name="Create account")
    form.get_by_label("Name").fill("Dora")
    form.get_by_label("Password").fill("unrelated lamp thursday rain")
    form.get_by_role("button", name="Create account").click()
    page.wait_for_url("**/overview")
    assert [member["name"] for member in alice.get("/api/members").json["members"]] == ["Dora"]


def test_a_signed_in_person_accepts_with_one_click(
    visit: Any, alice: Producer, charlie: Producer, address: str
) -> None:
    visitor = visit()
    response = charlie.post("/api/invitations", {"email": "robert@example.com", "role": "viewer"})
    visitor.page.goto(response.json["invitation"]["url"].replace("http://localhost", address))
    visitor.page.get_by_role("button", name="Accept as bob@example.com").click()
    visitor.page.wait_for_url("**/overview")
    expect(visitor.page.locator(".own .who strong")).to_have_text("Charlie's shop")


@pytest.mark.parametrize(("viewport", "look"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_the_workspace_is_switched_in_the_account_menu(
    visit: Any, alice: Producer, charlie: Producer, viewport: dict[str, int], look: str
) -> None:
    # Before a page is open, whose streams read as the dashboard.
    join(charlie.workspace_id, "viewer")
    visitor = visit(viewport, look)
    page = visitor.go("/settings")
    page.locator(".more > summary" if viewport == PHONE else ".own > summary").click()
    expect(page.get_by_role("link", name="Account")).to_be_in_viewport()
    button = page.get_by_role("button", name="Charlie's shop")
    expect(button).to_be_in_viewport()
    button.click()
    page.wait_for_url("**/overview")
    page.goto(visitor.address + "/account")
    expect(page.get_by_role("button", name="Switch to Alice's shop")).to_be_visible()
    assert not visitor.has_overflow()


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE])
def test_an_owner_invites_changes_a_role_and_removes(
    chromium: Any, address: str, alice: Producer, viewport: dict[str, int]
) -> None:
    add_person(alice.workspace_id, "owner")
    add_person(alice.workspace_id, "viewer", "viewer@example.com")
    context = chromium.new_context(viewport=viewport, reduced_motion="reduce")
    visitor = Visitor(context.new_page(), address)
    visitor.listen()
    visitor.sign_in()
    page = visitor.go("/settings/members")
    page.get_by_label("E-mail").fill("dora@example.com")
    page.locator('form[action="/settings/invitations"] select').select_option("operator")
    page.get_by_role("button", name="Invite person").click()
    expect(page.locator("pre")).to_have_text(re.compile(r"/invitations/[\w-]{43}$"))
    assert not visitor.has_overflow()
    row = page.locator("li").filter(has_text="viewer@example.com")
    row.get_by_role("combobox").select_option("operator")
    row.get_by_role("button", name="Change role").click()
    expect(page.get_by_role("status").filter(has_text="is now operator")).to_be_visible()
    row.get_by_role("link", name="Remove").click()
    page.get_by_role("button", name="Remove member").click()
    expect(page.get_by_role("status").filter(has_text="removed")).to_be_visible()
    assert not visitor.has_overflow()
    assert visitor.complaints == []
    context.close()
