"""Shared parts of the account forms: reading fields, and messages for invalid values."""

from __future__ import annotations

import flask

from dashboard.gevent_support import compute
from rules.passwords import check_password

MAX_NAME_LENGTH = 200
WRONG_SIGN_IN = "Wrong e-mail or password."


def read_field(field: str) -> str:
    """A field of the form; empty where it is missing."""
    return flask.request.form.get(field, "")


def read_person_name() -> str:
    """The field `name`, without surrounding whitespace."""
    return read_field("name").strip()


def find_name_error(name: str) -> str | None:
    """The problem with a person's name, or None."""
    if not name:
        return "Enter a name."
    if len(name) > MAX_NAME_LENGTH or not name.isprintable():
        return f"A name must be one line of at most {MAX_NAME_LENGTH} characters."
    return None


def find_new_password_error(password: str, email: str, name: str) -> str | None:
    """The problem with a new password, or None; computed without blocking other requests."""
    fault = compute(check_password, password, (email, name))
    return fault and f"The password {fault}."


def format_too_many_attempts(wait_seconds: int) -> str:
    """The message for a rate limit."""
    return f"Too many attempts. Try again in {wait_seconds} s."
