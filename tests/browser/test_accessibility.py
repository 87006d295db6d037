"""Every page passes axe-core's rules for WCAG 2.2 A and AA and its best practices, in light, dark and phone width.

The pages are those that the owner of a workspace with an execution in every state reaches by links, one of each kind,
and those of visitors who are not signed in. A new page is covered as soon as a link leads to it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import flask
import pytest
from axe_playwright_python.sync_playwright import Axe
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect

import clock
from models import conversation, possible_opt_out
from models.audit import SYSTEM
from models.database import acting_as
from models.queries import fetch_value
from rules.contact_file import parse_contact_file
from tasks.operators import contact_import
from tests.browser.conftest import DESKTOP, PHONE
from tests.dashboard.producers import Producer
from tests.dashboard.test_every_link import Crawler, create_full_workspace, sign_in_as

#: One page load per page; enough time for a busy machine.
pytestmark = pytest.mark.timeout(600)

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
#: Pages of visitors, and errors.
PLAYBOOK = {
    "trigger": {"type": "page"},
    "steps": [{"id": "hide", "action": "hide", "with": {"selector": ".old"}}],
}
PUBLIC_PAGES = ("/sign-in", "/invitations/nothing", "/reset-password/nothing")
ERROR_PAGES = ("/nothing", "/executions?status=nothing", "/search", "/search?q=nobody", "/contacts?q=nobody")


@pytest.fixture
def alice(app: flask.Flask, workspaces: Any, client: FlaskClient) -> Producer:
    """The demo workspace, with an execution in every state."""
    return create_full_workspace(client)


@pytest.fixture
def role() -> str:
    """Bob sees every page."""
    return "owner"


def list_pages(app: flask.Flask, alice: Producer) -> list[str]:
    """One address of each page that an owner reaches by links."""
    crawler = Crawler(sign_in_as(app, alice, "owner"))
    crawler.follow_links("/automations")
    routes, pages = app.url_map.bind(""), dict[str, str]()
    for address in sorted(crawler.requested, key=len):
        endpoint, _ = routes.match(urlsplit(address).path)
        pages.setdefault(endpoint, address)
    return sorted(address for address in pages.values() if _is_page(crawler.browser, address))


def _is_page(browser: FlaskClient, address: str) -> bool:
    """Whether a page is here, and no fragment or file."""
    with browser.get(address) as response:
        return response.mimetype == "text/html" and response.text.startswith("<!doctype html>")


def find_violations(page: Page, tags: list[str]) -> list[str]:
    """The violated rules with the elements that violate them."""
    results = Axe().run(page, options={"runOnly": {"type": "tag", "values": tags}, "resultTypes": ["violations"]})
    return [
        f"{violation['id']}: {' '.join(str(target) for target in node['target'])}"
        for violation in results.response["violations"]
        for node in violation["nodes"]
    ]


def look_at(page: Page, address: str, modes: tuple[str, ...]) -> dict[str, list[str]]:
    """The violations of the open page, by mode."""
    violations = {}
    for mode in modes:
        page.set_viewport_size(PHONE if mode == "phone" else DESKTOP)  # type: ignore[arg-type]
        page.emulate_media(color_scheme="dark" if mode == "dark" else "light")
        violations[f"{address} ({mode})"] = find_violations(page, TAGS)
    return {place: lines for place, lines in violations.items() if lines}


def create_possible_opt_out(workspace_id: str) -> None:
    """Let a contact write what may be an opt-out, so that the list has an entry with its buttons."""
    with acting_as(workspace_id):
        contact_id = fetch_value(
            "select id from contacts where first_name = 'Ada' and deleted_at is null order by id limit 1"
        )
        received = conversation.record_received(
            workspace_id, contact_id, "sms", "in-1", kind="message", text="please no more", at=clock.now()
        )
        possible_opt_out.record(workspace_id, contact_id, "sms", received["id"])


def start_import(workspace_id: str) -> str:
    """Start an import by a worker, with a rejected row; return the id of its operation."""
    contact_file = parse_contact_file("email\nada@example.com\nbad\n", {})
    return contact_import.start(workspace_id, contact_file, SYSTEM)["id"]


@pytest.mark.parametrize(
    "modes", [("light",), pytest.param(("dark", "phone"), marks=pytest.mark.slow)], ids=lambda modes: "-".join(modes)
)
def test_every_page_passes_axe(app: flask.Flask, alice: Producer, visit: Any, modes: tuple[str, ...]) -> None:
    create_possible_opt_out(alice.workspace_id)
    pages = [*list_pages(app, alice), f"/automations/{alice.create(type='playbook', definition=PLAYBOOK)['id']}"]
    pages.append(f"/operations/{start_import(alice.workspace_id)}")
    # Afterwards, because the streams of an open page read as the dashboard.
    visitor = visit()
    violations: dict[str, list[str]] = {}
    assert len(pages) > 20
    for address in (*pages, *ERROR_PAGES):
        page = visitor.go(address)
        violations |= look_at(page, address, modes)
    visitor.page.context.clear_cookies()
    for address in PUBLIC_PAGES:
        violations |= look_at(visitor.go(address), address, modes)
    # The error pages answer with an error, as they should.
    visitor.complaints.clear()
    assert violations == {}


@pytest.mark.slow
def test_the_open_palette_and_sheet_pass_axe(visit: Any) -> None:
    page = visit().go("/automations")
    page.keyboard.press("Control+k")
    expect(page.get_by_role("listbox", name="Results").get_by_role("option").first).to_be_visible()
    violations = look_at(page, "palette", ("light", "dark", "phone"))
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    violations |= look_at(page, "shortcuts", ("light", "dark", "phone"))
    assert violations == {}
