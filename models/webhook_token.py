"""Tokens of webhook signatures that do not cover the body: the first body at one endpoint consumes its token.

The token is consumed in the transaction that stores its callback, so either both are durable or neither is.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Literal

from peewee import fn

from models.queries import execute, exists
from models.tables import WebhookToken

#: The token is new, was consumed by the same body at the same endpoint (a retry), or by another request.
Use = Literal["first", "repeated", "refused"]
#: Longer than any signature is accepted before or after its timestamp.
LIFETIME = timedelta(hours=10)


def consume(token: str, door: str, body_hash: bytes) -> Use:
    """Consume a token in the caller's transaction, which serializes requests with the same token.

    `door` names the endpoint.
    """
    token_hash = hashlib.sha256(token.encode()).digest()
    if execute(WebhookToken.insert(token_hash=token_hash, door=door, body_hash=body_hash).on_conflict_ignore()):
        return "first"
    is_same = (
        (WebhookToken.token_hash == token_hash) & (WebhookToken.door == door) & (WebhookToken.body_hash == body_hash)
    )
    return "repeated" if exists(WebhookToken.select(WebhookToken.token_hash).where(is_same)) else "refused"


def remove_expired() -> int:
    """Delete tokens that no valid signature can use again; return how many."""
    return execute(WebhookToken.delete().where(WebhookToken.received_at < fn.now() - LIFETIME))
