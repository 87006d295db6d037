"""A round's place under the daily limits: taken when the checks pass, looked at again before the round's first message,
given back when the round ends without one (semantics, section 6). And its place under the contact's frequency cap.

The second look is for a wait that crossed midnight, and for a retry of what had given its place back. The database
decides who gets the last place; test executions take none.
"""

from __future__ import annotations

from models import limits
from models.progress import GiveBackLimit
from rules import eligibility, schedule
from rules.eligibility import Skip
from tasks.passage import Passage

_WORDS = {
    "daily_limit": eligibility.daily_limit_reached,
    "contact_daily_limit": eligibility.contact_daily_limit_reached,
}


def take_place(passage: Passage) -> Skip | None:
    """Take a place on the workspace's present day, unless this round has one; the rule that says there is none."""
    rules = passage.workflow.rules
    if not _counts(passage) or passage.sent_something:
        return None
    day = schedule.local_day(passage.now(), passage.row["workspace_timezone"])
    if passage.place_taken_on == day:
        return None
    reached = limits.reserve(
        passage.execution_id,
        passage.round,
        passage.row["workspace_id"],
        passage.row["automation_id"],
        passage.row["contact_id"],
        day,
        rules.daily_limit,
        rules.contact_daily_limit,
    )
    if reached is None:
        passage.place_taken_on = day
        return None
    return _WORDS[reached.rule](reached.limit, reached.measured)


def enter_cap(passage: Passage) -> Skip | None:
    """Count this round among the contact's messages, where a frequency cap is wanted; the rule that forbids it.

    Nothing gives it back: a round that is over, or has sent, is no longer counted as on its way.
    """
    cap, contact_id = passage.workflow.rules.frequency_cap, passage.row["contact_id"]
    if cap is None or contact_id is None or passage.test:
        return None
    reached = limits.enter_cap(
        passage.execution_id, passage.round, passage.row["workspace_id"], contact_id, cap.max, cap.per_seconds
    )
    return eligibility.frequency_cap_reached(cap, reached.sent, reached.on_their_way) if reached else None


def give_back_place(passage: Passage) -> None:
    """The round comes to rest: its place is free again if nothing was sent, or can have been."""
    if _counts(passage) and not passage.sent_something and passage.state["error_class"] != "unknown_outcome":
        passage.also(GiveBackLimit(passage.round))


def _counts(passage: Passage) -> bool:
    rules = passage.workflow.rules
    return not passage.test and (rules.daily_limit is not None or rules.contact_daily_limit is not None)
