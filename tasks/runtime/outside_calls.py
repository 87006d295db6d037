"""Tracks the outside call that a claimed execution is inside of, for an orderly shutdown, and measures it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import metrics
from rules.errors import ExecutionError, UnknownOutcome
from tasks.runtime.claimed_execution import ClaimedExecution


@contextmanager
def track_call(claimed: ClaimedExecution, kind: str, provider: str) -> Iterator[None]:
    """Mark the claimed execution as inside an outside call of `kind`, and measure the call."""
    claimed.call = kind
    began, outcome = time.monotonic(), "ok"
    try:
        yield
    except ExecutionError as error:
        outcome = "retryable" if error.retryable else "permanent"
        outcome = "unknown" if isinstance(error, UnknownOutcome) else outcome
        raise
    finally:
        claimed.call = None
        elapsed = time.monotonic() - began
        metrics.provider_request_seconds.labels(provider=provider, outcome=outcome).observe(elapsed)
