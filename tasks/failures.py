"""Turns a failed step into a transition of its execution.

rate limit with a time     waits at the stage before the call; no attempt is used up, for a day
retryable, retries left    failed, with the time of the next retry, unless the automation turned these off
configuration              waits; the provider of that workspace is paused; fails after a day
unknown outcome            failed; reconciled with the provider, never resent while its outcome is unknown
everything else            failed
"""

from __future__ import annotations

import random
from datetime import timedelta

import structlog

import metrics
from models.engine.records import PauseProvider, Suppress
from providers.registry import SENDERS
from rules.channels import ADDRESS_FIELDS
from rules.definition import Step
from rules.errors import ConfigurationError, ExecutionError, RateLimited, UnknownOutcome
from rules.reconciliation import schedule_first
from rules.retries import compute_delay_seconds
from settings import Settings
from tasks.runtime import message_rows, moves, step_rows
from tasks.runtime.claimed_execution import ClaimedExecution
from tasks.runtime.outside_calls import undo_call
from tasks.steps.accounts import fingerprint
from tasks.steps.limit_reservations import release_daily_limits
from tasks.steps.unknown_policy import find_policy

log = structlog.get_logger(__name__)

#: Refused credentials are retried at this interval, and the execution fails after a day.
CONFIGURATION_RETRY_SECONDS = 3600.0
CONFIGURATION_TIMEOUT = timedelta(hours=24)
#: After a day of rate limits, each counts as an attempt.
RATE_LIMIT_TIMEOUT = timedelta(hours=24)


def handle_failure(
    settings: Settings, claimed: ClaimedExecution, step: Step | None, error: ExecutionError, provider: str | None
) -> None:
    """Apply `error` in `step` to the claimed execution. The caller records it."""
    log.info(
        "step failed",
        execution_id=claimed.execution_id,
        step=step and step.id,
        error_class=error.error_class,
        error=error.message,
        code=error.provider_code,
    )
    _record_error(claimed, step, error, provider)
    if error.suppress_channel and step is not None:
        _suppress(claimed, step)
    if step is not None and isinstance(error, RateLimited) and _counts_no_attempt(claimed, error):
        _wait_for_rate_limit(claimed, step, error)
        return
    if step is not None and isinstance(error, ConfigurationError) and not _is_configuration_overdue(claimed):
        _pause_for_configuration(settings, claimed, step, error, provider)
        return
    if step is not None:
        step_rows.fail(claimed, step, _as_json(error))
    if isinstance(error, UnknownOutcome) and step is not None:
        _record_unknown_outcome(claimed, step, error)
        return
    retries_left = (step.retry_max if step else 0) - (claimed.state["attempt"] - 1)
    if error.retryable and retries_left > 0 and claimed.row["automatic_retries"]:
        _retry_later(claimed, step, error)
        return
    if step is not None and step.id in claimed.messages:
        message_rows.update(claimed, step, status="failed", error_class=error.error_class, error_message=error.message)
    _finish_failed(claimed)


def _as_json(error: ExecutionError) -> dict[str, str | bool | None]:
    return {
        "class": error.error_class,
        "message": error.message,
        "code": error.provider_code,
        "retryable": error.retryable,
    }


def _record_error(claimed: ClaimedExecution, step: Step | None, error: ExecutionError, provider: str | None) -> None:
    claimed.state.update(
        {
            "error_class": error.error_class,
            "error_message": error.message,
            "error_code": error.provider_code,
            "provider": provider,
            "failed_step": step.id if step else None,
        }
    )


def _suppress(claimed: ClaimedExecution, step: Step) -> None:
    message = claimed.messages.get(step.id)
    if message is None or not message["contact_id"] or claimed.test:
        return
    channel, contact_id = message["channel"], message["contact_id"]
    claimed.suppressed.add(channel)
    # A private reply is addressed to a comment, not to its author.
    address = (claimed.contact or {}).get(ADDRESS_FIELDS[channel]) or message["to_address"]
    claimed.add_effect(Suppress(claimed.row["workspace_id"], contact_id, channel, address, "blocked"))


def _counts_no_attempt(claimed: ClaimedExecution, error: RateLimited) -> bool:
    """Whether the provider said when to call again, and has done so for less than a day."""
    since = claimed.state["rate_limited_since"]
    return bool(error.retry_after) and (since is None or claimed.now() - since <= RATE_LIMIT_TIMEOUT)


def _wait_for_rate_limit(claimed: ClaimedExecution, step: Step, error: RateLimited) -> None:
    undo_call(claimed, step, error_class=error.error_class, error_message=error.message)
    seconds = error.retry_after or 0
    if claimed.state["rate_limited_since"] is None:
        claimed.state["rate_limited_since"] = claimed.now()
    moves.wait(claimed, "rate_limit", claimed.now() + timedelta(seconds=seconds * (1 + 0.1 * random.random())))


def _is_configuration_overdue(claimed: ClaimedExecution) -> bool:
    since = claimed.state["misconfigured_since"]
    return since is not None and claimed.now() - since > CONFIGURATION_TIMEOUT


def _pause_for_configuration(
    settings: Settings, claimed: ClaimedExecution, step: Step, error: ConfigurationError, provider: str | None
) -> None:
    undo_call(claimed, step, error_class=error.error_class, error_message=error.message)
    if provider is not None and not claimed.test:
        # The fingerprint of the settings that the call used: a later change resolves the pause.
        credentials = fingerprint(claimed.settings or settings, provider, claimed.row["workspace_id"])
        claimed.add_effect(PauseProvider(provider, error.message, credentials, CONFIGURATION_RETRY_SECONDS))
    if claimed.state["misconfigured_since"] is None:
        claimed.state["misconfigured_since"] = claimed.now()
    moves.wait(claimed, "configuration", claimed.now() + timedelta(seconds=CONFIGURATION_RETRY_SECONDS))


def _record_unknown_outcome(claimed: ClaimedExecution, step: Step, error: UnknownOutcome) -> None:
    message = claimed.messages[step.id]
    sender, now = SENDERS[message["provider"]], claimed.now()
    policy = find_policy(step, message["provider"], claimed.row["workspace_id"])
    message_rows.update(
        claimed,
        step,
        status="outcome_unknown",
        look_up_at=schedule_first(
            message["sending_at"] or now,
            now,
            can_reconcile=sender.can_reconcile,
            when_unknown="hold" if message["resends"] else policy,
        ),
        look_ups=0,
        error_class=error.error_class,
        error_message=error.message,
    )
    _finish_failed(claimed)


def _retry_later(claimed: ClaimedExecution, step: Step | None, error: ExecutionError) -> None:
    if step is not None and step.id in claimed.messages:
        message_rows.update(claimed, step, status="pending", error_class=error.error_class, error_message=error.message)
    delay = compute_delay_seconds(
        claimed.state["attempt"] - 1, random_fraction=random.random(), retry_after=error.retry_after
    )
    at = claimed.now() + timedelta(seconds=delay)
    claimed.state.update({"resume_stage": claimed.stage, "next_retry_at": at})
    moves.enter(claimed, "failed")
    moves.wait(claimed, "retry", at)
    if not claimed.test:
        metrics.retries_total.labels(kind="scheduled", reason=error.error_class).inc()


def _finish_failed(claimed: ClaimedExecution) -> None:
    if claimed.stage != "failed":
        claimed.state["resume_stage"] = claimed.stage
    moves.finish(claimed, "failed", "failed")
    release_daily_limits(claimed)
