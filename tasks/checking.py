"""Asks the rules whether this contact may be written to now, and takes its place under the daily limits.

Test executions are judged too, so that an operator sees the verdict, but take no place.
"""

from __future__ import annotations

import metrics
from models import limits
from models.database import connection
from rules import eligibility
from rules.eligibility import Skip, Wait
from rules.plan import first_send_channel
from tasks.engine import Engine
from tasks.follow_ups import channel_of_follow_up
from tasks.passage import FIRST_ROUND, Passage
from tasks.places import give_back_place, take_place
from tasks.sending import ADDRESSES


def check(engine: Engine, passage: Passage) -> bool:
    """Judge the round; whether the passage goes on in place."""
    verdict = eligibility.judge(passage.workflow.rules, _measure(passage))
    if not isinstance(verdict, Skip | Wait):
        verdict = take_place(passage) or verdict
    if isinstance(verdict, Skip):
        metrics.eligibility_total.labels(decision="no", reason=verdict.rule).inc()
        _end(passage, verdict)
        return False
    passage.enter("eligible")
    if isinstance(verdict, Wait):
        metrics.eligibility_total.labels(decision="later", reason=verdict.rule).inc()
        passage.wait("window", verdict.until)
        return False
    metrics.eligibility_total.labels(decision="yes", reason="none").inc()
    return True


def _end(passage: Passage, verdict: Skip) -> None:
    """Nothing is sent in this round: the execution is skipped, or was a success before this follow-up."""
    if passage.round == FIRST_ROUND:
        passage.state.update(skipped_rule=verdict.rule, skipped_detail=verdict.detail)
        passage.finish("skipped", "skipped")
    else:
        passage.end_follow_ups(verdict.rule, verdict.detail)
    give_back_place(passage)


def _measure(passage: Passage) -> eligibility.Facts:
    variables, contact = passage.facts(), passage.contact or {}
    if passage.round == FIRST_ROUND:
        channel = first_send_channel(passage.workflow, passage.finished, variables)
    else:
        channel = channel_of_follow_up(passage)
    counted = _counted(passage)
    return eligibility.Facts(
        now=passage.now(),
        automation_enabled=passage.test
        or (passage.row["automation_enabled"] and not passage.row["automation_deleted"]),
        channel=channel,
        address=contact.get(ADDRESSES[channel]) if channel in ADDRESSES else None,
        suppressed=channel in passage.suppressed,
        tags=tuple(contact.get("tags") or ()),
        variables=variables,
        contact_zone=contact.get("timezone"),
        workspace_zone=passage.row["workspace_timezone"],
        in_flight=counted.get("in_flight"),
        entries=counted.get("entries"),
        messages_in_window=counted.get("messages_in_window"),
    )


def _counted(passage: Passage) -> dict[str, int]:
    """What only the database can count, where a rule asks for it."""
    rules, contact_id = passage.workflow.rules, passage.row["contact_id"]
    # Who is written to again is in already.
    enters = rules.reentry != "always" and passage.round == FIRST_ROUND
    if contact_id is None or not (enters or rules.frequency_cap):
        return {}
    counted: dict[str, int] = {}
    with connection():
        if enters:
            counted["in_flight"], counted["entries"] = limits.other_executions(
                passage.execution_id, passage.row["automation_id"], contact_id
            )
        if rules.frequency_cap is not None:
            counted["messages_in_window"] = limits.messages_in(contact_id, rules.frequency_cap.per_seconds)
    return counted
