"""Secrets at rest: sealed with a key made of SECRET_KEY, so that a copy of the database alone opens nothing.

Who changes SECRET_KEY loses what was sealed with the old one: it reads as missing, and has to be entered anew.
"""

from __future__ import annotations

import base64
import functools

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def encrypt(secret_key: str, text: str) -> str:
    """The text, encrypted and signed; another token each time."""
    return _build_fernet(secret_key).encrypt(text.encode()).decode()


def decrypt(secret_key: str, token: str) -> str | None:
    """What was sealed, or None where it was sealed with another key or changed since."""
    try:
        return _build_fernet(secret_key).decrypt(token.encode()).decode()
    except InvalidToken:
        return None


@functools.lru_cache(maxsize=4)
def _build_fernet(secret_key: str) -> Fernet:
    # A key of its own: SECRET_KEY signs other things too, and may have any length.
    key = HKDF(SHA256(), 32, salt=None, info=b"beckon credentials at rest").derive(secret_key.encode())
    return Fernet(base64.urlsafe_b64encode(key))
