"""Known browsers: a signed cookie names the accounts a browser has signed in to, so that failed attempts of others
cannot lock out the owner of an account.

A token is valid for one account and its current password, for 180 days. It does not replace the password, and each
token has its own rate limit. Nothing is stored; the signature covers the e-mail and the password hash.
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
#: Maximum accounts per browser; the least recently used is dropped.
MAX_ACCOUNTS = 5

#: Id, time of issue (Unix seconds), signature; all hexadecimal.
_TOKEN = re.compile(r"[0-9a-f]{32}[0-9a-f]{10}[0-9a-f]{64}")


def has_any() -> bool:
    """Whether the current browser has the cookie; its tokens are not verified."""
    return COOKIE in flask.request.cookies


def find_device_id(account: UserAccount) -> str | None:
    """The id of the current browser's valid token for this account, or None."""
    for token in _read_tokens():
        identity = _verify_token(token, account)
        if identity is not None:
            return identity
    return None


def remember(response: Any, account: UserAccount) -> None:
    """Add a token for the account to the browser's cookie."""
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
