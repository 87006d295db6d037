"""Moves of executions outside the workers: wake-ups, operator actions and sweeps.

Each move is one UPDATE that names the state it leaves; rows in another state stay unchanged. Every statement locks
rows in the order of their ids and returns the rows that it moved.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from models.database import Row, fetch_row, fetch_rows
from models.engine.limits import ALL_CONTACTS

#: Used with an UPDATE in a CTE named `moved`.
RECORD_STAGE_HISTORY = """
    insert into stage_history (execution_id, workspace_id, automation_id, test, from_stage, from_ms, stage, entered_at)
    select m.id, m.workspace_id, m.automation_id, m.test, m.stage_before,
        greatest(0, extract(epoch from beckon_now() - m.since_before) * 1000)::bigint, m.stage, beckon_now()
    from moved m where m.stage <> m.stage_before
"""


def wake_for_events(events: Sequence[tuple[str, str]], *, tests_only: bool = False) -> list[Row]:
    """Make executions due that wait for one of these (contact id, event) pairs; return ids and queues to notify.

    `tests_only` limits this to test executions.
    """
    payload = json.dumps([{"contact_id": contact_id, "event": event} for contact_id, event in events])
    return fetch_rows(
        """
        update executions e set due_at = beckon_now(), event_at = beckon_now(), rung_at = beckon_now()
        from json_to_recordset(%s::json) as input(contact_id uuid, event text)
        where e.contact_id = input.contact_id and e.wait_event = input.event and e.status = 'waiting'
            and e.waiting_for in ('event', 'follow_up') and (e.test or not %s)
        returning e.id, e.queue
        """,
        (payload, tests_only),
    )


def find_started_within(contact_id: str, seconds: Mapping[str, float]) -> set[str]:
    """Return those of these automations that started an execution for the contact within the last `seconds` of each.

    Skipped, cancelled and test executions do not count. The caller locks the contact, so that two concurrent triggers
    cannot both find nothing.
    """
    rows = fetch_rows(
        """
        select distinct e.automation_id from executions e
        join json_each_text(%s::json) as input(automation_id, seconds) on input.automation_id::uuid = e.automation_id
        where e.contact_id = %s and not e.test and e.status not in ('skipped', 'cancelled')
            and e.created_at > beckon_now() - make_interval(secs => input.seconds::float8)
        """,
        (json.dumps(dict(seconds)), contact_id),
    )
    return {row["automation_id"] for row in rows}


def retry(condition: str, parameters: Sequence[Any]) -> list[Row]:
    """Retry failed executions, and those waiting for their next retry, now; return ids and queues.

    Executions with an unknown outcome are not retried: their message is resolved instead. A failed execution leaves
    its automation's counters and is counted again when it ends.
    """
    return fetch_rows(
        f"""
        with target as materialized (
            select e.id, e.status from executions e
            where ({condition}) and e.stage = 'failed' and e.status in ('failed', 'waiting')
                and e.error_class is distinct from 'unknown_outcome'
            order by e.id for update
        ), moved as (
            update executions e set status = 'waiting', waiting_for = 'retry', due_at = beckon_now(),
                rung_at = beckon_now(), next_retry_at = beckon_now(), finished_at = null, execution_time_ms = null,
                deliveries = 0
            from target t where e.id = t.id
            returning e.id, e.queue, e.automation_id, e.test, t.status as status_before
        ), counted as materialized ({_build_decrement_sql("failed")})
        select m.id, m.queue, (select count(*) from counted) from moved m order by m.id
        """,
        parameters,
    )


def _build_decrement_sql(status: str) -> str:
    return f"""
        select increment_automation_metrics(o.automation_id, 0, -o.ended, 0, 0, null) from (
            select automation_id, count(*)::integer as ended from moved
            where status_before = '{status}' and not test group by automation_id order by automation_id
        ) o
    """


def cancel(condition: str, parameters: Sequence[Any], rule: str, detail: Mapping[str, Any]) -> list[str]:
    """Cancel executions in flight, with `rule` as the reason; return their ids.

    The fence rejects the next record of a worker that is processing one. A message that is being sent becomes unknown:
    it may have been sent.
    """
    return _end(
        f"({condition}) and e.status in ('pending', 'running', 'waiting')", parameters, rule, detail, was_failed=False
    )


def discard(condition: str, parameters: Sequence[Any], detail: Mapping[str, Any]) -> list[str]:
    """Discard failed executions, which cannot be retried afterwards; return their ids."""
    return _end(f"({condition}) and e.status = 'failed'", parameters, "discarded", detail, was_failed=True)


def _end(
    condition: str, parameters: Sequence[Any], rule: str, detail: Mapping[str, Any], *, was_failed: bool
) -> list[str]:
    rows = fetch_rows(
        f"""
        with target as materialized (
            select e.id, e.stage, e.stage_since from executions e where {condition} order by e.id for update
        ), moved as (
            update executions e set status = 'cancelled', stage = 'skipped', stage_since = beckon_now(),
                skipped_rule = %s, skipped_detail = %s::jsonb, finished_at = beckon_now(), fence = e.fence + 1,
                lease_owner = null, lease_until = null, due_at = null, waiting_for = null, wait_event = null,
                next_retry_at = null,
                execution_time_ms = (extract(epoch from beckon_now() - e.started_at) * 1000)::bigint
            from target t where e.id = t.id
            returning e.id, e.workspace_id, e.automation_id, e.test, e.stage, t.stage as stage_before,
                t.stage_since as since_before
        ), history as ({RECORD_STAGE_HISTORY}), unsent as (
            update messages m set updated_at = beckon_now(),
                status = case when m.status = 'sending' then 'outcome_unknown' else 'discarded' end
            from moved where m.execution_id = moved.id
                and m.status in ('pending', 'review', 'sending', 'failed', 'outcome_unknown')
        ), released as (
            delete from limit_reservations r using moved where r.execution_id = moved.id and not exists (
                select 1 from messages m where m.execution_id = r.execution_id and m.round = r.round
                    and (m.sent_at is not null or m.status in ('sending', 'outcome_unknown')))
            returning r.automation_id, r.contact_id, r.day
        ), decremented as (
            update limit_counts c set count = c.count - r.reservations from (
                select automation_id, day, holder, count(*) as reservations
                from released cross join lateral (
                    select contact_id as holder union select '{ALL_CONTACTS}'::uuid) h
                group by automation_id, day, holder
            ) r where c.automation_id = r.automation_id and c.day = r.day and c.contact_id = r.holder
        ), counted as materialized (
            select increment_automation_metrics(o.automation_id, 0, -o.failed, 0, o.ended, beckon_now()) from (
                select automation_id, count(*)::integer as ended,
                    {"count(*)::integer" if was_failed else "0"} as failed
                from moved where not test group by automation_id order by automation_id
            ) o
        )
        select m.id, (select count(*) from counted) from moved m order by m.id
        """,
        (*parameters, rule, json.dumps(dict(detail))),
    )
    return [row["id"] for row in rows]


def fetch_status(execution_id: str) -> str | None:
    """Return the status of one execution of the acting workspace, or None if there is none with that id."""
    row = fetch_row(
        "select status, error_class from executions where workspace_id = acting_workspace() and id = %s",
        (execution_id,),
    )
    if row is None:
        return None
    is_unknown = row["status"] == "failed" and row["error_class"] == "unknown_outcome"
    return "unknown_outcome" if is_unknown else str(row["status"])


def resume_paused(condition: str, parameters: Sequence[Any]) -> list[Row]:
    """Make executions due that waited for a pause or a configuration error; return ids and queues."""
    return fetch_rows(
        f"""
        update executions e set due_at = beckon_now(), rung_at = beckon_now(), waiting_for = 'time'
        where ({condition}) and e.status = 'waiting' and e.waiting_for in ('pause', 'configuration')
        returning e.id, e.queue
        """,
        parameters,
    )


def resume_after_ended_pauses(limit: int) -> list[Row]:
    """Make executions due that still wait for a pause that has ended; return ids and queues.

    Their worker read the pause before its end and recorded the wait after it. An execution whose own call was refused
    is not included: it becomes due in an hour, or when the credentials change.
    """
    return fetch_rows(
        """
        with target as materialized (
            select e.id from executions e join automations a on a.id = e.automation_id
            where e.status = 'waiting' and e.waiting_for in ('pause', 'configuration') and a.paused_at is null
                and (e.waiting_for = 'pause' or e.error_class is distinct from 'configuration')
                and not exists (select 1 from pauses p where p.workspace_id = e.workspace_id
                    and (p.kind = 'provider' or p.name = e.queue))
            order by e.id limit %s for update of e skip locked
        )
        update executions e set due_at = beckon_now(), rung_at = beckon_now(), waiting_for = 'time'
        from target t where e.id = t.id returning e.id, e.queue
        """,
        (limit,),
    )


def mark_due_notified(condition: str, parameters: Sequence[Any], limit: int) -> list[Row]:
    """Mark due executions as notified, longest due first; return ids and queues."""
    return fetch_rows(
        f"""
        with target as materialized (
            select e.id from executions e
            where ({condition}) and e.status in ('pending', 'waiting') and e.due_at <= beckon_now()
            order by e.due_at limit %s for update skip locked
        )
        update executions e set rung_at = beckon_now() from target t where e.id = t.id returning e.id, e.queue
        """,
        (*parameters, limit),
    )


def mark_elapsed_waits_notified(limit: int) -> list[Row]:
    """Mark waits notified that became due since their last notification: each is returned once."""
    return mark_due_notified("e.status = 'waiting' and e.rung_at < e.due_at", (), limit)


def mark_lost_notifications(older_than_seconds: float, queue: str, limit: int) -> list[Row]:
    """Mark executions of a queue notified again that are still due `older_than_seconds` after their notification."""
    return mark_due_notified(
        "e.queue = %s and e.rung_at < beckon_now() - make_interval(secs => %s)", (queue, older_than_seconds), limit
    )


def count_lost_notifications(older_than_seconds: float) -> dict[str, int]:
    """Count, by queue, the due executions whose notification is older than this."""
    rows = fetch_rows(
        """
        select queue, count(*) as count from executions
        where status in ('pending', 'waiting') and due_at <= beckon_now()
            and rung_at < beckon_now() - make_interval(secs => %s)
        group by queue
        """,
        (older_than_seconds,),
    )
    return {row["queue"]: row["count"] for row in rows}


def find_expired_leases(limit: int) -> list[Row]:
    """Find running executions with an expired lease, whose worker is dead or lost; return ids and queues."""
    return fetch_rows(
        """
        select id, queue from executions where status = 'running' and lease_until <= beckon_now()
        order by lease_until limit %s
        """,
        (limit,),
    )
