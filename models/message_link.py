"""Links of messages whose clicks are counted: `/l/{token}` leads to the stored URL and to no other.

A message goes to one person, so its first click counts and no later one. `models.engine.effects` stores the links with
their message.
"""

from __future__ import annotations

import secrets
import string

from peewee import fn

from models.database import connection
from models.queries import call, fetch_value

#: Characters of a token: 71 random bits, and short enough for an SMS.
TOKEN_LENGTH = 12
_ALPHABET = string.ascii_letters + string.digits


def new_token() -> str:
    """Return a new token, which nobody can guess."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(TOKEN_LENGTH))


def is_token(text: str) -> bool:
    """Return whether `text` can be a token; anything else leads nowhere, without a query."""
    return len(text) == TOKEN_LENGTH and text.isascii() and text.isalnum()


def follow(token: str, *, is_counted: bool) -> str | None:
    """Return the URL that a token leads to, or None. A click that is counted counts once, and never for a test or a
    deleted contact."""
    with connection():
        url: str | None = fetch_value(call(fn.follow_message_link(token, is_counted)))
    return url
