"""The script of customers' pages in a real browser: the sections "How It Works", "Error Handling" and "Performance
Impact" of the source document."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.support.customer_site import Site, make_playbook, replace_text, serve_site
from tests.support.waiting import eventually

UTM = "?utm_source=newsletter"


@pytest.fixture
def site() -> Iterator[Site]:
    with serve_site() as served:
        yield served


def test_a_playbook_whose_trigger_matches_is_executed_and_tracked(chromium: Browser, site: Site) -> None:
    site.stand_in.playbooks = [make_playbook(replace_text(), trigger={"utm": {"source": "newsletter"}})]
    page = chromium.new_context().new_page()
    page.goto(site.address + "/pricing" + UTM)
    expect(page.locator(".hero")).to_have_text("Welcome back")
    (body,) = eventually(site.stand_in.list_accepted)
    assert body["triggerName"] == "UTM Parameters"
    page.context.close()
