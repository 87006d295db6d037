"""Turns a failed step into a move of its execution: product 3 "Retries" and semantics, sections 4 and 5.

asked to wait (rate limit with a time)   waits at the stage before the call; no attempt is used up
retryable, retries left                  failed, with the time of the next retry
configuration                            waits; the provider of that workspace is paused; given up after a day
unknown outcome                          failed and held; looked up, never sent again blindly
everything else                          failed, at rest
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import structlog

import metrics
from models.progress import PauseProvider, Suppress
from providers import PROVIDERS
from rules.definition import Step
from rules.errors import ConfigurationError, ExecutionError, RateLimited, UnknownOutcome
from rules.retries import LONGEST_SLEEP_SECONDS, delay_seconds
from settings import Settings
from tasks.accounts import fingerprint
from tasks.passage import Passage
from tasks.places import give_back_place

log = structlog.get_logger(__name__)

#: A refused credential is tried again this often, and given up after a day (semantics, section 5).
CONFIGURATION_RETRY_SECONDS = 3600.0
CONFIGURATION_PATIENCE = timedelta(hours=24)
#: Providers need a moment before a lost message shows in their events.
FIRST_LOOK_UP_SECONDS = 5.0


def fail(settings: Settings, passage: Passage, step: Step | None, error: ExecutionError, provider: str | None) -> None:
    """Move the passage on after `error` in `step`. The caller records it."""
    log.info(
        "step failed",
        execution_id=passage.execution_id,
        step=step and step.id,
        error_class=error.error_class,
        error=error.message,
        code=error.provider_code,
    )
    _note(passage, step, error)
    if error.suppress_channel and step is not None:
        _suppress(passage, step)
    if step is not None and isinstance(error, RateLimited) and (error.retry_after or 0) > LONGEST_SLEEP_SECONDS:
        _be_patient(passage, step, error.retry_after or 0)
        return
    if step is not None and isinstance(error, ConfigurationError) and not _patience_is_over(passage):
        _await_operator(settings, passage, step, error, provider)
        return
    if step is not None:
        passage.fail_step(step, _as_json(error))
    if isinstance(error, UnknownOutcome) and step is not None:
        _hold(passage, step, error, provider)
        return
    retries_left = (step.retry_max if step else 0) - (passage.state["attempt"] - 1)
    if error.retryable and retries_left > 0:
        _retry_later(passage, step, error)
        return
    if step is not None and step.id in passage.messages:
        passage.message(step, status="failed", error_class=error.error_class, error_message=error.message)
    _rest(passage)


def _as_json(error: ExecutionError) -> dict[str, str | bool | None]:
    return {
        "class": error.error_class,
        "message": error.message,
        "code": error.provider_code,
        "retryable": error.retryable,
    }


def _note(passage: Passage, step: Step | None, error: ExecutionError) -> None:
    passage.state.update(
        error_class=error.error_class,
        error_message=error.message,
        error_code=error.provider_code,
        failed_step=step.id if step else None,
    )


def _suppress(passage: Passage, step: Step) -> None:
    message = passage.messages.get(step.id)
    if message is None or not message["contact_id"] or passage.test:
        return
    passage.suppressed.add(message["channel"])
    passage.also(Suppress(message["contact_id"], message["channel"], message["to_address"], "blocked"))


def _step_back(passage: Passage) -> None:
    """To the stage from which the call is made again."""
    if passage.stage == "sending":
        passage.enter("ready_to_send")
    elif passage.stage == "generating":
        passage.enter(passage.base_stage)


def _be_patient(passage: Passage, step: Step, seconds: float) -> None:
    passage.put_off(step)
    if step.id in passage.messages:
        passage.message(step, status="pending")
    _step_back(passage)
    passage.wait("rate_limit", passage.now() + timedelta(seconds=seconds * (1 + 0.1 * random.random())))


def _patience_is_over(passage: Passage) -> bool:
    since = passage.state["misconfigured_since"]
    return isinstance(since, datetime) and passage.now() - since > CONFIGURATION_PATIENCE


def _await_operator(
    settings: Settings, passage: Passage, step: Step, error: ConfigurationError, provider: str | None
) -> None:
    passage.put_off(step)
    if step.id in passage.messages:
        passage.message(step, status="pending", error_class=error.error_class, error_message=error.message)
    _step_back(passage)
    if provider is not None and not passage.test:
        # Of the settings that the call was made with: a change that came since mends the pause.
        credentials = fingerprint(passage.settings or settings, provider, passage.row["workspace_id"])
        passage.also(PauseProvider(provider, error.message, credentials, CONFIGURATION_RETRY_SECONDS))
    if passage.state["misconfigured_since"] is None:
        passage.state["misconfigured_since"] = passage.now()
    passage.wait("configuration", passage.now() + timedelta(seconds=CONFIGURATION_RETRY_SECONDS))


def _hold(passage: Passage, step: Step, error: UnknownOutcome, provider: str | None) -> None:
    can_look_up = provider in PROVIDERS and PROVIDERS[provider].can_look_up
    looks = can_look_up or (step.on_unknown == "resend" and passage.messages[step.id]["resends"] == 0)
    passage.message(
        step,
        status="outcome_unknown",
        look_up_at=passage.now() + timedelta(seconds=FIRST_LOOK_UP_SECONDS) if looks else None,
        look_ups=0,
        error_class=error.error_class,
        error_message=error.message,
    )
    _rest(passage)


def _retry_later(passage: Passage, step: Step | None, error: ExecutionError) -> None:
    if step is not None and step.id in passage.messages:
        passage.message(step, status="pending", error_class=error.error_class, error_message=error.message)
    delay = delay_seconds(passage.state["attempt"] - 1, dice=random.random(), retry_after=error.retry_after)
    at = passage.now() + timedelta(seconds=delay)
    passage.state.update(resume_stage=passage.stage, next_retry_at=at)
    passage.enter("failed")
    passage.wait("retry", at)
    metrics.retries_total.labels(kind="scheduled", reason=error.error_class).inc()


def _rest(passage: Passage) -> None:
    if passage.stage != "failed":
        passage.state["resume_stage"] = passage.stage
    passage.finish("failed", "failed")
    give_back_place(passage)
