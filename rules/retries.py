"""Computes the delay before a failed step is retried, without a clock or a random source of its own.

Three automatic retries follow the first attempt, unless the step sets fewer; the delay doubles each time. Attempts
within one call (tenacity's, in `providers/`) are not counted here. A provider's longer "retry after" is obeyed.
"""

from __future__ import annotations

#: Seconds before the first automatic retry.
FIRST_DELAY_SECONDS = 60.0
#: Maximum delay in seconds, unless the provider asks for a longer one.
MAX_DELAY_SECONDS = 3600.0
#: The delay varies by this fraction in both directions, so that a burst of failures is not retried as a burst.
JITTER = 0.2
#: Automatic retries after the first attempt.
MAX_RETRIES = 3
#: A longer wait requested by a provider is a durable wait of the execution, not a sleeping worker.
MAX_SLEEP_SECONDS = 10.0


def compute_delay_seconds(retries: int, *, random_fraction: float, retry_after: float | None = None) -> float:
    """Return the seconds until retry number `retries` + 1. `random_fraction` is a random number in [0, 1]."""
    delay = min(FIRST_DELAY_SECONDS * 2.0**retries, MAX_DELAY_SECONDS)
    jittered = delay * (1 + JITTER * (2 * random_fraction - 1))
    return max(jittered, retry_after or 0.0)
