"""One entry, delivered while the caller waits: with retries, within a time."""

from __future__ import annotations

import threading
import time
from typing import Any

from beckon_client.buffer import compute_remaining
from beckon_client.configuration import Configuration
from beckon_client.entries import Entry
from beckon_client.errors import UnavailableError
from beckon_client.outcomes import build_rejection
from beckon_client.retries import compute_delay, is_temporary
from beckon_client.transport import Answer, ConnectionFailedError, Transport


def deliver_now(
    transport: Transport,
    configuration: Configuration,
    path: str,
    entry: Entry,
    seconds: float,
    cancelled: threading.Event,
) -> dict[str, Any]:
    """The answer. Raises `RejectedError`, and `UnavailableError` where there is none in time or it was cancelled."""
    deadline = time.monotonic() + seconds
    attempt = 0
    while True:
        attempt += 1
        timeout = max(0.001, min(configuration.request_seconds, compute_remaining(deadline)))
        answer, failure = _try(transport, path, entry.content, timeout)
        if answer is not None and 200 <= answer.status < 300:
            return answer.body
        if answer is not None and not is_temporary(answer.status, answer.retry_after):
            raise build_rejection(answer, entry.body, answer.body.get("errors", ()))
        retry_after = answer.retry_after if answer is not None else None
        delay = compute_delay(attempt, retry_after)
        if delay >= compute_remaining(deadline) or cancelled.wait(delay):
            status = answer.status if answer is not None else None
            detail = f"Beckon did not accept it in time: {failure or (answer and answer.body.get('detail')) or status}"
            raise UnavailableError(detail, status=status, body=entry.body, retry_after=retry_after)


def _try(transport: Transport, path: str, body: bytes, seconds: float) -> tuple[Answer | None, str]:
    try:
        return transport.post(path, body, seconds), ""
    except ConnectionFailedError as error:
        return None, f"no answer ({error})"
