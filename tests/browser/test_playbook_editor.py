"""The playbook editor and its preview, in a real browser, on a page of another origin under a strict policy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from models import site_key
from tests.browser.conftest import PHONE
from tests.browser.test_accessibility import look_at
from tests.dashboard.producers import Producer
from tests.dashboard.test_playbook_editor import SALE, create_playbook
from tests.support.customer_site import STRICT_POLICY, Site, serve_site

#: Enough time for a busy machine.
pytestmark = pytest.mark.timeout(180)

BODY = """<main><h1 class="hero-title css-1x2y3z">Simple prices</h1>
<section data-testid="room"><a class="cta" href="/left">Choose room</a></section>
<section><a class="cta" href="/left">Choose rug</a><a href="/left">More</a></section></main>"""


@pytest.fixture
def site(alice: Producer, address: str) -> Iterator[Site]:
    """A page with the real script of Alice's workspace, at another origin, under a strict Content-Security-Policy."""
    with serve_site() as served:
        key = site_key.issue(alice.workspace_id, "shop", ["http://localhost"]).key
        served.head = f'<script src="{address}/beckon.js" data-site-key="{key}" defer></script>'
        served.pages["/pricing"] = BODY
        served.policy = STRICT_POLICY.format(beckon=address).replace("trusted-types 'none'", "trusted-types beckon")
        yield served


def open_tab(page: Page, site: Site) -> Page:
    """The operator's page, opened by the editor."""
    page.get_by_label("Address of your page").fill(f"{site.address}/pricing?utm_source=news")
    with page.context.expect_page() as opened:
        page.get_by_role("button", name="Open in tab").click()
    tab: Page = opened.value
    expect(page.locator("#preview-result")).to_contain_text("action")
    return tab


def fetch(alice: Producer) -> dict[str, Any]:
    (row,) = alice.get(alice.automations).json["automations"]
    automation: dict[str, Any] = alice.get(f"{alice.automations}/{row['id']}").json["automation"]
    return automation


def test_a_playbook_is_made_from_nothing_picked_previewed_and_published(
    visit: Any, alice: Producer, site: Site
) -> None:
    page = visit().go("/automations/new")
    page.get_by_role("link", name="New playbook").click()
    page.get_by_label("Name").fill("Sale")
    page.get_by_role("button", name="UTM").click()
    page.get_by_label("Value of utm_source").fill("news")
    page.get_by_role("heading", level=2, name="Then").click()
    page.keyboard.press("a")
    page.get_by_role("button", name="Replace text Replace the text of elements.").click()
    expect(page.get_by_label("Element")).to_be_focused()
    expect(page.get_by_text("2 problems", exact=True).first).to_be_visible()

    tab = open_tab(page, site)
    page.get_by_role("button", name="Pick").click()
    tab.get_by_role("heading", name="Simple prices").hover()
    tab.get_by_role("heading", name="Simple prices").click()
    expect(page.get_by_label("Element")).to_have_value("h1.hero-title")
    expect(page.get_by_text("1 match on this page")).to_be_visible()

    page.get_by_label("New text").fill("Sale until Sunday")
    expect(tab.locator("h1")).to_have_text("Sale until Sunday")
    expect(page.get_by_text("Was: “Simple prices”")).to_be_visible()
    expect(page.get_by_text("✓ Playbook runs")).to_be_visible()
    expect(page.locator("#saved")).to_contain_text("Draft saved")
    page.get_by_role("button", name="Before").click()
    expect(tab.locator("h1")).to_have_text("Simple prices")
    page.get_by_role("button", name="After", exact=True).click()
    expect(tab.locator("h1")).to_have_text("Sale until Sunday")
    assert "beckon_preview" not in tab.url

    page.get_by_label("Note on this version").fill("First sale")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_text('Version 1 of "Sale" published.')).to_be_visible()
    playbook = fetch(alice)
    assert (playbook["enabled"], playbook["versions"][0]["note"]) == (True, "First sale")
    assert playbook["definition"] == {
        "trigger": {"type": "page", "with": {"url": "/*", "utm": {"source": "news"}}},
        "steps": [
            {
                "id": "replace_text", "action": "replace_text",
                "with": {"selector": "h1.hero-title", "text": "Sale until Sunday"},
            }
        ],
    }  # fmt: skip


@pytest.mark.slow
def test_an_element_is_picked_by_the_keyboard_and_gets_a_robust_selector(
    visit: Any, alice: Producer, site: Site
) -> None:
    step = {"id": "hint", "action": "set_attribute", "with": {"selector": "h1", "name": "title", "value": "Hint"}}
    playbook = create_playbook(alice, definition={**SALE, "steps": [step]})
    page = visit().go(f"/automations/{playbook['id']}/edit")
    tab = open_tab(page, site)
    picked = page.get_by_label("Element")
    for element, keys, selector in (
        (tab.get_by_text("Choose room"), ("Enter",), 'section[data-testid="room"] a.cta'),
        (tab.get_by_text("Choose room"), ("ArrowUp", "Enter"), 'section[data-testid="room"]'),
        (tab.get_by_text("Choose rug"), ("ArrowRight", "Enter"), "main > section:nth-of-type(2) > a:nth-of-type(2)"),
    ):
        page.get_by_role("button", name="Pick").click()
        element.hover()
        for key in keys:
            tab.keyboard.press(key)
        expect(picked).to_have_value(selector)
        expect(page.get_by_text("1 match on this page")).to_be_visible()
    page.get_by_role("button", name="Pick").click()
    tab.get_by_text("Choose room").hover()
    tab.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Pick", exact=True)).to_have_attribute("aria-pressed", "false")
    expect(picked).to_have_value("main > section:nth-of-type(2) > a:nth-of-type(2)")


@pytest.mark.slow
def test_conditions_of_the_visit_are_shown_and_can_be_assumed(visit: Any, alice: Producer, site: Site) -> None:
    definition = {**SALE, "trigger": {"type": "page", "with": {"device": ["mobile"], "exit_intent": True}}}
    playbook = create_playbook(alice, definition=definition)
    page = visit().go(f"/automations/{playbook['id']}/edit")
    tab = open_tab(page, site)
    expect(page.get_by_text("Waits for 2 conditions")).to_be_visible()
    page.get_by_role("button", name="Phone", exact=True).click()
    expect(page.get_by_text("Waits for 1 condition", exact=True)).to_be_visible()
    page.get_by_role("button", name="Exit intent not yet").click()
    expect(page.get_by_text("✓ Playbook runs")).to_be_visible()
    tab.reload()
    expect(page.get_by_role("alert")).to_have_text(
        "The page was left or reloaded, which ends its preview. Open it again."
    )
    expect(tab.locator("h1")).to_have_text("Simple prices")


@pytest.mark.slow
def test_the_page_is_shown_in_the_panel_where_it_allows_framing(visit: Any, alice: Producer, site: Site) -> None:
    playbook = create_playbook(alice, definition=SALE)
    page = visit().go(f"/automations/{playbook['id']}/edit")
    page.get_by_label("Address of your page").fill(f"{site.address}/pricing")
    page.get_by_role("button", name="Show here").click()
    expect(page.frame_locator("iframe").locator("h1")).to_have_text("Sale")
    page.locator(".add-action summary").click()
    page.get_by_role("button", name="Hide Hide elements.").click()
    page.get_by_label("Element").last.fill("section")
    expect(page.frame_locator("iframe").get_by_text("Choose room")).to_be_hidden()
    expect(page.locator("#preview-result")).to_contain_text("2 actions")


@pytest.mark.slow
def test_an_editor_at_another_address_than_the_script_says_where_to_open_it(
    visit: Any, alice: Producer, site: Site
) -> None:
    playbook = create_playbook(alice, definition=SALE)
    page = visit().go(f"/automations/{playbook['id']}/edit")
    site.head = ""
    page.locator("#preview").evaluate("panel => { panel.dataset.home = 'https://beckon.example'; }")
    page.get_by_label("Address of your page").fill(f"{site.address}/pricing")
    page.get_by_role("button", name="Show here").click()
    expect(page.get_by_role("alert")).to_contain_text("Open Beckon at https://beckon.example", timeout=20_000)


def test_another_window_and_another_page_get_nothing(
    chromium: Browser, visit: Any, alice: Producer, site: Site
) -> None:
    """A copied address, opened by a window that is not the editor, neither reads nor applies the draft; a page that
    lies to the editor without the nonce changes no field."""
    playbook = create_playbook(alice, definition={**SALE, "trigger": {"type": "page", "with": {"event": "never"}}})
    page = visit().go(f"/automations/{playbook['id']}/edit")
    addresses: list[str] = []
    page.context.on("request", lambda request: addresses.append(request.url))
    tab = open_tab(page, site)
    (address,) = [url for url in addresses if "beckon_preview=" in url]

    stranger = chromium.new_context().new_page()
    requests: list[str] = []
    stranger.context.on("request", lambda request: requests.append(request.url))
    stranger.goto(f"{site.address}/other")
    with (
        stranger.context.expect_event("request", lambda request: "/browser/beckon-preview-" in request.url),
        stranger.context.expect_page() as opened,
    ):
        stranger.evaluate("address => void window.open(address)", address)
    opened.value.wait_for_load_state("networkidle")
    expect(opened.value.locator("h1")).to_have_text("Simple prices")
    assert not [url for url in requests if "/api/playbooks/preview" in url]
    stranger.context.close()

    lie = "nonce => window.opener.postMessage({beckon: 'preview', nonce, type: 'picked', selector: '#lie'}, '*')"
    page.get_by_role("button", name="Pick").click()
    tab.evaluate(lie, "guessed")
    tab.get_by_text("Choose room").hover()
    tab.keyboard.press("Enter")
    expect(page.get_by_label("Element")).to_have_value('section[data-testid="room"] a.cta')


@pytest.mark.slow
def test_a_conflict_is_told_and_nothing_typed_is_lost(visit: Any, alice: Producer) -> None:
    playbook = create_playbook(alice, definition=SALE)
    visitor = visit()
    page = visitor.go(f"/automations/{playbook['id']}/edit")
    changed = {**SALE, "trigger": {"type": "page", "with": {"url": "/other"}}}
    alice.put(f"{alice.automations}/{playbook['id']}", {"definition": changed})
    page.get_by_label("New text").fill("Mine")
    expect(page.get_by_role("alert")).to_contain_text("Your changes are not saved. They are still in this form.")
    assert page.get_by_label("New text").input_value() == "Mine"
    page.get_by_role("button", name="Overwrite saved draft").click()
    page.wait_for_load_state()
    expect(page.locator("#saved")).to_contain_text("Draft saved")
    assert fetch(alice)["draft"]["steps"][0]["with"]["text"] == "Mine"
    # The refused saves, as a response and on the console.
    visitor.complaints[:] = [line for line in visitor.complaints if "409" not in line]


def test_the_editor_passes_axe_and_fits_a_phone(visit: Any, alice: Producer, site: Site) -> None:
    playbook = create_playbook(alice)
    visitor = visit()
    page = visitor.go(f"/automations/{playbook['id']}/edit")
    open_tab(page, site)
    page.locator(".add-action summary").click()
    assert look_at(page, "editor", ("light", "dark", "phone")) == {}
    page.keyboard.press("Escape")
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert not visitor.has_overflow()
    page = visitor.go(f"/automations/{playbook['id']}/versions/1")
    assert look_at(page, "version", ("light", "dark", "phone")) == {}
