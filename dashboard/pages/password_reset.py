"""The page of a password reset: the person sets a new password, and every session of theirs ends."""

from __future__ import annotations

from typing import Any

import flask

from dashboard import devices, sign_in_attempts
from dashboard.cooperation import compute
from dashboard.pages import forms, secret_links
from models import password_reset, user
from models.password_reset import PasswordReset
from models.user import Account

password_reset_pages = flask.Blueprint("password-reset-pages", __name__)
secret_links.register(password_reset_pages)


@password_reset_pages.get("/password-resets/<token>")
def show(token: str) -> Any:
    """The page."""
    reset = password_reset.find(token)
    return secret_links.dead_link() if reset is None else _page(token, reset)


@password_reset_pages.post("/password-resets/<token>")
def set_password(token: str) -> Any:
    """Set the new password."""
    secret_links.check_form()
    reset = password_reset.find(token)
    if reset is None:
        return secret_links.dead_link()
    password = forms.text("password")
    fault = forms.new_password_fault(password, reset.email, reset.name)
    if fault:
        return _page(token, reset, 422, fault=fault)
    wait = sign_in_attempts.wait_by_address()
    if wait:
        page = _page(token, reset, 429, fault=forms.too_many(wait))
        page.headers["Retry-After"] = str(wait)
        return page
    new_hash = compute(user.hash_password, password)
    if not password_reset.use(token, reset, new_hash):
        return secret_links.dead_link()
    answer = flask.make_response(flask.render_template("password_changed.html"))
    devices.remember(answer, Account(reset.user_id, reset.email, reset.name, new_hash))
    return answer


def _page(token: str, reset: PasswordReset, status: int = 200, **facts: Any) -> Any:
    return secret_links.render("password_reset.html", status, reset=reset, path=f"/password-resets/{token}", **facts)
