"""A customer's page with the script beside the dashboard of a running copy: what visitors and operators see."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

import clock
from tests.browser.conftest import DESKTOP, chromium
from tests.support.customer_site import BODY, Site, serve_pages
from tests.support.running_app import RunningApp
from tests.support.waiting import eventually

__all__ = ["chromium"]

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]

#: Milliseconds that a page has on a busy machine.
PATIENCE_MS = 45_000

HEADLINE = {"selector": ".hero", "text": "Welcome back, readers"}
PLAYBOOKS: dict[str, dict[str, Any]] = {
    "Readers of the newsletter": {
        "trigger": {"type": "page", "with": {"utm": {"source": "newsletter"}, "scroll_depth": 50}},
        "steps": [
            {"id": "headline", "action": "replace_text", "with": HEADLINE},
            {"id": "button", "action": "set_style", "with": {"selector": ".buy", "style": {"color": "rgb(1, 2, 3)"}}},
        ],
    },
    "Desktop banner": {
        "trigger": {"type": "page", "with": {"device": ["desktop"], "url": "/pricing*"}},
        "steps": [{"id": "banner", "action": "insert_banner", "with": {"position": "top", "text": "Use LUMO20"}}],
    },
    "Phones only": {
        "trigger": {"type": "page", "with": {"device": ["mobile"]}},
        "steps": [{"id": "buy", "action": "hide", "with": {"selector": ".buy"}}],
    },
}


class Operator:
    """A running copy with three playbooks, and a browser of its first owner."""

    def __init__(self, app: RunningApp, page: Page) -> None:
        self.app, self.page = app, page
        self.access = app.access()
        self.workspace = f"/api/workspaces/{self.access['workspaceId']}/automations"

    def create(self, name: str, definition: dict[str, Any]) -> str:
        """Publish a playbook and turn it on."""
        body = {"name": name, "type": "playbook", "enabled": True, "definition": definition}
        return str(self.app.call("POST", self.workspace, body)["automation"]["id"])

    def issue_site_key(self) -> str:
        """A site key for pages on localhost."""
        body = {"name": "Site", "origins": ["http://localhost"]}
        return str(self.app.call("POST", "/api/site-keys", body)["siteKey"]["key"])

    def fetch(self, automation_id: str) -> dict[str, Any]:
        """The playbook as the API shows it."""
        return dict(self.app.call("GET", f"{self.workspace}/{automation_id}")["automation"])

    def open(self, path: str) -> Page:
        """Open a page of the dashboard, signed in."""
        self.page.goto(f"{self.access['url']}{path}")
        if "/sign-in" in self.page.url:
            self.page.fill("input[name=email]", str(self.access["email"]))
            self.page.fill("input[name=password]", str(self.access["password"]))
            self.page.get_by_role("button", name="Sign in").click()
            self.page.wait_for_url(f"**{path}")
        return self.page


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    """A running copy."""
    app = RunningApp(tmp_path_factory.mktemp("playbooks") / "home")
    started = app.run("up", "--detach")
    assert started.returncode == 0, started.stderr
    yield app
    app.run("down")


@pytest.fixture
def operator(running: RunningApp, chromium: Browser) -> Iterator[Operator]:
    """The first owner."""
    context = chromium.new_context(viewport=DESKTOP, reduced_motion="reduce")
    yield Operator(running, context.new_page())
    context.close()


@pytest.fixture
def site(running: RunningApp, operator: Operator) -> Iterator[Site]:
    """A customer's site whose pages have the script."""
    with serve_pages(str(running.access()["url"])) as served:
        served.site_key = operator.issue_site_key()
        yield served


@pytest.fixture
def visitor(chromium: Browser) -> Iterator[Page]:
    """Somebody who visits the site."""
    context = chromium.new_context(viewport=DESKTOP)
    yield context.new_page()
    context.close()


def test_a_visit_changes_the_page_and_the_dashboard_shows_it(operator: Operator, site: Site, visitor: Page) -> None:
    started_at = clock.now()
    ids = {name: operator.create(name, definition) for name, definition in PLAYBOOKS.items()}
    readers = ids["Readers of the newsletter"]
    site.pages["/pricing"] = BODY
    # The dashboard is open before the visit: it shows the execution without a reload.
    page = operator.open("/executions/playbooks")
    expect(page.get_by_role("heading", level=1)).to_have_text("Executions")

    visitor.goto(site.address + "/pricing?utm_source=newsletter")
    expect(visitor.locator("beckon-banner")).to_contain_text("Use LUMO20")
    expect(visitor.locator(".hero")).to_have_text("Simple prices")
    visitor.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(visitor.locator(".hero")).to_have_text("Welcome back, readers")
    expect(visitor.locator(".buy")).to_have_css("color", "rgb(1, 2, 3)")

    row = page.locator(".tracked-row", has_text="Readers of the newsletter")
    expect(row).to_contain_text("Scroll Depth", timeout=PATIENCE_MS)
    expect(row).to_contain_text("/pricing")
    expect(page.locator(".tracked-row", has_text="Desktop banner")).to_contain_text("Device Type")
    expect(page.locator(".tracked-row", has_text="Phones only")).to_have_count(0)

    row.click()
    actions = page.locator(".tracked-actions li")
    expect(actions).to_have_count(2, timeout=PATIENCE_MS)
    for number, name in enumerate(("Replace Text", "Set Style")):
        expect(actions.nth(number)).to_contain_text(name)
        expect(actions.nth(number).locator(".took")).to_have_text(re.compile(r"^\d+ m?s$"))

    # The execution count increments in the database, and last_run is now.
    playbook = operator.fetch(readers)
    assert playbook["executions"] == 1
    assert started_at <= datetime.fromisoformat(playbook["lastExecutedAt"].replace("Z", "+00:00")) <= clock.now()
    assert operator.fetch(ids["Phones only"])["executions"] == 0
    card = operator.open("/automations").locator("article", has_text="Readers of the newsletter")
    expect(card).to_contain_text("Last run: Today")


def test_the_execution_count_increments_by_one_for_every_time_a_playbook_runs(
    operator: Operator, site: Site, visitor: Page
) -> None:
    playbook = operator.create("Counted", PLAYBOOKS["Desktop banner"])
    for count in (1, 2):
        visitor.goto(site.address + "/pricing")
        expect(visitor.locator("beckon-banner").first).to_contain_text("Use LUMO20")
        eventually(lambda count=count: operator.fetch(playbook)["executions"] == count, timeout=45)


def test_a_playbook_that_is_turned_off_reaches_no_page(operator: Operator, site: Site, visitor: Page) -> None:
    playbook = operator.create("Turned off", PLAYBOOKS["Readers of the newsletter"])
    operator.app.call("PATCH", f"{operator.workspace}/{playbook}", {"enabled": False})
    with visitor.expect_response(re.compile("/api/playbooks")) as response:
        visitor.goto(site.address + "/pricing?utm_source=newsletter")
    assert playbook not in [served["id"] for served in response.value.json()["playbooks"]]
