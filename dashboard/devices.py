"""Browsers that have signed in before: a signed cookie says for which accounts, so that strangers who fail on an
account cannot keep its owner out.

A token is good for one account and its present password, for half a year. It proves no identity: the password is still
needed, and each token has a limit of its own. Nothing is stored; the signature holds e-mail and password hash.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from datetime import timedelta
from typing import Any

import flask

import clock
from dashboard.access import current_settings
from dashboard.cookies import set_cookie
from models.user import UserAccount

COOKIE = "beckon_device"
LIFETIME = timedelta(days=180)
#: Accounts that one browser may have signed in to; the one that was used longest ago is left out.
MAX_ACCOUNTS = 5

#: Id, when it was issued (seconds), signature; all hexadecimal.
_TOKEN = re.compile(r"[0-9a-f]{32}[0-9a-f]{10}[0-9a-f]{64}")


def has_any() -> bool:
    """Whether the present browser says that it has signed in to some account."""
    return COOKIE in flask.request.cookies


def find_device_id(account: UserAccount) -> str | None:
    """The id of the present browser's token for this account; None where it has none that is good."""
    for token in _read_tokens():
        identity = _verify_token(token, account)
        if identity is not None:
            return identity
    return None


def remember(response: Any, account: UserAccount) -> None:
    """Let the browser that gets this answer have signed in to the account."""
    others = [token for token in _read_tokens() if _verify_token(token, account) is None]
    body = f"{secrets.token_hex(16)}{int(clock.now().timestamp()):010x}"
    tokens = [body + _sign(body, account), *others][:MAX_ACCOUNTS]
    set_cookie(response, COOKIE, ".".join(tokens), int(LIFETIME.total_seconds()))


def _read_tokens() -> list[str]:
    tokens = flask.request.cookies.get(COOKIE, "").split(".")[:MAX_ACCOUNTS]
    return [token for token in tokens if _TOKEN.fullmatch(token)]


def _verify_token(token: str, account: UserAccount) -> str | None:
    identity, issued, signature = token[:32], token[32:42], token[42:]
    if not hmac.compare_digest(signature, _sign(identity + issued, account)):
        return None
    age_seconds = clock.now().timestamp() - int(issued, 16)
    return identity if age_seconds < LIFETIME.total_seconds() else None


def _sign(body: str, account: UserAccount) -> str:
    message = "\0".join(("device", body, account.email.lower(), account.password_hash))
    return hmac.new(current_settings().secret_key.encode(), message.encode(), hashlib.sha256).hexdigest()
