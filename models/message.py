"""Messages: found by key or provider id, advanced by callbacks, and resolved after an unknown outcome.

A status never moves backwards: a late "sent" does not undo a "delivered".
"""

from __future__ import annotations

import json
from datetime import datetime

from models.database import Row, execute, fetch_row, fetch_rows
from models.execution import RECORD_STAGE_HISTORY

#: How far along each status is; a callback moves a message forward only.
ORDER = {"sending": 0, "outcome_unknown": 0, "sent": 1, "delivered": 2, "read": 3, "bounced": 4, "complained": 5}


def find(provider: str, provider_message_id: str | None, key: str | None) -> Row | None:
    """Find a callback's message by Beckon's key or by the provider's id, and lock it.

    The lock serializes two callbacks of one message.
    """
    if key:
        row = fetch_row("select * from messages where key = %s and provider = %s for update", (key, provider))
        if row is not None:
            return row
    if not provider_message_id:
        return None
    return fetch_row(
        "select * from messages where provider = %s and provider_message_id = %s for update",
        (provider, provider_message_id),
    )


def advance(message_id: str, status: str) -> bool:
    """Move a message forward to a callback's status; return False if it was already there or further."""
    earlier_statuses = [name for name, position in ORDER.items() if position < ORDER[status]]
    return bool(
        execute(
            "update messages set status = %s, updated_at = beckon_now(), sent_at = coalesce(sent_at, beckon_now()), "
            "look_up_at = null where id = %s and status = any(%s)",
            (status, message_id, earlier_statuses),
        )
    )


def advance_until(provider: str, contact_id: str, status: str, until: datetime, *, sandbox_only: bool = False) -> int:
    """Move forward all messages sent to this contact up to a moment; return how many.

    `sandbox_only` limits this to messages sent to the sandbox.
    """
    earlier_statuses = [name for name, position in ORDER.items() if 0 < position < ORDER[status]]
    return execute(
        "update messages set status = %s, updated_at = beckon_now() where contact_id = %s and provider = %s "
        "and sent_at <= %s and status = any(%s) and (sandbox or not %s)",
        (status, contact_id, provider, until, earlier_statuses, sandbox_only),
    )


def find_unresolved(provider: str, contact_id: str, text: str) -> Row | None:
    """Find and lock the oldest message to a contact with exactly this text and an unknown outcome."""
    return fetch_row(
        "select * from messages where contact_id = %s and provider = %s and btrim(body) = btrim(%s) and not test "
        "and status in ('outcome_unknown', 'sending') and provider_message_id is null "
        "order by id limit 1 for update",
        (contact_id, provider, text),
    )


def get_for_update(message_id: str) -> Row | None:
    """Return one message of the acting workspace, locked until the transaction ends."""
    return fetch_row(
        "select * from messages where workspace_id = acting_workspace() and id = %s for update", (message_id,)
    )


def get(message_id: str) -> Row | None:
    """Return one message of any workspace."""
    return fetch_row("select * from messages where id = %s", (message_id,))


def claim_due_reconciliations(limit: int) -> list[str]:
    """Return messages of unknown outcome whose reconciliation is due, each postponed so that one caller has it."""
    rows = fetch_rows(
        """
        with due as materialized (
            select id from messages where look_up_at <= beckon_now() and status = 'outcome_unknown'
            order by look_up_at limit %s for update skip locked
        )
        update messages m set look_up_at = beckon_now() + interval '5 minutes' from due d where m.id = d.id
        returning m.id
        """,
        (limit,),
    )
    return [row["id"] for row in rows]


def record_reconciliation_attempt(message_id: str, next_in_seconds: float | None) -> None:
    """Count a reconciliation attempt without a result; None for `next_in_seconds` schedules no other."""
    execute(
        "update messages set look_ups = look_ups + 1, updated_at = beckon_now(), "
        "look_up_at = beckon_now() + make_interval(secs => %s) where id = %s and status = 'outcome_unknown'",
        (next_in_seconds, message_id),
    )


def resolve_sent(message_id: str, provider_message_id: str | None, status: str = "sent") -> Row | None:
    """Resolve a message as sent: its step succeeds and its execution continues.

    Returns the execution's id and queue, or None if the message was already resolved.
    """
    resolved = execute(
        "update messages set status = %s, provider_message_id = coalesce(%s, provider_message_id), "
        "sent_at = coalesce(sent_at, sending_at, beckon_now()), look_up_at = null, error_class = null, "
        "error_message = null, updated_at = beckon_now() where id = %s and status in ('outcome_unknown', 'sending')",
        (status, provider_message_id, message_id),
    )
    if not resolved:
        return None
    output = {"messageId": message_id, "providerMessageId": provider_message_id, "resolved": True}
    execute(
        "update steps s set status = 'succeeded', output = %s::jsonb, error = null, finished_at = beckon_now() "
        "from messages m where m.id = %s and s.execution_id = m.execution_id and s.step_id = m.step_id "
        "and s.round = m.round",
        (json.dumps(output), message_id),
    )
    return _reopen(message_id, "sent")


def resolve_resend(message_id: str) -> Row | None:
    """Send a message again with the same key; return its execution's id and queue, or None if already resolved."""
    resolved = execute(
        "update messages set status = 'pending', resends = resends + 1, look_up_at = null, updated_at = beckon_now() "
        "where id = %s and status = 'outcome_unknown'",
        (message_id,),
    )
    return _reopen(message_id, "ready_to_send") if resolved else None


def approve(message_id: str, body: str | None) -> Row | None:
    """Approve a message in review, with `body` as its new text unless None.

    Returns its execution's id and queue, or None if the execution is not waiting.
    """
    return _decide(message_id, "status = 'pending', body = coalesce(%(text)s, m.body)", body)


def reject(message_id: str, reason: str) -> Row | None:
    """Reject a message in review; return its execution's id and queue, or None if the execution is not waiting."""
    return _decide(message_id, "status = 'discarded', error_message = %(text)s", reason)


def _decide(message_id: str, change: str, text: str | None) -> Row | None:
    """Change a reviewed message and make its execution due; a paused one continues when the pause ends.

    The execution must be waiting: a worker that processes it has the old message in memory.
    """
    return fetch_row(
        f"""
        with reviewed as materialized (
            select e.id from executions e join messages m on m.execution_id = e.id
            where m.id = %(message)s and m.status = 'review' and e.status = 'waiting' for update of e
        ), decided as (
            update messages m set {change}, updated_at = beckon_now() from reviewed
            where m.id = %(message)s and m.execution_id = reviewed.id and m.status = 'review'
            returning m.execution_id
        )
        update executions e set
            waiting_for = case when e.waiting_for = 'review' then 'time' else e.waiting_for end,
            due_at = case when e.waiting_for = 'review' then beckon_now() else e.due_at end,
            rung_at = beckon_now()
        from decided where e.id = decided.execution_id
        returning e.id, e.queue
        """,
        {"message": message_id, "text": text},
    )


def _reopen(message_id: str, stage: str) -> Row | None:
    """Continue the failed execution of this message from `stage`; a notice does not change the stage."""
    return fetch_row(
        f"""
        with target as materialized (
            select e.id, e.stage, e.stage_since from executions e join messages m on m.execution_id = e.id
            where m.id = %(message)s and e.status = 'failed' and e.error_class = 'unknown_outcome' for update of e
        ), moved as (
            update executions e set status = 'waiting', waiting_for = 'time', due_at = beckon_now(),
                rung_at = beckon_now(), finished_at = null, execution_time_ms = null, deliveries = 0,
                error_class = null, error_message = null, error_code = null, failed_step = null, next_retry_at = null,
                stage = (select case when m.channel in ('slack', 'discord', 'webhook')
                    then coalesce(e.resume_stage, 'eligible') else %(stage)s end
                    from messages m where m.id = %(message)s),
                stage_since = beckon_now()
            from target t where e.id = t.id
            returning e.id, e.queue, e.workspace_id, e.automation_id, e.test, e.stage, t.stage as stage_before,
                t.stage_since as since_before
        ), history as ({RECORD_STAGE_HISTORY}), counted as materialized (
            select increment_automation_metrics(automation_id, 0, -1, 0, 0, null) from moved where not test
        )
        select id, queue, (select count(*) from counted) from moved
        """,
        {"message": message_id, "stage": stage},
    )


def discard(message_id: str) -> None:
    """Discard a message of unknown outcome, whatever the state of its execution."""
    execute(
        "update messages set status = 'discarded', look_up_at = null, updated_at = beckon_now() "
        "where id = %s and status = 'outcome_unknown'",
        (message_id,),
    )


def record_failure(message_id: str, reason: str) -> None:
    """Record that the provider accepted a message and failed to deliver it."""
    execute(
        "update messages set status = 'failed', error_message = %s, updated_at = beckon_now() "
        "where id = %s and status in ('sent', 'sending', 'outcome_unknown')",
        (reason, message_id),
    )
