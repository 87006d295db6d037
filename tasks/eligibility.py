"""Checks whether the rules allow messaging this contact now, and reserves its share of the daily limits.

Test executions are checked too, so that an operator sees the verdict, but reserve nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import metrics
from models.database import connection
from models.engine import limits
from rules import eligibility
from rules.channels import ADDRESS_FIELDS, CONVERSATION_CHANNELS
from rules.eligibility import Skip, Wait
from rules.plan import find_first_message_kind, find_first_send_channel
from tasks.runtime import moves
from tasks.runtime.claimed_execution import FIRST_ROUND, ClaimedExecution
from tasks.runtime.engine import Engine
from tasks.steps import direct_messages
from tasks.steps.direct_messages import TO_COMMENT
from tasks.steps.email_consent import is_suppressed
from tasks.steps.follow_ups import find_follow_up_channel, list_follow_up_steps
from tasks.steps.limit_reservations import release_daily_limits, reserve_daily_limits, reserve_frequency_cap


def check(engine: Engine, claimed: ClaimedExecution) -> bool:
    """Check the round; return whether the execution continues in place."""
    verdict = eligibility.evaluate(claimed.workflow.rules, build_facts(engine, claimed))
    if not isinstance(verdict, Skip | Wait):
        verdict = reserve_frequency_cap(claimed) or reserve_daily_limits(claimed) or verdict
    if isinstance(verdict, Skip):
        metrics.eligibility_total.labels(decision="no", reason=verdict.rule).inc()
        _end_round(claimed, verdict)
        return False
    moves.enter(claimed, "eligible")
    if isinstance(verdict, Wait):
        metrics.eligibility_total.labels(decision="later", reason=verdict.rule).inc()
        moves.wait(claimed, "window", verdict.until)
        return False
    metrics.eligibility_total.labels(decision="yes", reason="none").inc()
    return True


def _end_round(claimed: ClaimedExecution, verdict: Skip) -> None:
    """End a round that sends nothing: the execution is skipped, or succeeds where this is a follow-up."""
    if claimed.round == FIRST_ROUND:
        claimed.state.update({"skipped_rule": verdict.rule, "skipped_detail": verdict.detail})
        moves.finish(claimed, "skipped", "skipped")
    else:
        moves.end_follow_ups(claimed, verdict.rule, verdict.detail)
    release_daily_limits(claimed)


def build_facts(engine: Engine, claimed: ClaimedExecution) -> eligibility.Facts:
    """Measure what the rules need of this round."""
    variables, contact = claimed.build_facts(), claimed.contact or {}
    if claimed.round == FIRST_ROUND:
        channel = find_first_send_channel(claimed.workflow, claimed.finished_outputs, variables)
    else:
        channel = find_follow_up_channel(claimed)
    kind = _find_first_message_kind(claimed, variables, through_waits=True)
    counts = _count_usage(claimed)
    return eligibility.Facts(
        now=claimed.now(),
        automation_enabled=claimed.test
        or (claimed.row["automation_enabled"] and not claimed.row["automation_deleted"]),
        has_contact=claimed.contact is not None,
        # Where the paths ahead differ in their kind of message, each send checks for itself.
        channel=channel if kind else None,
        address=kind
        if kind in TO_COMMENT
        else contact.get(ADDRESS_FIELDS[channel])
        if channel in ADDRESS_FIELDS
        else None,
        suppressed=is_suppressed(claimed, channel),
        delivery_skip=_find_meta_refusal(engine, claimed, channel, variables),
        tags=tuple(contact.get("tags") or ()),
        variables=variables,
        contact_zone=contact.get("timezone"),
        workspace_zone=claimed.row["workspace_timezone"],
        in_flight=counts.get("in_flight"),
        entries=counts.get("entries"),
        messages_in_window=counts.get("messages_in_window"),
        loop_depth=claimed.row["loop_depth"],
    )


def _find_meta_refusal(
    engine: Engine, claimed: ClaimedExecution, channel: str | None, variables: Mapping[str, object]
) -> Skip | None:
    """Return why Meta would refuse the round's first message, unless the round waits before it."""
    if channel not in CONVERSATION_CHANNELS:
        return None
    kind = _find_first_message_kind(claimed, variables, through_waits=False)
    if kind is None:
        return None
    sender = direct_messages.load_sender(engine.settings, claimed, channel)
    return direct_messages.find_refusal(claimed, channel, kind, sender)


def _find_first_message_kind(
    claimed: ClaimedExecution, variables: Mapping[str, object], *, through_waits: bool
) -> str | None:
    """Return the kind of this round's first message, where it can be determined."""
    if claimed.round == FIRST_ROUND:
        return find_first_message_kind(
            claimed.workflow, claimed.finished_outputs, variables, through_waits=through_waits
        )
    steps = list_follow_up_steps(claimed)
    return steps[-1].message_kind if steps else None


def _count_usage(claimed: ClaimedExecution) -> dict[str, int]:
    """Count what only the database knows, where a rule requires it."""
    rules, contact_id = claimed.workflow.rules, claimed.row["contact_id"]
    # A follow-up is no new entry.
    is_entry = rules.reentry != "always" and claimed.round == FIRST_ROUND
    if contact_id is None or not (is_entry or rules.frequency_cap):
        return {}
    counts: dict[str, int] = {}
    with connection():
        if is_entry:
            counts["in_flight"], counts["entries"] = limits.count_other_executions(
                claimed.execution_id, claimed.row["automation_id"], contact_id
            )
        if rules.frequency_cap is not None:
            counts["messages_in_window"] = limits.count_messages(contact_id, rules.frequency_cap.per_seconds)
    return counts
