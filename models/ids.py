"""Ids that grow with time (UUID version 7, RFC 9562 section 5.7), so that an index on the id finds the newest rows."""

from __future__ import annotations

import os
import re
import time

import clock

_ID = re.compile("[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def new_id() -> str:
    """Return a new id: 48 bits of Unix milliseconds, 12 bits of the fraction of a millisecond, then 62 random bits.

    So the ids that one thread creates stay in order, also within a millisecond (RFC 9562, 6.2).
    """
    milliseconds, rest_ns = divmod(time.time_ns() + int(clock.OFFSET_SECONDS * 1e9), 1_000_000)
    fraction = rest_ns * 4096 // 1_000_000
    random = int.from_bytes(os.urandom(8), "big") >> 2
    number = (milliseconds & (2**48 - 1)) << 80 | 7 << 76 | fraction << 64 | 0x2 << 62 | random
    # Without an object of `uuid`, which costs as much as all before.
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_id(text: str) -> bool:
    """Return whether `text` can be an id; anything else gets 404 without a query."""
    return _ID.fullmatch(text) is not None
