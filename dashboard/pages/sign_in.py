"""Signing in and out.

A wrong password and an unknown e-mail get the same answer after the same time; tries are limited by address and by
account. A new session is a new cookie, so that nobody can have planted it before.
"""

from __future__ import annotations

import secrets
from typing import Any

import flask

from dashboard import csrf
from dashboard.access import COOKIE, settings, signed_in
from dashboard.cooperation import compute
from ephemeral.rate_limits import Limit, wait_seconds
from models import audit, session, user
from models.audit import Actor
from models.user import Membership

sign_in_pages = flask.Blueprint("sign-in", __name__)

#: The cookie that a sign-in form belongs to, before there is a session.
VISITOR = "beckon_visitor"
#: Longer ones are refused before they are hashed.
LONGEST_PASSWORD = 1000
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
    csrf.check(settings().secret_key, flask.request.cookies.get(VISITOR, ""), settings().url)
    email, password = flask.request.form.get("email", "").strip(), flask.request.form.get("password", "")
    wait = _wait(email)
    if wait:
        closed = _form(email, wait=wait)
        closed.headers["Retry-After"] = str(wait)
        return closed, 429
    member = _member(email, password)
    if member is None:
        return _form(email, wrong=True), 401
    answer = flask.redirect(_next(), 303)
    admit(answer, member)
    return answer


def admit(answer: Any, member: Membership) -> None:
    """Sign the browser in to the member's workspace, in place of whoever was signed in before."""
    former = signed_in()
    if former is not None:
        session.end(former, flask.request.cookies[COOKIE])
    token = session.start(member)
    actor = Actor("user", member.user_id, member.name or member.email)
    audit.record(member.workspace_id, actor, "user.signed_in", "user", member.user_id)
    answer.set_cookie(COOKIE, token, max_age=int(session.LIFETIME.total_seconds()), **cookie_flags())
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
        tries=settings().sign_in_rate,
        next=flask.request.values.get("next", ""),
        csrf_token=csrf.token_for(settings().secret_key, visitor),
    )
    answer = flask.make_response(page)
    answer.set_cookie(VISITOR, visitor, max_age=3600, **cookie_flags())
    return answer


def _member(email: str, password: str) -> Membership | None:
    if not email.isprintable() or len(email) > 320 or len(password) > LONGEST_PASSWORD:
        return None
    member, password_hash = user.find_sign_in(email)
    return member if compute(user.password_matches, password_hash, password) else None


def _wait(email: str) -> int:
    """Seconds until this address, and whoever tries this account, may try again."""
    rate = settings().sign_in_rate
    by_address = Limit("sign-in-address", rate / 60, rate)
    by_account = Limit("sign-in-account", rate / 60, rate)
    return wait_seconds(by_address, flask.request.remote_addr or "unknown") or wait_seconds(
        by_account, email.lower()[:320]
    )


def _next() -> str:
    """Where to go: a path of ours, never another site."""
    wanted = flask.request.values.get("next", "")
    ours = wanted.startswith("/") and wanted[1:2] not in ("/", "\\") and wanted.isprintable()
    return wanted if ours else HOME


def cookie_flags() -> dict[str, Any]:
    """What keeps a cookie from scripts, other sites and plain HTTP."""
    secure = flask.request.is_secure or settings().url.startswith("https://")
    return {"httponly": True, "samesite": "Lax", "secure": secure}
