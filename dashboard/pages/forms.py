"""What forms about a person have in common: their fields, and the words for what is wrong with them."""

from __future__ import annotations

import flask

from dashboard.cooperation import compute
from rules.passwords import password_fault

LONGEST_NAME = 200
WRONG_SIGN_IN = "Wrong e-mail or password."


def text(field: str) -> str:
    """A field of the form; empty where it is missing."""
    return flask.request.form.get(field, "")


def person_name() -> str:
    """The field `name`, without blanks around it."""
    return text("name").strip()


def name_fault(name: str) -> str | None:
    """What is wrong with a person's name, or None."""
    if not name:
        return "Enter a name."
    if len(name) > LONGEST_NAME or not name.isprintable():
        return f"A name is one line of at most {LONGEST_NAME} characters."
    return None


def new_password_fault(password: str, email: str, name: str) -> str | None:
    """What is wrong with a new password of this person, or None; computed without holding up other requests."""
    fault = compute(password_fault, password, (email, name))
    return fault and f"The password {fault}."


def too_many(wait_seconds: int) -> str:
    """The words for a limit that was reached."""
    return f"Too many attempts. Try again in {wait_seconds} s."
