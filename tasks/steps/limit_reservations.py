"""Reserves a round's share of the daily limits and of the contact's frequency cap.

A reservation is made when the eligibility check passes, checked again before each message to the contact, and released
when the round ends without one. The second check covers a wait across midnight, which reserves anew on the new day, and
a retry after a release. The database decides which round gets the last reservation; test executions reserve nothing.
"""

from __future__ import annotations

from models.engine import limits
from models.engine.records import ReleaseLimitReservation
from rules import eligibility, schedule
from rules.eligibility import Skip
from tasks.runtime.claimed_execution import ClaimedExecution

_REASONS = {
    "daily_limit": eligibility.build_daily_limit_skip,
    "contact_daily_limit": eligibility.build_contact_daily_limit_skip,
}


def reserve_daily_limits(claimed: ClaimedExecution) -> Skip | None:
    """Reserve for the workspace's current day, unless this round has done so; return the limit that is reached."""
    rules = claimed.workflow.rules
    if not _has_daily_limits(claimed):
        return None
    day = schedule.to_local_day(claimed.now(), claimed.row["workspace_timezone"])
    if claimed.limit_reserved_on == day:
        return None
    reached = limits.reserve_daily_limit(
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


def reserve_frequency_cap(claimed: ClaimedExecution) -> Skip | None:
    """Reserve a message under the contact's frequency cap, if the rules have one; return the rule that forbids it.

    It needs no release: a round that has ended, or has sent, is no longer counted as on its way.
    """
    cap, contact_id = claimed.workflow.rules.frequency_cap, claimed.row["contact_id"]
    if cap is None or contact_id is None or claimed.test:
        return None
    reached = limits.reserve_frequency_cap(
        claimed.execution_id, claimed.round, claimed.row["workspace_id"], contact_id, cap.max, cap.per_seconds
    )
    return eligibility.build_frequency_cap_skip(cap, reached.sent, reached.on_their_way) if reached else None


def release_daily_limits(claimed: ClaimedExecution) -> None:
    """Release the round's reservation, unless a message to the contact was sent or has an unknown outcome."""
    if claimed.has_sent_to_contact or claimed.state["error_class"] == "unknown_outcome":
        return
    if _has_daily_limits(claimed):
        claimed.add_effect(ReleaseLimitReservation(claimed.round))


def _has_daily_limits(claimed: ClaimedExecution) -> bool:
    rules = claimed.workflow.rules
    return not claimed.test and (rules.daily_limit is not None or rules.contact_daily_limit is not None)
