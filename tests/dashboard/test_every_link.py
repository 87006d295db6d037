"""Every page that a person can come to by links, and every form on them, as owner, operator and viewer: nothing is
dead, nothing breaks, and nothing is offered that the role may not do."""

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
from models import api_key, database, demo
from models.audit import SYSTEM
from models.database import acting_as, value
from models.suppression import add as suppress
from tests.dashboard import stories
from tests.dashboard.cast import PASSWORD, Producer
from tests.dashboard.test_pages import join, token

_LINK = re.compile(r'\b(?:href|src|hx-get)="([^"#][^"]*)"')
_FORM = re.compile(r'<form\b[^>]*method="post"[^>]*>.*?</form>', re.DOTALL)
_HX_POST = re.compile(r'hx-post="([^"]+)"')
_FIELD = re.compile(r'<input\b[^>]*type="hidden"[^>]*name="(\w+)"[^>]*value="([^"]*)"')
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
_NOT_NOW = re.compile(r"<(?:button|fieldset)\b[^>]*\bdisabled")
#: Of addresses that differ in an id alone so many are looked at, and of a list's filters.
IDS, FILTERS = 2, 6


@dataclass
class Walk:
    """What one person found."""

    browser: FlaskClient
    seen: Counter[str] = field(default_factory=Counter)
    asked: set[str] = field(default_factory=set)
    forms: dict[str, dict[str, str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def all_from(self, path: str) -> None:
        """Follow every link, breadth first."""
        to_see = [path]
        while to_see:
            page = self.look(to_see.pop(0))
            to_see += [urljoin(path, html.unescape(one)) for one in _LINK.findall(page)]

    def look(self, address: str) -> str:
        """The page at an address of ours that was not seen; empty for every other."""
        parts = urlsplit(address)
        kind = _ID.sub("<id>", parts.path) + ("?" if parts.query else "")
        most = FILTERS if parts.query else IDS
        if parts.scheme or parts.netloc or address in self.asked or self.seen[kind] >= most:
            return ""
        self.asked.add(address)
        self.seen[kind] += 1
        with self.browser.get(address) as answer:
            page = answer.text if answer.mimetype == "text/html" else ""
        if answer.status_code >= 400:
            self.wrong.append(f"{answer.status_code} GET {address}")
        page = _FORM.sub(lambda form: "" if _NOT_NOW.search(form[0]) else form[0], page)
        for form in _FORM.findall(page):
            given = {name: html.unescape(text) for name, text in _FIELD.findall(form)}
            for action in re.findall(r'\b(?:form)?action="([^"]+)"', form):
                self.forms[html.unescape(action)] = given
        self.forms |= {html.unescape(path): {} for path in _HX_POST.findall(page)}
        return page

    def send_forms(self, *, last: bool) -> None:
        """As they stood on the page, whatever comes of them: but not refused for the role, and no fault of ours. The
        last are those after which nothing else can be sent; what another has deleted is not there any more."""
        anew = token(self.browser.get("/automations").text)
        for action, given in sorted(self.forms.items()):
            if action.endswith(("/delete", "/sign-out")) is not last:
                continue
            answer = self.browser.post(action, data={**given, "csrf_token": anew})
            if (
                answer.status_code in (403, 405)
                or answer.status_code >= 500
                or (answer.status_code == 404 and not last)
            ):
                self.wrong.append(f"{answer.status_code} POST {action}")


def workspace_with_everything(client: FlaskClient) -> Producer:
    """The demo's workspace, with an execution in every state that has a page of its own."""
    told = settings.load()
    database.db.close_all()
    database.open_pool(told.database_service_url, "beckon_service", 8)
    workspace_id = demo.make()
    key = api_key.issue(workspace_id, "walk").secret
    database.db.close_all()
    database.open_pool(told.database_app_url, "beckon_app", 8)
    alice = Producer(client, workspace_id, key)
    automation = alice.get(alice.automations).json["automations"][0]
    ada = stories.contact(alice, "Ada", email="ada.byron@example.net", tags=["a b&c"], timezone="Europe/Rome")
    soon = clock.now() + timedelta(hours=1)
    stories.execution(alice, automation, status="pending", stage="queued", contact_id=ada)
    stories.execution(alice, automation, status="waiting", stage="sent", waiting_for="time", due_at=soon, test=True)
    stories.failed(alice, automation, contact_id=ada)
    stories.unknown(alice, automation)
    stories.sent(alice, automation, clock.now(), contact_id=ada)
    skipped = {"status": "skipped", "stage": "skipped", "contact_id": ada}
    stories.execution(alice, automation, **skipped, skipped_rule="suppressed")
    stories.execution(alice, automation, **skipped, skipped_rule="daily_limit")
    review = stories.execution(alice, automation, status="waiting", stage="ready_to_send", waiting_for="review")
    stories.message(alice, automation, review, status="review")
    suppress(workspace_id, ada, "email", SYSTEM)
    return alice


def signed_in_as(app: flask.Flask, alice: Producer, role: str) -> FlaskClient:
    browser = app.test_client()
    join(alice.workspace_id, role, f"{role}@example.com")
    fields = {"email": f"{role}@example.com", "password": PASSWORD, "csrf_token": token(browser.get("/sign-in").text)}
    assert browser.post("/sign-in", data=fields).status_code == 303
    return browser


def test_no_link_is_dead_and_no_action_is_offered_that_the_role_may_not_do(
    app: flask.Flask, cast: Any, client: FlaskClient
) -> None:
    alice = workspace_with_everything(client)
    walks = {role: Walk(signed_in_as(app, alice, role)) for role in ("viewer", "operator", "owner")}
    for walk in walks.values():
        walk.all_from("/automations")
    for last in (False, True):
        for walk in walks.values():
            walk.send_forms(last=last)
    assert {role: walk.wrong for role, walk in walks.items()} == {"viewer": [], "operator": [], "owner": []}
    places = {role: {_ID.sub("<id>", urlsplit(one).path) for one in walk.asked} for role, walk in walks.items()}
    assert {"/contacts/<id>", "/executions/<id>", "/automations/<id>", "/settings"} <= places["viewer"]
    assert {"/automations/<id>/edit", "/contacts/<id>/delete", "/executions/<id>/cancel"} <= places["operator"]
    assert not [one for one in places["viewer"] if one.endswith(("/edit", "/delete", "/new", "/cancel"))]
    with acting_as(alice.workspace_id):
        assert value("select count(*) from audit where actor_name = 'viewer@example.com'") == 0
