"""One attempt to sign in: whether it may be made now, and what is counted and written of it.

Limits are by address, and by account for browsers that have never signed in to it. A browser that has (`devices`) is
held up by neither while its own limit lasts, so strangers cannot keep anybody out. A known and an unknown account get
the same limits, the same work and the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import flask

import metrics
from dashboard import devices
from dashboard.access import settings
from dashboard.cooperation import compute
from dashboard.proxies import client_address, client_network
from dashboard.sign_in_failures import SignInFailures
from ephemeral import sign_ins
from models import user
from models.user import Membership

#: Longer ones are nobody's.
LONGEST_EMAIL, LONGEST_PASSWORD = 320, 1000


@dataclass(frozen=True)
class Attempt:
    """An attempt with an e-mail, before the password is looked at."""

    email: str
    #: Seconds until it may be made; 0 for now.
    wait_seconds: int
    member: Membership | None = None
    password_hash: str | None = None
    #: Whether the account's failures have it already.
    is_counted: bool = False

    @property
    def account(self) -> devices.Account:
        """What the browser is remembered for after a success."""
        return devices.Account(self.email, self.password_hash)


def begin(email: str, browser: str) -> Attempt:
    """An attempt by the present request's browser, which `browser` tells from others."""
    # The database would find the same person by spellings that are different here, each with failures of its own.
    email = email.strip().lower()
    by_address = sign_ins.wait_by_address(client_network(), settings().sign_in_rate)
    if by_address and not devices.has_any():
        return _limited(email, by_address)
    member, password_hash = user.find_sign_in(email) if _is_readable(email) else (None, None)
    device = devices.device_id(devices.Account(email, password_hash))
    if device is not None and not sign_ins.wait_by_device(device):
        return Attempt(email, 0, member, password_hash)
    wait = by_address or sign_ins.wait_by_account(email, browser, sign_ins.DELAYS)
    return _limited(email, wait) if wait else Attempt(email, 0, member, password_hash, is_counted=True)


def finish(attempt: Attempt, password: str) -> Membership | None:
    """The person, where the password is right; else the failure is counted and written."""
    password_hash = attempt.password_hash if len(password) <= LONGEST_PASSWORD else None
    if not compute(user.password_matches, password_hash, password[:LONGEST_PASSWORD]) or attempt.member is None:
        metrics.sign_ins_total.labels(result="failed").inc()
        failures: SignInFailures = flask.current_app.extensions["sign_in_failures"]
        failures.add(attempt.email, client_address())
        return None
    if attempt.is_counted:
        sign_ins.forgive(attempt.email)
    metrics.sign_ins_total.labels(result="succeeded").inc()
    return attempt.member


def _limited(email: str, wait_seconds: int) -> Attempt:
    metrics.sign_ins_total.labels(result="limited").inc()
    return Attempt(email, wait_seconds)


def _is_readable(email: str) -> bool:
    return email.isprintable() and len(email) <= LONGEST_EMAIL
