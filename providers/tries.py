"""How often one call is tried before its failure is told: at most three times, with growing, jittered pauses.

A read is tried again after anything that passes by itself. A send is tried again only where the provider cannot have
accepted it. Longer waits than `LONGEST_SLEEP_SECONDS` are not slept: they are the execution's, as a row with a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_exponential_jitter

from rules.errors import NetworkError, RateLimited, RetryableError
from rules.retries import LONGEST_SLEEP_SECONDS

#: Tries of one call, the first included.
MOST_TRIES = 3
#: Seconds before the second try; doubled before the third.
FIRST_PAUSE_SECONDS = 0.2
#: Up to so many seconds are added, so that many callers do not come back together.
PAUSE_JITTER_SECONDS = 0.3

T = TypeVar("T")


def read(call: Callable[[], T]) -> T:
    """Make a call without an outside effect; network errors, timeouts, rate limits and 5xx are tried again."""
    return _tried(call, _READS)


def send(call: Callable[[], T]) -> T:
    """Make a call that sends; only an unreached provider and a rate limit are tried again."""
    return _tried(call, _SENDS)


def _tried(call: Callable[[], T], policy: Retrying) -> T:
    """The first try by itself: most need no second, and a policy costs more than a small call."""
    try:
        return call()
    except RetryableError as error:
        first = error
    failed = [first]

    def again() -> T:
        if failed:
            raise failed.pop()
        return call()

    return policy.copy()(again)


def _again_on(*kinds: type[RetryableError]) -> Callable[[BaseException], bool]:
    def again(error: BaseException) -> bool:
        return isinstance(error, kinds) and (error.retry_after or 0.0) <= LONGEST_SLEEP_SECONDS

    return again


def _policy(*kinds: type[RetryableError]) -> Retrying:
    return Retrying(
        stop=stop_after_attempt(MOST_TRIES), wait=_pause, retry=retry_if_exception(_again_on(*kinds)), reraise=True
    )


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    grown = wait_exponential_jitter(multiplier=FIRST_PAUSE_SECONDS, max=4.0, jitter=PAUSE_JITTER_SECONDS)
    asked = error.retry_after if isinstance(error, RetryableError) else None
    return max(grown(state), asked or 0.0)


_READS = _policy(RetryableError)
_SENDS = _policy(NetworkError, RateLimited)
