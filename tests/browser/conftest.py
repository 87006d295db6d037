"""Fixtures for tests in a real browser: Chromium, PostgreSQL and Redis, with the dashboard served from a thread.

The tests are skipped, with the reason, where no Chromium is installed. TEST_CHROMIUM names one elsewhere.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import flask
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, expect
from werkzeug.serving import make_server

from models import session, user
from tests.dashboard.conftest import alice, app, charlie, client, config, workspaces
from tests.dashboard.producers import PASSWORD, Producer
from tests.dashboard.test_access import add_person
from tests.support import browsers
from tests.support.script_visits import open_visit, site
from tests.support.serving import serve

__all__ = ["alice", "app", "charlie", "client", "config", "open_visit", "site", "workspaces"]

# A page refreshes every five seconds, and the machine may be busy.
expect.set_options(timeout=20_000)

#: The names of the binary in distributions.
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

DESKTOP = {"width": 1440, "height": 940}
PHONE = {"width": 390, "height": 844}

BOB = "bob@example.com"


def _find_chromium() -> str | None:
    configured_path = os.environ.get("TEST_CHROMIUM")
    return configured_path or next((path for name in NAMES if (path := shutil.which(name))), None)


@pytest.fixture(scope="module")
def chromium() -> Browser:
    """The browser; each test has its own context."""
    path = _find_chromium()
    if path is None:
        pytest.skip("no Chromium is installed: apt-get install chromium, or set TEST_CHROMIUM to one")
    return browsers.launch(path)


def _buffer_static_files(app: flask.Flask) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
    """Read and close static files before sending: werkzeug's server leaves them open where the browser disconnects."""

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        response = app(environ, start_response)
        if not environ["PATH_INFO"].startswith("/static/"):
            return response
        with closing(response) as parts:  # type: ignore[type-var]
            return [b"".join(parts)]

    return serve


@pytest.fixture
def address(app: flask.Flask) -> Iterator[str]:
    """The base URL of the dashboard."""
    with serve(make_server("127.0.0.1", 0, _buffer_static_files(app), threaded=True)) as base_url:
        yield base_url


@dataclass
class Visitor:
    """A browser page, with the console messages and failed responses it produced."""

    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)

    def listen(self) -> None:
        """Record console messages, errors, and responses with a status of 400 or more."""
        self.page.on("console", self._record_console_message)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("response", self._record_failed_response)

    def _record_console_message(self, message: ConsoleMessage) -> None:
        self.complaints.append(f"{message.type}: {message.text}")

    def _record_failed_response(self, response: Response) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status}: {response.url}")

    def go(self, path: str) -> Page:
        """Open a page of the dashboard."""
        self.page.goto(self.address + path)
        return self.page

    def go_with_clock(self, path: str) -> Page:
        """Open a page whose timers the test may also run: `page.clock.fast_forward(5_000)` refreshes it at once."""
        self.page.clock.install()
        return self.go(path)

    def start_session(self) -> None:
        """Give the browser Bob's session, as signing in does."""
        member, password_hash = user.find_sign_in(BOB)
        assert member is not None
        token = session.start(member, password_hash=password_hash)
        self.page.context.add_cookies([{"name": session.COOKIE, "value": token, "url": self.address}])

    def sign_in(self) -> None:
        """Sign in as Bob with the form."""
        self.go("/automations")
        self.page.get_by_label("E-mail").fill(BOB)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url("**/automations")

    def has_overflow(self) -> bool:
        """Whether the page is wider than the window."""
        root = self.page.locator("html")
        return bool(root.evaluate("element => element.scrollWidth > element.clientWidth"))


@pytest.fixture
def role() -> str:
    """Bob's role in Alice's workspace."""
    return "operator"


@pytest.fixture
def visit(chromium: Browser, address: str, alice: Producer, role: str) -> Iterator[Any]:
    """`visit(viewport, color_scheme)`: Bob, signed in to Alice's workspace; fails on any recorded complaint."""
    add_person(alice.workspace_id, role)
    contexts, visitors = [], []

    def open_visitor(viewport: dict[str, int] = DESKTOP, color_scheme: Any = "light") -> Visitor:
        context = chromium.new_context(viewport=viewport, color_scheme=color_scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        context.set_default_timeout(45_000)
        visitor = Visitor(context.new_page(), address)
        visitor.listen()
        contexts.append(context)
        visitors.append(visitor)
        visitor.start_session()
        return visitor

    yield open_visitor
    for context in contexts:
        context.close()
    assert [complaint for visitor in visitors for complaint in visitor.complaints] == []
