"""Asks the rules whether this contact may be written to now, and takes its place under the daily limits.

Test executions are judged too, so that an operator sees the verdict, but take no place.
"""

from __future__ import annotations

from collections.abc import Mapping

import metrics
from models import limits
from models.database import connection
from rules import eligibility
from rules.eligibility import Skip, Wait
from rules.plan import first_send_channel, first_send_way
from tasks import direct_messages
from tasks.channels import ADDRESSES
from tasks.direct_messages import TO_COMMENT
from tasks.engine import Engine
from tasks.follow_ups import channel_of_follow_up, steps_of_follow_up
from tasks.passage import FIRST_ROUND, Passage
from tasks.places import enter_cap, give_back_place, take_place


def check(engine: Engine, passage: Passage) -> bool:
    """Judge the round; whether the passage goes on in place."""
    verdict = eligibility.judge(passage.workflow.rules, _measure(engine, passage))
    if not isinstance(verdict, Skip | Wait):
        verdict = enter_cap(passage) or take_place(passage) or verdict
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


def _measure(engine: Engine, passage: Passage) -> eligibility.Facts:
    variables, contact = passage.facts(), passage.contact or {}
    if passage.round == FIRST_ROUND:
        channel = first_send_channel(passage.workflow, passage.finished, variables)
    else:
        channel = channel_of_follow_up(passage)
    way = _first_way(passage, variables, through_waits=True)
    counted = _counted(passage)
    return eligibility.Facts(
        now=passage.now(),
        automation_enabled=passage.test
        or (passage.row["automation_enabled"] and not passage.row["automation_deleted"]),
        # Where the ways ahead disagree, each send looks for itself.
        channel=channel if way else None,
        address=way if way in TO_COMMENT else contact.get(ADDRESSES[channel]) if channel in ADDRESSES else None,
        suppressed=channel in passage.suppressed,
        refused=_refused(engine, passage, channel, variables),
        tags=tuple(contact.get("tags") or ()),
        variables=variables,
        contact_zone=contact.get("timezone"),
        workspace_zone=passage.row["workspace_timezone"],
        in_flight=counted.get("in_flight"),
        entries=counted.get("entries"),
        messages_in_window=counted.get("messages_in_window"),
    )


def _refused(engine: Engine, passage: Passage, channel: str | None, variables: Mapping[str, object]) -> Skip | None:
    """Why Meta would not take the round's first message, where nothing is waited for before it."""
    if channel not in direct_messages.CHANNELS:
        return None
    way = _first_way(passage, variables, through_waits=False)
    if way is None:
        return None
    sender = direct_messages.sender_of(engine.settings, passage, channel)
    return direct_messages.refused(passage, channel, way, sender)


def _first_way(passage: Passage, variables: Mapping[str, object], *, through_waits: bool) -> str | None:
    """How the first message of this round goes, where that can be told."""
    if passage.round == FIRST_ROUND:
        return first_send_way(passage.workflow, passage.finished, variables, through_waits=through_waits)
    steps = steps_of_follow_up(passage)
    return steps[-1].way if steps else None


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
