"""The account page of the signed-in person: name, password and workspaces."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import flask

from dashboard import devices, sign_in_attempts
from dashboard.access import COOKIE, Caller
from dashboard.errors import invalid_request, not_found
from dashboard.gevent_support import compute
from dashboard.pages import display_zone, forms, layout
from dashboard.pages.sign_in import HOME, start_session
from models import membership, user
from models.session import Session
from models.user import Membership
from rules.problems import Problem

account_pages = flask.Blueprint("account-pages", __name__)


@account_pages.get("/account")
def show() -> Any:
    """The page."""
    call, _ = _require_session()
    return _render_page(call)


@account_pages.post("/account/name")
def rename() -> Any:
    """Change the name."""
    call, _ = _require_session()
    wait = sign_in_attempts.take_address_attempt()
    if wait:
        return _render_limited(call, wait, "name_fault")
    name = forms.read_person_name()
    fault = forms.find_name_error(name)
    if fault:
        return _render_page(call, 422, name_fault=fault)
    user.rename(flask.request.cookies[COOKIE], call.actor, name)
    return layout.redirect("/account", "Name changed.")


@account_pages.post("/account/password")
def change_password() -> Any:
    """Change the password and end all other sessions."""
    call, person = _require_session()
    attempt = sign_in_attempts.begin(person.email)
    if attempt.wait_seconds:
        return _render_limited(call, attempt.wait_seconds, "password_fault")
    account = sign_in_attempts.finish(attempt, forms.read_field("old"))
    if account is None:
        return _render_page(call, 401, password_fault="The current password is wrong.")
    fault = forms.find_new_password_error(forms.read_field("new"), account.email, account.name)
    if fault:
        return _render_page(call, 422, password_fault=fault)
    new_hash = compute(user.hash_password, forms.read_field("new"))
    if not user.change_password(flask.request.cookies[COOKIE], call.actor, account.password_hash, new_hash):
        return _render_page(
            call, 409, password_fault="The password was changed elsewhere in the meantime. Nothing was changed now."
        )
    response = layout.redirect("/account", "Password changed. Your other sessions have ended.")
    devices.remember(response, replace(account, password_hash=new_hash))
    return response


@account_pages.post("/account/workspace")
def switch_workspace() -> Any:
    """Switch to another of the person's workspaces."""
    _, person = _require_session()
    workspace_id = forms.read_field("workspace")
    memberships = [
        row
        for row in membership.list_workspaces_for_session(flask.request.cookies[COOKIE])
        if row["id"] == workspace_id
    ]
    if not memberships:
        raise not_found("You are not a member of that workspace.")
    response = flask.redirect(HOME, 303)
    start_session(response, Membership(person.user_id, person.email, person.name, workspace_id, memberships[0]["role"]))
    return response


@account_pages.post("/account/zone")
def choose_zone() -> Any:
    """Choose the zone in which pages show times in this browser."""
    _require_session()
    response = layout.redirect("/account#times", "Time zone saved.")
    if not display_zone.remember_choice(response, forms.read_field("zone")):
        raise invalid_request([Problem("zone", "must be browser, workspace or utc")])
    return response


def _require_session() -> tuple[Caller, Session]:
    """The caller and their session."""
    call = layout.require_page_permission()
    assert call.session is not None, "a page's caller has a session"
    return call, call.session


def _render_limited(call: Caller, wait: int, field: str) -> Any:
    page = _render_page(call, 429, **{field: forms.format_too_many_attempts(wait)})
    page.headers["Retry-After"] = str(wait)
    return page


def _render_page(call: Caller, status: int = 200, **context: Any) -> flask.Response:
    page = layout.render(
        "account.html",
        call,
        zone_choice=display_zone.read_choice(),
        browser_zone=display_zone.read_browser_zone(),
        **context,
    )
    page.status_code = status
    return page
