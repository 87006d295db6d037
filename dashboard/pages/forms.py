"""What forms about a person have in common: their fields, and the words for what is wrong with them."""

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
    """The field `name`, without blanks around it."""
    return read_field("name").strip()


def find_name_fault(name: str) -> str | None:
    """What is wrong with a person's name, or None."""
    if not name:
        return "Enter a name."
    if len(name) > MAX_NAME_LENGTH or not name.isprintable():
        return f"A name is one line of at most {MAX_NAME_LENGTH} characters."
    return None


def find_new_password_fault(password: str, email: str, name: str) -> str | None:
    """What is wrong with a new password of this person, or None; computed without holding up other requests."""
    fault = compute(check_password, password, (email, name))
    return fault and f"The password {fault}."


def format_too_many_attempts(wait_seconds: int) -> str:
    """The words for a limit that was reached."""
    return f"Too many attempts. Try again in {wait_seconds} s."
