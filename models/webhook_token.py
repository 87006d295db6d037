"""Tokens of webhook signatures that do not cover the body: the first body at one endpoint consumes its token.

The token is consumed in the transaction that stores its callback (`models.inbound_event`), so either both are durable
or neither is.
"""

from __future__ import annotations

from datetime import timedelta

from peewee import fn

from models.queries import execute
from models.tables import WebhookToken

#: Longer than any signature is accepted before or after its timestamp.
LIFETIME = timedelta(hours=10)


def remove_expired() -> int:
    """Delete tokens that no valid signature can use again; return how many."""
    return execute(WebhookToken.delete().where(WebhookToken.received_at < fn.now() - LIFETIME))
