"""Secret tokens of single-use links and sessions: the URL or cookie holds a random token, the table its SHA-256.

A token has 256 random bits, so a fast hash is enough; the timing of an index lookup reveals nothing about it.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

#: How long a single-use link works, by the database's clock.
LINK_LIFETIME = timedelta(hours=72)


def generate() -> str:
    """Return a new token."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """Return the hash under which a token is stored and found."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
