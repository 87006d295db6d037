"""A person's own account: name, password, and the workspaces that they may look into."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import flask

from dashboard import devices, sign_in_attempts
from dashboard.access import COOKIE, Caller
from dashboard.cooperation import compute
from dashboard.errors import not_there
from dashboard.pages import forms, frame
from dashboard.pages.sign_in import HOME, admit
from models import membership, user
from models.session import Session
from models.user import Membership

account_pages = flask.Blueprint("account-pages", __name__)


@account_pages.get("/account")
def show() -> Any:
    """The page."""
    call, _ = _signed_in()
    return _page(call)


@account_pages.post("/account/name")
def rename() -> Any:
    """Change the own name."""
    call, _ = _signed_in()
    wait = sign_in_attempts.wait_by_address()
    if wait:
        return _limited(call, wait, "name_fault")
    name = forms.person_name()
    fault = forms.name_fault(name)
    if fault:
        return _page(call, 422, name_fault=fault)
    user.rename(flask.request.cookies[COOKIE], call.actor, name)
    return frame.go("/account", "Your name is changed.")


@account_pages.post("/account/password")
def change_password() -> Any:
    """Change the own password, and end every other session."""
    call, person = _signed_in()
    attempt = sign_in_attempts.begin(person.email)
    if attempt.wait_seconds:
        return _limited(call, attempt.wait_seconds, "password_fault")
    account = sign_in_attempts.finish(attempt, forms.text("old"))
    if account is None:
        return _page(call, 401, password_fault="The current password is wrong.")
    fault = forms.new_password_fault(forms.text("new"), account.email, account.name)
    if fault:
        return _page(call, 422, password_fault=fault)
    new_hash = compute(user.hash_password, forms.text("new"))
    if not user.change_password(flask.request.cookies[COOKIE], call.actor, account.password_hash, new_hash):
        return _page(call, 409, password_fault="The password was changed meanwhile. Nothing was changed now.")
    answer = frame.go("/account", "Your password is changed. Every other session of yours has ended.")
    devices.remember(answer, replace(account, password_hash=new_hash))
    return answer


@account_pages.post("/account/workspace")
def switch_workspace() -> Any:
    """Sign in to another workspace of one's own."""
    _, person = _signed_in()
    workspace_id = forms.text("workspace")
    own = [row for row in membership.of_session(flask.request.cookies[COOKIE]) if row["id"] == workspace_id]
    if not own:
        raise not_there("You are not a member of that workspace.")
    answer = flask.redirect(HOME, 303)
    admit(answer, Membership(person.user_id, person.email, person.name, workspace_id, own[0]["role"]))
    return answer


def _signed_in() -> tuple[Caller, Session]:
    """The person at the browser."""
    call = frame.visitor()
    assert call.session is not None, "a page's visitor is signed in"
    return call, call.session


def _limited(call: Caller, wait: int, field: str) -> Any:
    page = _page(call, 429, **{field: forms.too_many(wait)})
    page.headers["Retry-After"] = str(wait)
    return page


def _page(call: Caller, status: int = 200, **facts: Any) -> flask.Response:
    page = frame.render("account.html", call, **facts)
    page.status_code = status
    return page
