"""What the pages behind a secret link share: they are told to nobody, and a dead link is one plain page.

Their address is a secret, so the browser names it to no other page, and every link that does not work is answered with
the same words. Their forms may be sent by a browser that is signed in, or not.
"""

from __future__ import annotations

import secrets
from typing import Any

import flask

from dashboard import csrf
from dashboard.access import COOKIE, current_settings, find_session
from dashboard.cookies import VISITOR, set_cookie


def register(pages: flask.Blueprint) -> None:
    """Keep the addresses of these pages from every other one."""

    @pages.after_request
    def set_referrer_policy(response: flask.Response) -> flask.Response:
        response.headers["Referrer-Policy"] = "no-referrer"
        return response


def render_dead_link() -> tuple[str, int]:
    """The answer to a link that was used, revoked, replaced, is too old or never was."""
    return flask.render_template("dead_link.html"), 404


def check_form() -> None:
    """Raise `Refusal` 403 unless a form of ours was sent."""
    csrf.check(current_settings().secret_key, _read_form_cookie(), current_settings().url, from_secret_page=True)


def render(template: str, status: int = 200, **facts: Any) -> Any:
    """A page with a form; a browser that is not signed in gets the cookie that the form belongs to."""
    cookie = _read_form_cookie() or secrets.token_urlsafe(32)
    token = csrf.derive_token(current_settings().secret_key, cookie)
    response = flask.make_response(flask.render_template(template, csrf_token=token, **facts), status)
    if find_session() is None:
        set_cookie(response, VISITOR, cookie, 3600)
    return response


def _read_form_cookie() -> str:
    name = VISITOR if find_session() is None else COOKIE
    return flask.request.cookies.get(name, "")
