"""One attempt to prove an account's password: whether it may be made now, and what is counted and written of it.

The form of the sign-in, that of an invitation and the change of a password share these limits. They are by address,
and by account for browsers that have never signed in to it. A browser that has (`devices`) is held up by neither while
its own limit lasts, so strangers cannot keep anybody out. A known and an unknown account get the same limits, the same
work and the same answer.
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

#: Longer ones are nobody's.
MAX_EMAIL_LENGTH, MAX_PASSWORD_LENGTH = 320, 1000


@dataclass(frozen=True)
class Attempt:
    """An attempt with an e-mail, before the password is looked at."""

    email: str
    #: Seconds until it may be made; 0 for now.
    wait_seconds: int
    account: UserAccount | None = None
    #: Whether the account's failures have it already.
    is_counted: bool = False


def begin(email: str) -> Attempt:
    """An attempt by the browser of the present request."""
    # The database would find the same person by spellings that are different here, each with failures of its own.
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
    """The account, where the password is right; else the failure is counted and written."""
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
    """Seconds until the address of the present request may try again; 0 when it may now, and the try was counted."""
    return sign_ins.take_for_address(read_client_network(), current_settings().sign_in_rate)


def _read_browser_key() -> str:
    """What tells the present browser from others."""
    return flask.request.cookies.get(COOKIE) or flask.request.cookies.get(VISITOR, "")


def _limit_attempt(email: str, wait_seconds: int) -> Attempt:
    metrics.sign_ins_total.labels(result="limited").inc()
    return Attempt(email, wait_seconds)


def _is_readable(email: str) -> bool:
    return email.isprintable() and len(email) <= MAX_EMAIL_LENGTH
