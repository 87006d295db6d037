"""Rate limits and records of attempts to prove an account's password.

Sign-ins, invitations and password changes share these limits. They apply per address, and per account for browsers that
never signed in to it. A known browser (`devices`) has only its own limit, so others cannot lock out an owner. Existing
and unknown accounts get the same limits, the same work and the same response.
"""

from __future__ import annotations

from dataclasses import dataclass

import flask

import metrics
from dashboard import devices
from dashboard.access import COOKIE, current_settings
from dashboard.cookies import VISITOR
from dashboard.gevent_support import compute
from dashboard.proxies import read_client_address, read_client_network
from dashboard.sign_in_failures import SignInFailures
from ephemeral import sign_ins
from models import user
from models.user import UserAccount

#: No account has longer ones.
MAX_EMAIL_LENGTH, MAX_PASSWORD_LENGTH = 320, 1000


@dataclass(frozen=True)
class Attempt:
    """An attempt with an e-mail, before the password is checked."""

    email: str
    #: Seconds until the attempt is allowed; 0 where it is allowed now.
    wait_seconds: int
    account: UserAccount | None = None
    #: Whether the attempt is already counted as a failure of the account.
    is_counted: bool = False


def begin(email: str) -> Attempt:
    """Begin an attempt by the browser of the current request."""
    # The database ignores case: without this, each spelling would have its own limit.
    email = email.strip().lower()
    address_wait = take_address_attempt()
    if address_wait and not devices.has_any():
        return _limit_attempt(email, address_wait)
    account = user.find_account(email) if _is_readable(email) else None
    device = devices.find_device_id(account) if account else None
    if device is not None and not sign_ins.take_for_device(device):
        return Attempt(email, 0, account)
    wait = address_wait or sign_ins.take_for_account(email, _read_browser_key(), sign_ins.DELAYS)
    return _limit_attempt(email, wait) if wait else Attempt(email, 0, account, is_counted=True)


def finish(attempt: Attempt, password: str) -> UserAccount | None:
    """The account where the password is correct; else None, and the failure is counted and recorded."""
    account = attempt.account if len(password) <= MAX_PASSWORD_LENGTH else None
    password_hash = account.password_hash if account else None
    if not compute(user.password_matches, password_hash, password[:MAX_PASSWORD_LENGTH]) or account is None:
        metrics.sign_ins_total.labels(result="failed").inc()
        failures: SignInFailures = flask.current_app.extensions["sign_in_failures"]
        failures.add(attempt.email, read_client_address())
        return None
    if attempt.is_counted:
        sign_ins.undo_failure(attempt.email)
    metrics.sign_ins_total.labels(result="succeeded").inc()
    return account


def take_address_attempt() -> int:
    """Count an attempt of the current request's address: 0, or the seconds until the next attempt is allowed."""
    return sign_ins.take_for_address(read_client_network(), current_settings().sign_in_rate)


def _read_browser_key() -> str:
    """A key that identifies the current browser."""
    return flask.request.cookies.get(COOKIE) or flask.request.cookies.get(VISITOR, "")


def _limit_attempt(email: str, wait_seconds: int) -> Attempt:
    metrics.sign_ins_total.labels(result="limited").inc()
    return Attempt(email, wait_seconds)


def _is_readable(email: str) -> bool:
    return email.isprintable() and len(email) <= MAX_EMAIL_LENGTH
