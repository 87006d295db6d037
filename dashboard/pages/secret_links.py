"""Shared parts of the pages behind a secret link.

The URL is a secret: the browser does not send it as a referrer, and all invalid links get the same page. The forms work
with and without a session.
"""

from __future__ import annotations

import secrets
from typing import Any

import flask

from dashboard import csrf
from dashboard.access import COOKIE, current_settings, find_session
from dashboard.cookies import VISITOR, set_cookie


def register(pages: flask.Blueprint) -> None:
    """Set `Referrer-Policy: no-referrer` on these pages."""

    @pages.after_request
    def set_referrer_policy(response: flask.Response) -> flask.Response:
        response.headers["Referrer-Policy"] = "no-referrer"
        return response


def render_dead_link() -> tuple[str, int]:
    """The response to a link that was used, revoked or replaced, has expired, or never existed."""
    return flask.render_template("dead_link.html"), 404


def check_form() -> None:
    """Raise `ProblemError` 403 unless the form has a valid CSRF token."""
    csrf.check(current_settings().secret_key, _read_form_cookie(), current_settings().url, from_secret_page=True)


def render(template: str, status: int = 200, *, wait_seconds: int = 0, **context: Any) -> Any:
    """A page with a form; without a session it also sets the cookie that the CSRF token is derived from.

    `wait_seconds` is the time until the next allowed attempt, as `Retry-After`.
    """
    cookie = _read_form_cookie() or secrets.token_urlsafe(32)
    token = csrf.derive_token(current_settings().secret_key, cookie)
    response = flask.make_response(flask.render_template(template, csrf_token=token, **context), status)
    if find_session() is None:
        set_cookie(response, VISITOR, cookie, 3600)
    if wait_seconds:
        response.headers["Retry-After"] = str(wait_seconds)
    return response


def _read_form_cookie() -> str:
    name = VISITOR if find_session() is None else COOKIE
    return flask.request.cookies.get(name, "")
