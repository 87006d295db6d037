"""Visits to a customer's site in a real browser: what the script printed, and that it threw nothing into the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.customer_site import Site, serve_site
from tests.support.waiting import eventually

DEBUG = "window.workflowSystem = {config: {debug: true}};"
#: What Firefox and Safari also have, and Chromium only since Global Privacy Control.
DO_NOT_TRACK = "Object.defineProperty(Navigator.prototype, 'doNotTrack', {get: () => '1'});"
GLOBAL_PRIVACY_CONTROL = "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {get: () => true});"
PHONE_OPTIONS = {
    "viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True,
    "user_agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
}  # fmt: skip


@dataclass
class ScriptVisit:
    """One browser context on the site. `lines` are console lines, `errors` what reached the page."""

    page: Page
    site: Site
    lines: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def listen(self) -> None:
        """Record console lines and uncaught errors."""
        self.page.on("console", lambda message: self.lines.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def go(self, path: str = "/") -> Page:
        """Open a page of the site."""
        self.page.goto(self.site.address + path)
        return self.page

    def expect_hero(self, text: str) -> None:
        """Wait until the headline reads so."""
        expect(self.page.locator(".hero")).to_have_text(text)

    def await_executions(self, count: int = 1) -> list[dict[str, Any]]:
        """The accepted reports, once there are so many different executions; Playwright's events go on meanwhile."""

        def read() -> list[dict[str, Any]]:
            self.page.evaluate("0")
            return self.site.stand_in.list_accepted() if self.site.stand_in.count_executions() >= count else []

        return eventually(read, timeout=20)

    def await_line(self, text: str) -> str:
        """The first console line that contains a text."""

        def find() -> str | None:
            self.page.evaluate("0")
            return next((line for line in self.lines if text in line), None)

        return str(eventually(find, timeout=20))

    def list_workflow_lines(self) -> list[str]:
        """The console lines of the source document, in order."""
        return [line for line in self.lines if line.startswith(("🎯", "📊", "✅"))]

    def read_storage(self) -> dict[str, str]:
        """What the script has stored."""
        return dict(self.page.evaluate("({...localStorage, ...sessionStorage})"))


OpenVisit = Callable[..., ScriptVisit]


@pytest.fixture
def site() -> Iterator[Site]:
    """A customer's site with the script, and the stand-in for Beckon."""
    with serve_site() as served:
        yield served


@pytest.fixture
def open_visit(chromium: Browser, site: Site) -> Iterator[OpenVisit]:
    """`open_visit(path, prepare=…, **options of the context)`; fails if anything was thrown into a page."""
    visits: list[ScriptVisit] = []

    def open_page(path: str | None = "/", prepare: str = "", **options: Any) -> ScriptVisit:
        context = chromium.new_context(**options)
        if prepare:
            context.add_init_script(prepare)
        visit = ScriptVisit(context.new_page(), site)
        visit.listen()
        visits.append(visit)
        if path is not None:
            visit.go(path)
        return visit

    yield open_page
    for visit in visits:
        visit.page.context.close()
    assert [error for visit in visits for error in visit.errors] == []
