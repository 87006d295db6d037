"""When a failed step is tried again: the delay as a value, decided without a clock or a dice of its own.

Three automatic retries follow the first attempt, unless the step says fewer; the delay doubles each time. Tries inside
one call (tenacity's, in `providers/`) are not counted here. A provider's own "retry after" is obeyed when longer.
"""

from __future__ import annotations

#: Seconds before the first automatic retry.
FIRST_DELAY_SECONDS = 60.0
#: No delay grows past this many seconds, unless the provider asks for longer.
MAX_DELAY_SECONDS = 3600.0
#: The delay is spread by this share in both directions, so that a burst of failures does not come back as a burst.
JITTER = 0.2
#: Automatic retries after the first attempt.
MAX_RETRIES = 3
#: A provider's wait longer than this is a durable wait of the execution, not a sleeping worker.
MAX_SLEEP_SECONDS = 10.0


def compute_delay_seconds(retries: int, *, random_fraction: float, retry_after: float | None = None) -> float:
    """Seconds until retry number `retries` + 1. `dice` is a random number in [0, 1]."""
    delay = min(FIRST_DELAY_SECONDS * 2.0**retries, MAX_DELAY_SECONDS)
    jittered = delay * (1 + JITTER * (2 * random_fraction - 1))
    return max(jittered, retry_after or 0.0)
