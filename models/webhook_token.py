"""Tokens of signatures that do not cover the body: each is consumed by the first body at one door.

The token is consumed in the transaction that stores what it came with, so either both are durable or neither is.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from models.database import execute, fetch_row

#: Of a token: new; consumed by this very body at this door, which is a retry; or consumed by something else.
Use = Literal["first", "repeated", "refused"]
#: Longer than any signature with a token is accepted, before or after its own time.
KEEP_HOURS = 10


def consume(token: str, door: str, body_hash: bytes) -> Use:
    """Consume a token inside the caller's transaction; two requests with the same token come one after the other."""
    token_hash = hashlib.sha256(token.encode()).digest()
    is_new = execute(
        "insert into webhook_tokens (token_hash, door, body_hash) values (%s, %s, %s) on conflict do nothing",
        (token_hash, door, body_hash),
    )
    if is_new:
        return "first"
    same = fetch_row(
        "select 1 from webhook_tokens where token_hash = %s and door = %s and body_hash = %s",
        (token_hash, door, body_hash),
    )
    return "repeated" if same else "refused"


def remove_expired() -> int:
    """Remove the tokens that no signature could bring again; how many they were."""
    return execute("delete from webhook_tokens where received_at < now() - make_interval(hours => %s)", (KEEP_HOURS,))
