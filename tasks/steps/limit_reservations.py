"""A round's place under the daily limits: taken when the checks pass, looked at again before the round's first message,
given back when the round ends without one (semantics, section 6). And its place under the contact's frequency cap.

The second look is for a wait that crossed midnight, and for a retry of what had given its place back. The database
decides who gets the last place; test executions take none.
"""

from __future__ import annotations

from models.engine import limits
from models.engine.progress import ReleaseLimitReservation
from rules import eligibility, schedule
from rules.eligibility import Skip
from tasks.runtime.claimed_execution import ClaimedExecution

_REASONS = {
    "daily_limit": eligibility.build_daily_limit_skip,
    "contact_daily_limit": eligibility.build_contact_daily_limit_skip,
}


def reserve_limits(claimed: ClaimedExecution) -> Skip | None:
    """Take a place on the workspace's present day, unless this round has one; the rule that says there is none."""
    rules = claimed.workflow.rules
    if not _has_daily_limits(claimed) or claimed.has_sent:
        return None
    day = schedule.to_local_day(claimed.now(), claimed.row["workspace_timezone"])
    if claimed.limit_reserved_on == day:
        return None
    reached = limits.reserve(
        claimed.execution_id,
        claimed.round,
        claimed.row["workspace_id"],
        claimed.row["automation_id"],
        claimed.row["contact_id"],
        day,
        rules.daily_limit,
        rules.contact_daily_limit,
    )
    if reached is None:
        claimed.limit_reserved_on = day
        return None
    return _REASONS[reached.rule](reached.limit, reached.measured)


def reserve_cap(claimed: ClaimedExecution) -> Skip | None:
    """Count this round among the contact's messages, where a frequency cap is wanted; the rule that forbids it.

    Nothing gives it back: a round that is over, or has sent, is no longer counted as on its way.
    """
    cap, contact_id = claimed.workflow.rules.frequency_cap, claimed.row["contact_id"]
    if cap is None or contact_id is None or claimed.test:
        return None
    reached = limits.reserve_cap(
        claimed.execution_id, claimed.round, claimed.row["workspace_id"], contact_id, cap.max, cap.per_seconds
    )
    return eligibility.build_frequency_cap_skip(cap, reached.sent, reached.on_their_way) if reached else None


def release_limits(claimed: ClaimedExecution) -> None:
    """The round comes to rest: its place is free again if nothing was sent, or can have been."""
    if _has_daily_limits(claimed) and not claimed.has_sent and claimed.state["error_class"] != "unknown_outcome":
        claimed.add_effect(ReleaseLimitReservation(claimed.round))


def _has_daily_limits(claimed: ClaimedExecution) -> bool:
    rules = claimed.workflow.rules
    return not claimed.test and (rules.daily_limit is not None or rules.contact_daily_limit is not None)
