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
from dashboard.access import COOKIE, settings
from dashboard.cookies import VISITOR
from dashboard.cooperation import compute
from dashboard.proxies import client_address, client_network
from dashboard.sign_in_failures import SignInFailures
from ephemeral import sign_ins
from models import user
from models.user import Account

#: Longer ones are nobody's.
LONGEST_EMAIL, LONGEST_PASSWORD = 320, 1000


@dataclass(frozen=True)
class Attempt:
    """An attempt with an e-mail, before the password is looked at."""

    email: str
    #: Seconds until it may be made; 0 for now.
    wait_seconds: int
    account: Account | None = None
    #: Whether the account's failures have it already.
    is_counted: bool = False


def begin(email: str) -> Attempt:
    """An attempt by the browser of the present request."""
    # The database would find the same person by spellings that are different here, each with failures of its own.
    email = email.strip().lower()
    by_address = wait_by_address()
    if by_address and not devices.has_any():
        return _limited(email, by_address)
    account = user.find_account(email) if _is_readable(email) else None
    device = devices.device_id(account) if account else None
    if device is not None and not sign_ins.wait_by_device(device):
        return Attempt(email, 0, account)
    wait = by_address or sign_ins.wait_by_account(email, _browser(), sign_ins.DELAYS)
    return _limited(email, wait) if wait else Attempt(email, 0, account, is_counted=True)


def finish(attempt: Attempt, password: str) -> Account | None:
    """The account, where the password is right; else the failure is counted and written."""
    account = attempt.account if len(password) <= LONGEST_PASSWORD else None
    password_hash = account.password_hash if account else None
    if not compute(user.password_matches, password_hash, password[:LONGEST_PASSWORD]) or account is None:
        metrics.sign_ins_total.labels(result="failed").inc()
        failures: SignInFailures = flask.current_app.extensions["sign_in_failures"]
        failures.add(attempt.email, client_address())
        return None
    if attempt.is_counted:
        sign_ins.forgive(attempt.email)
    metrics.sign_ins_total.labels(result="succeeded").inc()
    return account


def wait_by_address() -> int:
    """Seconds until the address of the present request may try again; 0 when it may now, and the try was counted."""
    return sign_ins.wait_by_address(client_network(), settings().sign_in_rate)


def _browser() -> str:
    """What tells the present browser from others."""
    return flask.request.cookies.get(COOKIE) or flask.request.cookies.get(VISITOR, "")


def _limited(email: str, wait_seconds: int) -> Attempt:
    metrics.sign_ins_total.labels(result="limited").inc()
    return Attempt(email, wait_seconds)


def _is_readable(email: str) -> bool:
    return email.isprintable() and len(email) <= LONGEST_EMAIL
