"""Tokens of a playbook's preview: for ten minutes, the pages of one site key may read the draft of one automation.

A token is a signed statement and not stored. It is good for nothing but the draft: the signature covers its purpose.
The preview on the operator's page reads the nonce and the time from the statement; only this server can verify it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass

from rules.json_text import dump_json, load_json

#: How long a token is valid, in seconds. The open editor renews it.
LIFETIME_SECONDS = 600
#: No token is longer.
MAX_LENGTH = 1000
_PURPOSE = b"playbook-preview:"


@dataclass(frozen=True)
class Preview:
    """What a token allows: the pages of a site key read the draft of an automation, for its author."""

    workspace_id: str
    automation_id: str
    user_id: str
    site_key: str
    #: Ties the messages between editor and page to this preview.
    nonce: str
    #: Seconds since 1970.
    expires_at: int


def choose_nonce() -> str:
    """A nonce for a new preview."""
    return secrets.token_urlsafe(16)


def sign(secret_key: str, preview: Preview) -> str:
    """The token."""
    statement = {
        "w": preview.workspace_id, "a": preview.automation_id, "u": preview.user_id, "k": preview.site_key,
        "n": preview.nonce, "e": preview.expires_at,
    }  # fmt: skip
    payload = _encode(dump_json(statement).encode())
    return f"{payload}.{_sign(secret_key, payload)}"


def read(secret_key: str, token: str, now_seconds: float) -> Preview | None:
    """What the token allows; None where it is forged or has expired."""
    payload, _, signature = token.partition(".")
    if len(token) > MAX_LENGTH or not token.isascii():
        return None
    if not hmac.compare_digest(signature.encode(), _sign(secret_key, payload).encode()):
        return None
    try:
        statement = load_json(_decode(payload))
    except (binascii.Error, ValueError):
        return None
    preview = Preview(
        workspace_id=statement["w"],
        automation_id=statement["a"],
        user_id=statement["u"],
        site_key=statement["k"],
        nonce=statement["n"],
        expires_at=statement["e"],
    )
    return preview if now_seconds < preview.expires_at else None


def _sign(secret_key: str, payload: str) -> str:
    return _encode(hmac.new(secret_key.encode(), _PURPOSE + payload.encode(), hashlib.sha256).digest())


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
