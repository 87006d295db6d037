"""Passwords that are asked for outside the sign-in form: limited as sign-ins are, and checked in the same time."""

from __future__ import annotations

import flask

from dashboard.access import COOKIE, settings
from dashboard.cookies import VISITOR
from dashboard.cooperation import compute
from dashboard.proxies import client_network
from ephemeral import sign_ins
from models import user
from models.user import Account

#: Longer ones are refused before they are hashed.
LONGEST_GUESS = 1000
LONGEST_EMAIL = 320


def wait_for_guess(email: str) -> int:
    """Seconds until this address, and the present browser for this account, may try again."""
    browser = flask.request.cookies.get(COOKIE) or flask.request.cookies.get(VISITOR, "")
    account = email.strip().lower()[:LONGEST_EMAIL]
    return wait_for_address() or sign_ins.wait_by_account(account, browser, sign_ins.DELAYS)


def wait_for_address() -> int:
    """The same where no account is named."""
    return sign_ins.wait_by_address(client_network(), settings().sign_in_rate)


def account_behind(email: str, password: str) -> Account | None:
    """The account with this address and password; equally slow for an address that nobody has."""
    if not email.isprintable() or len(email) > LONGEST_EMAIL or len(password) > LONGEST_GUESS:
        return None
    account = user.find_account(email)
    matches = compute(user.password_matches, account.password_hash if account else None, password)
    if account is None or not matches:
        return None
    sign_ins.forgive(email.strip().lower())
    return account
