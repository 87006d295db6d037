"""Which answers are worth a retry, and how long to wait before it."""

from __future__ import annotations

import random

#: The server or a proxy before it cannot answer now. 409 is among them only with Retry-After: the key is in use.
TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})
FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS = 0.25, 30.0
#: Maximum that Retry-After may ask for: a wrong date must not stop a producer for good.
MAX_RETRY_AFTER_SECONDS = 3600.0


def is_temporary(status: int, retry_after: float | None) -> bool:
    """Whether the same request may succeed later."""
    return status in TEMPORARY or (status == 409 and retry_after is not None)


def compute_delay(attempt: int, retry_after: float | None = None) -> float:
    """Seconds before the retry after the attempt with this number, the first being 1.

    Exponential, with a random half, so that producers do not return together; never less than Retry-After.
    """
    backoff = min(MAX_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(attempt - 1, 10))
    jittered = backoff * (0.5 + random.random() / 2)
    return max(jittered, min(retry_after or 0.0, MAX_RETRY_AFTER_SECONDS))
