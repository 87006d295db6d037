"""Follow-ups: the reasons that stop them, and how an operator stops them.

A worker checks these reasons when a follow-up is due and again right before it is sent, because a reply may arrive in
between.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from peewee import Case

from models.conversation import PRIVATE_MESSAGE_KINDS
from models.engine.rows import DueRow
from models.execution import DUE_COLUMNS, DUE_NOW
from models.expressions import acting_workspace, is_locked, now
from models.queries import fetch, fetch_first
from models.tables import Execution, WorkflowVersion
from models.tables.contacts import SuppressionReason
from rules.stages import IN_FLIGHT


class StopReasonsRow(TypedDict):
    """What may stop a follow-up: an operator's reason, why the channel is suppressed, and when the contact wrote."""

    stopped: dict[str, Any] | None
    suppressed: SuppressionReason | None
    replied_at: datetime | None


class StoppedRow(DueRow):
    """An execution whose follow-ups were stopped; it is due now if it `ends`."""

    ends: bool


# Written by hand: it runs before and during every follow-up's send.
_FETCH_STOP_REASONS = """
    select e.follow_ups_stopped as stopped,
        (select s.reason from suppressed_channels(e.workspace_id, %(contact)s) s
            where s.channel = %(channel)s) as suppressed,
        (select min(r.created_at) from received_messages r where r.contact_id = %(contact)s
            and r.created_at > %(since)s and r.kind = any(%(kinds)s)) as replied_at
    from executions e where e.id = %(execution)s
"""


def fetch_stop_reasons(execution_id: str, contact_id: str | None, channel: str, since: datetime) -> StopReasonsRow:
    """Return what may stop a follow-up on a channel; a message of the contact counts if it arrived after `since`, by
    Beckon's clock."""
    parameters = {
        "execution": execution_id,
        "contact": contact_id,
        "channel": channel,
        "since": since,
        "kinds": sorted(PRIVATE_MESSAGE_KINDS),
    }
    row = fetch_first(StopReasonsRow, _FETCH_STOP_REASONS, parameters)
    assert row is not None
    return row


def wake(contact_id: str) -> list[DueRow]:
    """Make the contact's executions due that wait for a reply, to check them again; return those to notify."""
    query = Execution.update(**DUE_NOW).where(
        Execution.contact_id == contact_id,
        Execution.wait_event.is_null(False),
        Execution.status == "waiting",
        Execution.waiting_for == "follow_up",
    )
    return fetch(DueRow, query.returning(*DUE_COLUMNS))


def stop(execution_id: str, reason: Mapping[str, Any]) -> StoppedRow | None:
    """Stop the follow-ups of an execution in flight; return it, or None if no follow-up is to come.

    A worker that processes it checks this before it sends the next one. An execution that waits for a reply, a review
    or the time of a follow-up becomes due, so that it ends now; a paused one ends when the pause does.
    """
    ends = (
        (Execution.status == "waiting")
        & (Execution.waiting_for != "pause")
        & ((Execution.round > 0) | (Execution.waiting_for == "follow_up"))
    )
    max_follow_ups = WorkflowVersion.definition.extract_text("rules", "follow_ups", "max").cast("numeric")
    target = (
        Execution.select(Execution.id, ends.alias("ends"))
        .join(WorkflowVersion, on=WorkflowVersion.id == Execution.version_id)
        .where(
            Execution.workspace_id == acting_workspace(),
            Execution.id == execution_id,
            Execution.status.in_(sorted(IN_FLIGHT)),
            max_follow_ups > 0,
        )
        .for_update(of=Execution)
        .cte("target", materialized=True)
    )
    query = (
        Execution.update(
            follow_ups_stopped=dict(reason),
            due_at=Case(None, [(target.c.ends, now())], Execution.due_at),
            notified_at=Case(None, [(target.c.ends, now())], Execution.notified_at),
        )
        .from_(target)
        .where(is_locked(Execution.id, target))
    )
    return fetch_first(StoppedRow, query.returning(*DUE_COLUMNS, target.c.ends).with_cte(target))
