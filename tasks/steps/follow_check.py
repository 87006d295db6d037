"""Checks whether the contact follows the Instagram account: true, false, or unknown with the reason.

The check has no side effect, so an interrupted call is repeated. The result is unknown for a contact without an
Instagram id, for one that Instagram reports nothing about, and while the provider stays unreachable.
"""

from __future__ import annotations

from providers import meta
from rules.definition import Step
from rules.errors import RateLimited, RetryableError
from rules.retries import MAX_SLEEP_SECONDS
from tasks.runtime import step_rows
from tasks.runtime.breakers import rest_if_breaker_open
from tasks.runtime.claimed_execution import ClaimedExecution, Continuation
from tasks.runtime.engine import Engine
from tasks.runtime.outside_calls import track_call
from tasks.steps.accounts import resolve_account
from tasks.steps.direct_messages import load_sender
from tasks.steps.pauses import rest_if_provider_paused
from tasks.steps.workspace_settings import resolve_workspace_settings

PROVIDER = "instagram"


def check_follow(engine: Engine, claimed: ClaimedExecution, step: Step) -> Continuation[bool]:
    """Check; return whether the execution continues in place."""
    person = (claimed.contact or {}).get("instagram_id")
    if not person:
        return _record_answer(claimed, step, meta.FollowStatus(None, "The contact has no Instagram id."))
    if rest_if_provider_paused(claimed, PROVIDER):
        return False
    sender = load_sender(engine.settings, claimed, PROVIDER)
    is_refused = claimed.state["misconfigured_since"] is not None
    claimed.settings = resolve_workspace_settings(engine.settings, claimed.row["workspace_id"], fresh=is_refused)
    account = resolve_account(
        claimed.settings, PROVIDER, claimed.row["workspace_id"], test=claimed.test, demo=claimed.row["demo"],
        own=sender.secrets,
    )  # fmt: skip
    if rest_if_breaker_open(claimed, PROVIDER):
        return False
    step_rows.begin(claimed, step)
    # Earlier sends of this claim are recorded before another call takes its time.
    yield from engine.record_intent(claimed)
    try:
        with track_call(claimed, "follow_check", PROVIDER):
            follow = meta.check_follow(account, person)
    except RetryableError as error:
        if _is_worth_waiting_for(claimed, step, error):
            raise
        follow = meta.FollowStatus(None, error.message)
    claimed.state["misconfigured_since"] = None
    return _record_answer(claimed, step, follow)


def _is_worth_waiting_for(claimed: ClaimedExecution, step: Step, error: RetryableError) -> bool:
    retries_left = step.retry_max - (claimed.state["attempt"] - 1)
    must_wait = isinstance(error, RateLimited) and (error.retry_after or 0) > MAX_SLEEP_SECONDS
    return must_wait or retries_left > 0


def _record_answer(claimed: ClaimedExecution, step: Step, follow: meta.FollowStatus) -> bool:
    output: dict[str, bool | str] = {"following": "unknown" if follow.following is None else follow.following}
    step_rows.succeed(claimed, step, {**output, "because": follow.reason} if follow.reason else output)
    return True
