"""A round's place under the daily limits: taken when the checks pass, looked at again before the round's first message,
given back when the round ends without one (semantics, section 6).

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


def give_back_place(passage: Passage) -> None:
    """The round comes to rest: its place is free again if nothing was sent, or can have been."""
    if _counts(passage) and not passage.sent_something and passage.state["error_class"] != "unknown_outcome":
        passage.also(GiveBackLimit(passage.round))


def _counts(passage: Passage) -> bool:
    rules = passage.workflow.rules
    return not passage.test and (rules.daily_limit is not None or rules.contact_daily_limit is not None)
