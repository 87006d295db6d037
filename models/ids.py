"""Ids that grow with time (UUID version 7, RFC 9562 section 5.7), so that an index on the id finds the newest rows."""

from __future__ import annotations

import os
import time
import uuid

import clock


def new_id() -> str:
    """Return a new id: 48 bits of Unix milliseconds, 12 bits of the fraction of a millisecond, then 62 random bits.

    So the ids that one thread creates stay in order, also within a millisecond (RFC 9562, 6.2).
    """
    milliseconds, rest_ns = divmod(time.time_ns() + int(clock.OFFSET_SECONDS * 1e9), 1_000_000)
    fraction = rest_ns * 4096 // 1_000_000
    random = int.from_bytes(os.urandom(8), "big") >> 2
    return str(uuid.UUID(int=(milliseconds & (2**48 - 1)) << 80 | 7 << 76 | fraction << 64 | 0x2 << 62 | random))


def is_id(text: str) -> bool:
    """Return whether `text` can be an id; anything else gets 404 without a query."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
