"""Signing in and out.

A wrong password and an unknown e-mail get the same answer after the same time; attempts are limited
(`sign_in_attempts`). A new session is a new cookie, so that nobody can have planted it before.
"""

from __future__ import annotations

import secrets
from typing import Any

import flask

from dashboard import csrf, devices, sign_in_attempts
from dashboard.access import COOKIE, settings, signed_in
from dashboard.cookies import VISITOR, set_cookie
from dashboard.own_paths import own_path
from dashboard.proxies import client_address
from models import audit, session, user
from models.audit import Actor
from models.user import Account, Membership

sign_in_pages = flask.Blueprint("sign-in", __name__)

HOME = "/automations"


@sign_in_pages.get("/sign-in")
def show() -> Any:
    """The form."""
    if signed_in() is not None:
        return flask.redirect(_next())
    return _form()


@sign_in_pages.post("/sign-in")
def sign_in() -> Any:
    """Open a session and go where the person wanted to."""
    visitor = flask.request.cookies.get(VISITOR, "")
    csrf.check(settings().secret_key, visitor, settings().url)
    email, password = flask.request.form.get("email", ""), flask.request.form.get("password", "")
    attempt = sign_in_attempts.begin(email)
    if attempt.wait_seconds:
        closed = _form(email, wait=attempt.wait_seconds)
        closed.headers["Retry-After"] = str(attempt.wait_seconds)
        return closed, 429
    account = sign_in_attempts.finish(attempt, password)
    member = user.first_membership(account) if account else None
    if account is None or member is None:
        return _form(email, wrong=True), 401
    answer = flask.redirect(_next(), 303)
    admit(answer, member, account)
    return answer


def admit(answer: Any, member: Membership, account: Account | None = None) -> None:
    """Sign the browser in to the member's workspace, in place of whoever was signed in before.

    `account` is the one whose password the person has just proved or set; without it the present session is the proof.
    Raises `Conflict` where that proof does not hold any more.
    """
    password_hash = account.password_hash if account else None
    token = session.start(member, password_hash=password_hash, former=flask.request.cookies.get(COOKIE))
    if account is not None:
        devices.remember(answer, account)
    actor = Actor("user", member.user_id, member.name or member.email)
    address = {"address": client_address()}
    audit.record(member.workspace_id, actor, "user.signed_in", "user", member.user_id, address)
    set_cookie(answer, COOKIE, token, int(session.LIFETIME.total_seconds()))
    answer.delete_cookie(VISITOR)


@sign_in_pages.post("/sign-out")
def sign_out() -> Any:
    """End the session."""
    found = signed_in()
    if found is not None:
        token = flask.request.cookies[COOKIE]
        csrf.check(settings().secret_key, token, settings().url)
        session.end(found, token)
    answer = flask.redirect("/sign-in", 303)
    answer.delete_cookie(COOKIE)
    return answer


def _form(email: str = "", wrong: bool = False, wait: int = 0) -> flask.Response:
    visitor = flask.request.cookies.get(VISITOR) or secrets.token_urlsafe(32)
    page = flask.render_template(
        "sign_in.html",
        email=email,
        wrong=wrong,
        wait=wait,
        next=flask.request.values.get("next", ""),
        csrf_token=csrf.token_for(settings().secret_key, visitor),
    )
    answer = flask.make_response(page)
    set_cookie(answer, VISITOR, visitor, 3600)
    return answer


def _next() -> str:
    """Where the person wanted to go."""
    return own_path(flask.request.values.get("next", ""), HOME)
