"""Tracks the outside call that a claimed execution is inside of, for an orderly shutdown; measures and undoes it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Unpack

import metrics
from ephemeral import rates
from models.engine.records import ResumeProvider
from models.engine.rows import MessageRow
from providers.base import LeaseLost
from rules.definition import Step
from rules.errors import ExecutionError, UnknownOutcome
from tasks.runtime import message_rows, moves, spans, step_rows
from tasks.runtime.breakers import has_timed_out, record_call_result, rest_briefly
from tasks.runtime.claimed_execution import ClaimedExecution
from tasks.runtime.provider_threads import hold_thread


class Outdated(Exception):
    """What a recorded intent relied on has changed, or could not be read again: its request must not be written."""


@contextmanager
def track_call(claimed: ClaimedExecution, kind: str, provider: str) -> Iterator[None]:
    """Mark the claimed execution as inside an outside call of `kind`, and measure the call.

    Raises `ProviderCrowded`, with nothing marked, where the provider holds as many threads as it may.
    """
    with hold_thread(claimed.queue, claimed.row["workspace_id"], provider, timed_out=has_timed_out(claimed, provider)):
        yield from _track_call(claimed, kind, provider)


def _track_call(claimed: ClaimedExecution, kind: str, provider: str) -> Iterator[None]:
    claimed.call = kind
    began, started_ns, outcome = time.monotonic(), time.time_ns(), "ok"
    is_made = True
    try:
        yield
    except (LeaseLost, Outdated):
        is_made = False
        raise
    except ExecutionError as error:
        outcome = "retryable" if error.retryable else "permanent"
        outcome = "unknown" if isinstance(error, UnknownOutcome) else outcome
        record_call_result(claimed, provider, error)
        raise
    else:
        record_call_result(claimed, provider, None)
    finally:
        claimed.call = None
        if is_made:
            spans.record_request(claimed, kind, provider, started_ns, outcome)
            _measure(claimed, provider, time.monotonic() - began, outcome)


def _measure(claimed: ClaimedExecution, provider: str, elapsed_seconds: float, outcome: str) -> None:
    """Measure a call; one that succeeds also ends the pause of a provider whose credentials were refused."""
    metrics.provider_request_seconds.labels(provider=provider, outcome=outcome).observe(elapsed_seconds)
    if claimed.test:
        return
    rates.count_call(claimed.row["workspace_id"], provider, elapsed_seconds, accepted=outcome == "ok")
    if outcome == "ok" and _is_trial(claimed, provider):
        claimed.add_effect(ResumeProvider(provider))


def _is_trial(claimed: ClaimedExecution, provider: str) -> bool:
    """Whether the provider is paused for refused credentials, and this call tries them again."""
    key = ("provider", provider, "configuration")
    return any((pause["kind"], pause["name"], pause["reason"]) == key for pause in claimed.row["pauses"])


def leave_uncalled(claimed: ClaimedExecution, step: Step, provider: str) -> None:
    """Take a recorded intent back whose provider gets no further thread now, and wait for some seconds."""
    undo_call(claimed, step, sending_at=claimed.refused_at)
    rest_briefly(claimed, provider)


def undo_call(claimed: ClaimedExecution, step: Step, **message_fields: Unpack[MessageRow]) -> None:
    """Return to the stage before the step's outside call, which is made again from there; no attempt is used up.

    The step's message is pending again, with other changes by `message_fields`. The message of a refused call keeps
    its `sending_at`; for a call that was not made, the caller sets it to that of the one before.
    """
    step_rows.undo_attempt(claimed, step)
    if step.id in claimed.messages:
        fields: MessageRow = {**message_fields, "status": "pending"}
        message_rows.update(claimed, step, **fields)
    if claimed.stage == "sending":
        moves.enter(claimed, "ready_to_send")
    elif claimed.stage == "generating":
        moves.enter(claimed, claimed.base_stage)
