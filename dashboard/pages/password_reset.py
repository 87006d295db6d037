"""The page of a password reset: the person sets a new password, which ends all their sessions."""

from __future__ import annotations

from typing import Any

import flask

from dashboard import devices, sign_in_attempts
from dashboard.gevent_support import compute
from dashboard.pages import forms, secret_links
from models import password_reset, user
from models.password_reset import PasswordReset
from models.user import UserAccount

password_reset_pages = flask.Blueprint("password-reset-pages", __name__)
secret_links.register(password_reset_pages)


@password_reset_pages.get("/password-resets/<token>")
def show(token: str) -> Any:
    """The page."""
    reset = password_reset.find(token)
    return secret_links.render_dead_link() if reset is None else _render_page(token, reset)


@password_reset_pages.post("/password-resets/<token>")
def set_password(token: str) -> Any:
    """Set the new password."""
    secret_links.check_form()
    reset = password_reset.find(token)
    if reset is None:
        return secret_links.render_dead_link()
    password = forms.read_field("password")
    fault = forms.find_new_password_error(password, reset.email, reset.name)
    if fault:
        return _render_page(token, reset, 422, fault=fault)
    wait = sign_in_attempts.take_address_attempt()
    if wait:
        return _render_page(token, reset, 429, fault=forms.format_too_many_attempts(wait), wait_seconds=wait)
    new_hash = compute(user.hash_password, password)
    if not password_reset.use(token, reset, new_hash):
        return secret_links.render_dead_link()
    response = flask.make_response(flask.render_template("password_changed.html"))
    devices.remember(response, UserAccount(reset.user_id, reset.email, reset.name, new_hash))
    return response


def _render_page(token: str, reset: PasswordReset, status: int = 200, **context: Any) -> Any:
    return secret_links.render("password_reset.html", status, reset=reset, path=f"/password-resets/{token}", **context)
