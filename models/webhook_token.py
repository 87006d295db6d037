"""Tokens of webhook signatures that do not cover the body: the first body at one endpoint consumes its token.

The token is consumed in the transaction that stores its callback, so either both are durable or neither is.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from models.database import execute, fetch_row

#: The token is new, was consumed by the same body at the same endpoint (a retry), or by another request.
Use = Literal["first", "repeated", "refused"]
#: Longer than any signature is accepted before or after its timestamp.
KEEP_HOURS = 10


def consume(token: str, door: str, body_hash: bytes) -> Use:
    """Consume a token in the caller's transaction, which serializes requests with the same token.

    `door` names the endpoint.
    """
    token_hash = hashlib.sha256(token.encode()).digest()
    is_new = execute(
        "insert into webhook_tokens (token_hash, door, body_hash) values (%s, %s, %s) on conflict do nothing",
        (token_hash, door, body_hash),
    )
    if is_new:
        return "first"
    matching = fetch_row(
        "select 1 from webhook_tokens where token_hash = %s and door = %s and body_hash = %s",
        (token_hash, door, body_hash),
    )
    return "repeated" if matching else "refused"


def remove_expired() -> int:
    """Delete tokens that no valid signature can use again; return how many."""
    return execute("delete from webhook_tokens where received_at < now() - make_interval(hours => %s)", (KEEP_HOURS,))
