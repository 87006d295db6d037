"""Single-use links: the address holds a random token, the table only its SHA-256.

A token has 256 random bits, so a fast hash is enough; looking it up in an index tells a guesser nothing about it.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

#: How long a link works, by the database's clock.
LIFETIME = timedelta(hours=72)


def new_token() -> str:
    """A token for a link's path."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """What is stored of a token, and what it is looked up by."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
