"""Channel credentials and the audit log in a real browser: test, save, and find the change."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from sandbox.server import RunningSandbox
from tests.browser.conftest import PHONE
from tests.dashboard.test_channels import DOMAIN, KEY, config, provider

__all__ = ["config", "provider"]


@pytest.fixture
def role() -> str:
    """Bob owns Alice's workspace here."""
    return "owner"


def test_an_owner_tests_credentials_before_saving_them(visit: Any, provider: RunningSandbox) -> None:
    visitor = visit()
    page = visitor.go("/settings/channels")
    card = page.get_by_role("region", name="Mailgun")
    card.get_by_label("API key").fill(KEY)
    card.get_by_label("Domain").fill(DOMAIN)
    card.get_by_label("E-mail address for the test").fill("ada@example.com")
    card.get_by_role("button", name="Send a test").click()
    expect(card.get_by_text("Mailgun accepted a test message to ada@example.com")).to_be_visible()
    assert [sent["to"] for sent in provider.list_messages(provider="mailgun")] == ["ada@example.com"]
    # What was entered is still there, and is saved now.
    expect(card.get_by_label("API key")).to_have_value(KEY)
    card.get_by_role("button", name="Save Mailgun").click()
    expect(page.get_by_text("Mailgun saved.")).to_be_visible()
    expect(card.get_by_text("Set here (••••abcd)")).to_be_visible()
    expect(card.get_by_label("API key")).to_have_value("")


def test_the_change_is_found_in_the_audit_log(visit: Any) -> None:
    visitor = visit(PHONE, "dark")
    page = visitor.go("/settings/channels")
    card = page.get_by_role("region", name="Gemini")
    card.get_by_label("API key").fill("g-0123456789abcdef")
    card.get_by_role("button", name="Save Gemini").click()
    expect(page.get_by_text("Gemini saved.")).to_be_visible()
    page = visitor.go("/audit")
    page.get_by_label("Action").select_option("channel.changed")
    entry = page.get_by_role("listitem").filter(has_text="changed the credentials of a channel")
    expect(entry).to_have_count(1)
    expect(entry.get_by_role("row", name="GEMINI_API_KEY not set → ••••cdef")).to_be_visible()
    expect(page).to_have_url(f"{visitor.address}/audit?action=channel.changed")
    assert not visitor.has_overflow()
    entry.get_by_role("link", name="gemini", exact=True).click()
    expect(page).to_have_url(f"{visitor.address}/settings/channels#gemini")
