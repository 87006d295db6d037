"""The page of a password reset: the person sets a new password, and every session of theirs ends."""

from __future__ import annotations

from typing import Any

import flask

from dashboard.cooperation import compute
from dashboard.guesses import wait_for_address
from dashboard.pages import forms, secret_links
from models import password_reset, user
from models.password_reset import PasswordReset

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
    wait = wait_for_address()
    if wait:
        page = _page(token, reset, 429, fault=forms.too_many(wait))
        page.headers["Retry-After"] = str(wait)
        return page
    if not password_reset.use(token, reset, compute(user.hash_password, password)):
        return secret_links.dead_link()
    return flask.render_template("password_changed.html")


def _page(token: str, reset: PasswordReset, status: int = 200, **facts: Any) -> Any:
    return secret_links.render("password_reset.html", status, reset=reset, path=f"/password-resets/{token}", **facts)
