"""Passwords that are asked for outside the sign-in form: limited as sign-ins are, and checked in the same time."""

from __future__ import annotations

import flask

from dashboard.access import settings
from dashboard.cooperation import compute
from ephemeral.rate_limits import Limit, wait_seconds
from models import user
from models.user import Account

#: Longer ones are refused before they are hashed.
LONGEST_GUESS = 1000
LONGEST_EMAIL = 320


def wait_for_guess(email: str) -> int:
    """Seconds until this address, and whoever tries this account, may try again."""
    rate = settings().sign_in_rate
    by_account = Limit("sign-in-account", rate / 60, rate)
    return wait_for_address() or wait_seconds(by_account, email.lower()[:LONGEST_EMAIL])


def wait_for_address() -> int:
    """The same where no account is named."""
    rate = settings().sign_in_rate
    return wait_seconds(Limit("sign-in-address", rate / 60, rate), flask.request.remote_addr or "unknown")


def account_behind(email: str, password: str) -> Account | None:
    """The account with this address and password; equally slow for an address that nobody has."""
    if not email.isprintable() or len(email) > LONGEST_EMAIL or len(password) > LONGEST_GUESS:
        return None
    account = user.find_account(email)
    matches = compute(user.password_matches, account.password_hash if account else None, password)
    return account if matches else None
