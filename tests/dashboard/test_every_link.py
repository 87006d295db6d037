"""Crawls every linked page and form as owner, operator and viewer: every link works, and every offered action is
allowed."""

from __future__ import annotations

import html
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urljoin, urlsplit

import flask
from flask.testing import FlaskClient

import clock
import settings
from models import api_key, database
from models.audit import SYSTEM
from models.database import acting_as
from models.demo import workspace as demo_workspace
from models.queries import fetch_value
from models.suppression import add as suppress
from tests.dashboard import example_executions
from tests.dashboard.producers import PASSWORD, Producer
from tests.dashboard.test_pages import join, read_token

_LINK = re.compile(r'\b(?:href|src|hx-get)="([^"#][^"]*)"')
_FORM = re.compile(r'<form\b[^>]*method="post"[^>]*>.*?</form>', re.DOTALL)
_HX_POST = re.compile(r'hx-post="([^"]+)"')
_FIELD = re.compile(r'<input\b[^>]*type="hidden"[^>]*name="(\w+)"[^>]*value="([^"]*)"')
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
_DISABLED = re.compile(r"<(?:button|fieldset)\b[^>]*\bdisabled")
#: Visits per URL pattern that differs only in an id, and per filter of a list.
MAX_IDS, MAX_FILTERS = 2, 6


@dataclass
class Crawler:
    """A crawl with one role."""

    browser: FlaskClient
    visits: Counter[str] = field(default_factory=Counter)
    requested: set[str] = field(default_factory=set)
    forms: dict[str, dict[str, str]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def follow_links(self, path: str) -> None:
        """Follow every link, breadth first."""
        queue = [path]
        while queue:
            page = self.fetch_page(queue.pop(0))
            queue += [urljoin(path, html.unescape(link)) for link in _LINK.findall(page)]

    def fetch_page(self, address: str) -> str:
        """The page at a URL of this site not visited before; empty for all others."""
        parts = urlsplit(address)
        kind = _ID.sub("<id>", parts.path) + ("?" if parts.query else "")
        limit = MAX_FILTERS if parts.query else MAX_IDS
        if parts.scheme or parts.netloc or address in self.requested or self.visits[kind] >= limit:
            return ""
        self.requested.add(address)
        self.visits[kind] += 1
        with self.browser.get(address) as response:
            page = response.text if response.mimetype == "text/html" else ""
        if response.status_code >= 400:
            self.errors.append(f"{response.status_code} GET {address}")
        page = _FORM.sub(lambda form: "" if _DISABLED.search(form[0]) else form[0], page)
        for form in _FORM.findall(page):
            fields = {name: html.unescape(text) for name, text in _FIELD.findall(form)}
            for action in re.findall(r'\b(?:form)?action="([^"]+)"', form):
                self.forms[html.unescape(action)] = fields
        self.forms |= {html.unescape(path): {} for path in _HX_POST.findall(page)}
        return page

    def send_forms(self, *, last: bool) -> None:
        """Submit the forms unchanged; 403, 405, server errors and, unless `last`, 404 are failures. `last` selects the
        forms that end the crawl; an earlier form may have deleted their object."""
        csrf_token = read_token(self.browser.get("/automations").text)
        for action, fields in sorted(self.forms.items()):
            if action.endswith(("/delete", "/sign-out")) is not last:
                continue
            response = self.browser.post(action, data={**fields, "csrf_token": csrf_token})
            if (
                response.status_code in (403, 405)
                or response.status_code >= 500
                or (response.status_code == 404 and not last)
            ):
                self.errors.append(f"{response.status_code} POST {action}")


def create_full_workspace(client: FlaskClient) -> Producer:
    """The demo workspace, with an execution in every state."""
    config = settings.load()
    database.db.close_all()
    database.open_pool(config.database_service_url, "beckon_service", 8)
    workspace_id = demo_workspace.create_demo()
    key = api_key.issue(workspace_id, "walk").secret
    database.db.close_all()
    database.open_pool(config.database_app_url, "beckon_app", 8)
    alice = Producer(client, workspace_id, key)
    automation = alice.get(alice.automations).json["automations"][0]
    ada = example_executions.create_contact(
        alice, "Ada", email="ada.byron@example.net", tags=["a b&c"], timezone="Europe/Rome"
    )
    soon = clock.now() + timedelta(hours=1)
    example_executions.create_execution(alice, automation, status="pending", stage="queued", contact_id=ada)
    example_executions.create_execution(
        alice, automation, status="waiting", stage="sent", waiting_for="time", due_at=soon, test=True
    )
    example_executions.create_failed(alice, automation, contact_id=ada)
    example_executions.create_unknown(alice, automation)
    example_executions.create_sent(alice, automation, clock.now(), contact_id=ada)
    skipped = {"status": "skipped", "stage": "skipped", "contact_id": ada}
    example_executions.create_execution(alice, automation, **skipped, skipped_rule="suppressed")
    example_executions.create_execution(alice, automation, **skipped, skipped_rule="daily_limit")
    review = example_executions.create_execution(
        alice, automation, status="waiting", stage="ready_to_send", waiting_for="review"
    )
    example_executions.create_message(alice, automation, review, status="review")
    suppress(workspace_id, ada, "email", SYSTEM)
    return alice


def sign_in_as(app: flask.Flask, alice: Producer, role: str) -> FlaskClient:
    browser = app.test_client()
    join(alice.workspace_id, role, f"{role}@example.com")
    fields = {
        "email": f"{role}@example.com",
        "password": PASSWORD,
        "csrf_token": read_token(browser.get("/sign-in").text),
    }
    assert browser.post("/sign-in", data=fields).status_code == 303
    return browser


def test_every_link_works_and_every_offered_action_is_allowed(
    app: flask.Flask, workspaces: Any, client: FlaskClient
) -> None:
    alice = create_full_workspace(client)
    crawlers = {role: Crawler(sign_in_as(app, alice, role)) for role in ("viewer", "operator", "owner")}
    for crawler in crawlers.values():
        crawler.follow_links("/automations")
    for last in (False, True):
        for crawler in crawlers.values():
            crawler.send_forms(last=last)
    assert {role: crawler.errors for role, crawler in crawlers.items()} == {"viewer": [], "operator": [], "owner": []}
    paths = {
        role: {_ID.sub("<id>", urlsplit(address).path) for address in crawler.requested}
        for role, crawler in crawlers.items()
    }
    assert {"/contacts/<id>", "/executions/<id>", "/automations/<id>", "/settings"} <= paths["viewer"]
    assert {"/automations/<id>/edit", "/contacts/<id>/delete", "/executions/<id>/cancel"} <= paths["operator"]
    assert not [path for path in paths["viewer"] if path.endswith(("/edit", "/delete", "/new", "/cancel"))]
    with acting_as(alice.workspace_id):
        assert fetch_value("select count(*) from audit where actor_name = 'viewer@example.com'") == 0
