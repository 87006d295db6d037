"""Asks whether the contact follows the Instagram account: true, false, or unknown with the reason.

Only asking, so nothing is written to anybody and a cut-off call is made again. A contact without an Instagram id, one
whom Instagram will not tell us about, and a provider that stays out of reach are all answers: unknown.
"""

from __future__ import annotations

from providers import meta
from rules.definition import Step
from rules.errors import RateLimited, RetryableError
from rules.retries import LONGEST_SLEEP_SECONDS
from tasks.accounts import account_for
from tasks.direct_messages import sender_of
from tasks.engine import Engine
from tasks.held import held_provider
from tasks.passage import Course, Passage

PROVIDER = "instagram"


def check_follow(engine: Engine, passage: Passage, step: Step) -> Course[bool]:
    """Ask; whether the passage goes on in place."""
    person = (passage.contact or {}).get("instagram_id")
    if not person:
        return _answer(passage, step, meta.Follow(None, "The contact has no Instagram id."))
    if held_provider(passage, PROVIDER):
        return False
    sender = sender_of(engine.settings, passage, PROVIDER)
    account = account_for(
        engine.settings, PROVIDER, passage.row["workspace_id"], test=passage.test, demo=passage.row["demo"],
        own=sender.secrets,
    )  # fmt: skip
    passage.begin(step)
    # What was sent in this passage is on record before another call may take its time.
    yield from engine.announce(passage)
    try:
        with passage.calling("follow_check", PROVIDER):
            found = meta.check_follow(account, person)
    except RetryableError as error:
        if _is_worth_waiting_for(passage, step, error):
            raise
        found = meta.Follow(None, error.message)
    passage.state["misconfigured_since"] = None
    return _answer(passage, step, found)


def _is_worth_waiting_for(passage: Passage, step: Step, error: RetryableError) -> bool:
    retries_left = step.retry_max - (passage.state["attempt"] - 1)
    asked_to_wait = isinstance(error, RateLimited) and (error.retry_after or 0) > LONGEST_SLEEP_SECONDS
    return asked_to_wait or retries_left > 0


def _answer(passage: Passage, step: Step, found: meta.Follow) -> bool:
    output: dict[str, bool | str] = {"following": "unknown" if found.following is None else found.following}
    passage.succeed(step, {**output, "because": found.because} if found.because else output)
    return True
