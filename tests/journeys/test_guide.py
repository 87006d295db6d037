"""The sections "How to use" and "Troubleshooting" of the source document, followed step by step in a browser on a
running copy, with the names that the document gives to pages, tabs and buttons."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

import settings
from tests.browser.conftest import DESKTOP, chromium
from tests.support.running_app import RunningApp
from tests.support.waiting import eventually
from workers.supervision import Remote

__all__ = ["chromium"]

pytestmark = [pytest.mark.servers, pytest.mark.timeout(400)]

#: Milliseconds that a page has on a busy machine.
PATIENCE_MS = 45_000
MAILGUN_SETTINGS = ("MAILGUN_API_KEY", "MAILGUN_DOMAIN")
TELNYX_SETTINGS = ("TELNYX_API_KEY", "TELNYX_MESSAGING_PROFILE_ID")


class Guide:
    """A running copy, and a browser of its first owner."""

    def __init__(self, app: RunningApp, page: Page) -> None:
        self.app, self.page = app, page
        self.access = app.access()
        self.remote = Remote(settings.locate_run_directory(app.home))

    def call(self, method: str, path: str, body: Any = None, base: str = "url") -> Any:
        """Call the API, or the sandbox, as a producer does."""
        return self.app.call(method, path, body, str(self.access[base]))

    def sign_in(self) -> None:
        """Sign in and go to the automations."""
        self.page.goto(f"{self.access['url']}/sign-in?next=/automations")
        self.page.fill("input[name=email]", str(self.access["email"]))
        self.page.fill("input[name=password]", str(self.access["password"]))
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url("**/automations")

    def open_tab(self, name: str) -> None:
        """Navigate to the automations and click one of the tabs beside the list."""
        self.page.goto(f"{self.access['url']}/automations")
        self.page.get_by_role("navigation", name="Automations").get_by_role("link", name=name, exact=True).click()
        expect(self.page.get_by_role("heading", level=1)).to_have_text(name)

    def expect_part(self, name: str, state: str) -> None:
        """Wait until a part of Health has this state."""
        expect(self.page.locator(f"#part-{name}")).to_have_class(re.compile(rf"\b{state}\b"), timeout=PATIENCE_MS)

    def trigger(self, email: str) -> str:
        """Start an execution that sends one e-mail; return its id."""
        contact = {"externalId": email, "firstName": "Grace", "lastName": "Hopper", "email": email}
        response = self.call("POST", "/api/triggers", {"type": "guide.test", "contact": contact})
        return str(response["executions"][0]["executionId"])

    def fetch_status(self, execution_id: str) -> str:
        """The status of an execution."""
        return str(self.call("GET", f"/api/executions/{execution_id}")["execution"]["status"])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    """A running copy whose real providers are the sandbox as well: the keys of this test reach nobody."""
    app = RunningApp(tmp_path_factory.mktemp("guide") / "home")
    sandbox_port = settings.compute_sandbox_port(app.port)
    app.environ.update(
        BECKON_SANDBOX_PORT=str(sandbox_port),
        MAILGUN_BASE_URL=f"http://127.0.0.1:{sandbox_port}",
        TELNYX_BASE_URL=f"http://127.0.0.1:{sandbox_port}/v2",
    )
    started = app.run("up", "--detach")
    assert started.returncode == 0, started.stderr
    yield app
    app.run("down")


@pytest.fixture
def guide(running: RunningApp, chromium: Browser) -> Iterator[Guide]:
    """The first owner, signed in, with an automation that sends an e-mail and does not retry by itself."""
    context = chromium.new_context(viewport=DESKTOP, reduced_motion="reduce")
    follower = Guide(running, context.new_page())
    send = {"id": "hello", "action": "send_email", "retry": {"max": 0}, "with": {"subject": "Hello", "body": "Hello."}}
    definition = {"trigger": {"type": "guide.test"}, "steps": [send]}
    body = {"name": "Guide", "type": "workflow", "enabled": True, "definition": definition}
    created = follower.call("POST", f"/api/workspaces/{follower.access['workspaceId']}/automations", body)
    follower.sign_in()
    yield follower
    context.close()
    automation_id = created["automation"]["id"]
    follower.call("DELETE", f"/api/workspaces/{follower.access['workspaceId']}/automations/{automation_id}")


@pytest.mark.slow
def test_how_to_use(guide: Guide) -> None:
    page = guide.page

    # 2. Check system health: processor, pending automations, services, configuration.
    guide.open_tab("Health")
    expect(page.locator(".part-group", has_text="Processor").get_by_text("Running")).to_be_visible()
    for name in ("pending", "executor", "email", "sms", "postgres", "redis"):
        guide.expect_part(name, "ready")
    configuration = page.get_by_role("region", name="Configuration")
    for variable in (*MAILGUN_SETTINGS, *TELNYX_SETTINGS):
        expect(configuration.get_by_text(variable, exact=True)).to_be_visible()

    # 3. Run a test: create, execute, verify, clean up.
    runner = page.get_by_role("region", name="Automation Test Runner")
    runner.get_by_role("button", name="Run test").click()
    runner = page.get_by_role("region", name="Automation Test Runner")
    expect(runner.get_by_text("Passed", exact=True)).to_be_visible(timeout=120_000)
    expect(runner.get_by_text("Its data is not removed yet.")).to_have_count(0)

    # 4. Configure communication services: the four secrets, and no warning of them is left.
    for provider, variables in (("mailgun", MAILGUN_SETTINGS), ("telnyx", TELNYX_SETTINGS)):
        guide.open_tab("Health")
        page.get_by_role("link", name="Configure Secrets").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Settings")
        for variable in variables:
            page.locator(f"[id='{provider}-{variable}']").fill("00000000-0000-4000-8000-000000000001"
                if variable == "TELNYX_MESSAGING_PROFILE_ID" else "guide.example.com")  # fmt: skip
        page.locator(f"#{provider}").get_by_role("button", name="Save").click()
    guide.open_tab("Health")
    for variable in (*MAILGUN_SETTINGS, *TELNYX_SETTINGS):
        expect(configuration.get_by_text(variable, exact=True)).to_have_count(0, timeout=PATIENCE_MS)

    # 5. Monitor executions: the tab Monitor follows them, the tab Analytics has the metrics.
    guide.open_tab("Monitor")
    guide.trigger("monitor@example.com")
    expect(page.get_by_role("region", name="Executions").get_by_text("Grace Hopper").first).to_be_visible(
        timeout=PATIENCE_MS
    )
    guide.open_tab("Analytics")
    expect(page.get_by_text("Success rate").first).to_be_visible()


@pytest.mark.slow
def test_troubleshooting_of_automations_that_are_not_processed(guide: Guide) -> None:
    page = guide.page
    guide.remote._call("stopProcess", "beckon:engine-0", True)
    execution_id = guide.trigger("late@example.com")

    # 1. Check the Health tab: is the processor "Running"?
    guide.open_tab("Health")
    guide.expect_part("queue-sending", "failing")
    expect(page.locator(".part-group", has_text="Processor").get_by_text("Degraded")).to_be_visible()
    expect(page.locator("[id='problem-no_worker-sending']")).to_contain_text("beckon up")

    # 2. Look for the pending count, and click "Process X Pending Automations".
    button = page.get_by_role("button", name=re.compile("Process 1 Pending Automation"))
    button.click(timeout=PATIENCE_MS)
    expect(page.get_by_text("1 execution enqueued.")).to_be_visible()

    # 3. Check the services, do what the page says, and it goes on.
    guide.expect_part("executor", "degraded")
    guide.remote.start("beckon:engine-0")
    guide.expect_part("queue-sending", "ready")
    expect(page.locator(".part-group", has_text="Processor").get_by_text("Running")).to_be_visible()
    eventually(lambda: guide.fetch_status(execution_id) == "succeeded", timeout=45)


@pytest.mark.slow
def test_troubleshooting_of_failed_automations(guide: Guide) -> None:
    page = guide.page
    # A rate limit that says when to call again would only wait.
    fault = {"provider": "mailgun", "fault": "http_429", "times": 50, "seconds": 0}
    guide.call("POST", "/_sandbox/faults", fault, "sandboxUrl")
    execution_id = guide.trigger("failed@example.com")
    eventually(lambda: guide.fetch_status(execution_id) == "failed", timeout=45)

    # 1. Check the execution in the Monitor tab. 2. Look for the attempts in its details.
    guide.open_tab("Monitor")
    page.locator(f"#e-{execution_id} a").first.click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_text("Rate limit").first).to_be_visible()

    # 3. A manual retry is available.
    guide.call("DELETE", "/_sandbox", base="sandboxUrl")
    page.get_by_role("button", name="Retry execution").click()
    eventually(lambda: guide.fetch_status(execution_id) == "succeeded", timeout=45)
