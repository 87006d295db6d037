"""Signatures that were used: a captured one must not open the door for another body.

Kept for as long as a signature is accepted at all. Without Redis the signature's age alone protects.
"""

from __future__ import annotations

import structlog

from ephemeral.connection import ERRORS, ephemeral

log = structlog.get_logger(__name__)

#: Longer than any provider's signature is accepted.
REMEMBERED_SECONDS = 3600


def is_replay(provider: str, token: str, event_id: str) -> bool:
    """Whether the token was seen with another event; remembers it with this one. A repeat of the same is no replay."""
    key = f"signature:{provider}:{token}"
    try:
        client = ephemeral()
        if client.set(key, event_id, nx=True, ex=REMEMBERED_SECONDS):
            return False
        return client.get(key) not in (event_id, None)
    except ERRORS as error:
        log.warning("redis is away, a signature was not remembered", error=str(error))
        return False
