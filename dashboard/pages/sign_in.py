"""Signing in and out.

A wrong password and an unknown e-mail get the same answer after the same time; attempts are limited
(`sign_in_attempts`). Each session gets a new cookie, which prevents session fixation.
"""

from __future__ import annotations

import secrets
from typing import Any

import flask

from dashboard import csrf, devices, sign_in_attempts
from dashboard.access import COOKIE, current_settings, find_session
from dashboard.cookies import VISITOR, set_cookie
from dashboard.own_paths import ensure_own_path
from dashboard.proxies import read_client_address
from models import audit, session, user
from models.audit import AuditActor
from models.user import Membership, UserAccount

sign_in_pages = flask.Blueprint("sign-in", __name__)

HOME = "/overview"


@sign_in_pages.get("/sign-in")
def show() -> Any:
    """The form."""
    if find_session() is not None:
        return flask.redirect(_read_next_path())
    return _render_form()


@sign_in_pages.post("/sign-in")
def sign_in() -> Any:
    """Start a session and redirect to `next`."""
    visitor = flask.request.cookies.get(VISITOR, "")
    csrf.check(current_settings().secret_key, visitor, current_settings().url)
    email, password = flask.request.form.get("email", ""), flask.request.form.get("password", "")
    attempt = sign_in_attempts.begin(email)
    if attempt.wait_seconds:
        page = _render_form(email, wait=attempt.wait_seconds)
        page.headers["Retry-After"] = str(attempt.wait_seconds)
        return page, 429
    account = sign_in_attempts.finish(attempt, password)
    member = user.find_first_membership(account) if account else None
    if account is None or member is None:
        return _render_form(email, wrong=True), 401
    response = flask.redirect(_read_next_path(), 303)
    start_session(response, member, account)
    return response


def start_session(response: Any, member: Membership, account: UserAccount | None = None) -> None:
    """Sign the browser in to the member's workspace, replacing its previous session.

    `account` is the account whose password the person has just proved or set; without it the current session is the
    proof. Raises `Conflict` where that proof is no longer valid.
    """
    password_hash = account.password_hash if account else None
    token = session.start(member, password_hash=password_hash, previous_token=flask.request.cookies.get(COOKIE))
    if account is not None:
        devices.remember(response, account)
    actor = AuditActor("user", member.user_id, member.name or member.email)
    address = {"address": read_client_address()}
    audit.record(member.workspace_id, actor, "user.signed_in", "user", member.user_id, address)
    set_cookie(response, COOKIE, token, int(session.LIFETIME.total_seconds()))
    response.delete_cookie(VISITOR)


@sign_in_pages.post("/sign-out")
def sign_out() -> Any:
    """End the session."""
    current = find_session()
    if current is not None:
        token = flask.request.cookies[COOKIE]
        csrf.check(current_settings().secret_key, token, current_settings().url)
        session.end(current, token)
    response = flask.redirect("/sign-in", 303)
    response.delete_cookie(COOKIE)
    return response


def _render_form(email: str = "", wrong: bool = False, wait: int = 0) -> flask.Response:
    visitor = flask.request.cookies.get(VISITOR) or secrets.token_urlsafe(32)
    page = flask.render_template(
        "sign_in.html",
        email=email,
        wrong=wrong,
        wait=wait,
        next=flask.request.values.get("next", ""),
        csrf_token=csrf.derive_token(current_settings().secret_key, visitor),
    )
    response = flask.make_response(page)
    set_cookie(response, VISITOR, visitor, 3600)
    return response


def _read_next_path() -> str:
    """The path to redirect to after the sign-in."""
    return ensure_own_path(flask.request.values.get("next", ""), HOME)
