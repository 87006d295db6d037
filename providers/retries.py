"""Retries one call within a worker: at most three attempts, with exponential backoff and jitter.

A read is retried after any temporary error. A send is retried only if the provider cannot have accepted it. Waits
longer than `rules.retries.MAX_SLEEP_SECONDS` are not slept: they become a durable wait of the execution.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_exponential_jitter

from rules.errors import NetworkError, RateLimited, RetryableError
from rules.retries import MAX_SLEEP_SECONDS

#: Maximum attempts of one call, the first included.
MAX_ATTEMPTS = 3
#: Seconds before the second attempt; doubled before the third.
FIRST_BACKOFF_SECONDS = 0.2
#: Maximum random seconds added to the delay, so that many callers do not retry at the same time.
BACKOFF_JITTER_SECONDS = 0.3

T = TypeVar("T")


def read(call: Callable[[], T]) -> T:
    """Make a call without a side effect; network errors, timeouts, rate limits and 5xx are retried."""
    return _call_with_retries(call, _READ_POLICY)


def send(call: Callable[[], T]) -> T:
    """Make a call that sends; only an unreachable provider and a rate limit are retried."""
    return _call_with_retries(call, _SEND_POLICY)


def _call_with_retries(call: Callable[[], T], policy: Retrying) -> T:
    """Make the first attempt without the policy: most need no second, and a policy costs more than a small call."""
    try:
        return call()
    except RetryableError as error:
        first_error = error
    pending_errors = [first_error]

    def retry_call() -> T:
        if pending_errors:
            raise pending_errors.pop()
        return call()

    return policy.copy()(retry_call)


def _build_retry_predicate(*kinds: type[RetryableError]) -> Callable[[BaseException], bool]:
    def should_retry(error: BaseException) -> bool:
        return isinstance(error, kinds) and (error.retry_after or 0.0) <= MAX_SLEEP_SECONDS

    return should_retry


def _build_policy(*kinds: type[RetryableError]) -> Retrying:
    return Retrying(
        stop=stop_after_attempt(MAX_ATTEMPTS),
        wait=_compute_backoff,
        retry=retry_if_exception(_build_retry_predicate(*kinds)),
        reraise=True,
    )


def _compute_backoff(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    exponential_backoff = wait_exponential_jitter(
        multiplier=FIRST_BACKOFF_SECONDS, max=4.0, jitter=BACKOFF_JITTER_SECONDS
    )
    requested_delay = error.retry_after if isinstance(error, RetryableError) else None
    return max(exponential_backoff(state), requested_delay or 0.0)


_READ_POLICY = _build_policy(RetryableError)
_SEND_POLICY = _build_policy(NetworkError, RateLimited)
