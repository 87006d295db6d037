"""An automation made in the editor of a running copy by keyboard alone, and watched while it runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import DESKTOP, chromium
from tests.browser.test_workflow_editor import tab_to
from tests.support.running_app import RunningApp

__all__ = ["chromium"]

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(240)]

#: Milliseconds that a page has on a busy machine.
PATIENCE_MS = 45_000


@pytest.fixture
def page(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Page]:
    """The list of templates of a running copy, opened by its first owner."""
    app = RunningApp(tmp_path_factory.mktemp("editor") / "home")
    started = app.run("up", "--detach")
    assert started.returncode == 0, started.stderr
    context = chromium.new_context(viewport=DESKTOP, reduced_motion="reduce")  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    page, access = context.new_page(), app.access()
    page.goto(f"{access['url']}/automations/new")
    page.fill("input[name=email]", str(access["email"]))
    page.fill("input[name=password]", str(access["password"]))
    page.keyboard.press("Enter")
    page.wait_for_url("**/automations/new")
    yield page
    context.close()
    app.run("down")


def test_comment_to_dm_is_made_by_keyboard_alone_and_seen_to_run(page: Page) -> None:
    tab_to(page, page.get_by_role("link", name="Comment to DM").first)
    page.keyboard.press("Enter")
    tab_to(page, page.locator("input[name=name]"))
    page.keyboard.press("Control+a")
    page.keyboard.type("Price comments")
    expect(page.locator("#saved")).to_contain_text("Draft saved")
    tab_to(page, page.get_by_role("button", name="Publish"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Price comments")

    tab_to(page, page.locator("summary").filter(has_text="Test Trigger").first)
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_role("button", name="Start test").first)
    page.keyboard.press("Enter")
    page.wait_for_url("**/monitor")
    contact = page.get_by_role("listitem").filter(has_text="Ada Byron").first
    expect(contact).to_contain_text("times out")
