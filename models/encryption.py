"""Encryption of stored secrets with a key derived from SECRET_KEY, so that a copy of the database reveals none.

After SECRET_KEY changes, secrets encrypted with the old one read as missing and must be entered again.
"""

from __future__ import annotations

import base64
import functools

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def encrypt(secret_key: str, text: str) -> str:
    """Return the text, encrypted and signed; the token differs each time."""
    return _build_fernet(secret_key).encrypt(text.encode()).decode()


def decrypt(secret_key: str, token: str) -> str | None:
    """Return the decrypted text, or None if another key encrypted it or it was modified."""
    try:
        return _build_fernet(secret_key).decrypt(token.encode()).decode()
    except InvalidToken:
        return None


@functools.lru_cache(maxsize=4)
def _build_fernet(secret_key: str) -> Fernet:
    # A derived key: SECRET_KEY also signs sessions, and may have any length.
    key = HKDF(SHA256(), 32, salt=None, info=b"beckon credentials at rest").derive(secret_key.encode())
    return Fernet(base64.urlsafe_b64encode(key))
