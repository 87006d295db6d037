"""Removes rows past their retention period, in small batches, and never rows in flight.

Finished executions are added to their automation's archived columns before deletion, so that a counter always equals
archived counts plus rows. The stage history is dropped by month and runs by day: dropping a partition costs nothing.
"""

from __future__ import annotations

from models import webhook_token
from models.database import execute, fetch_row, fetch_value, transaction

#: Retention of real executions; that of tests is shorter.
KEEP_DAYS = 90
KEEP_TEST_DAYS = 7
#: Raw callbacks are kept to answer questions about deliveries.
KEEP_CALLBACK_DAYS = 30
#: A comment accepts a private reply for seven days; later ones are rejected by the comment's age.
KEEP_PRIVATE_REPLY_DAYS = 14
#: Executions removed by one transaction, few enough to hold no lock for long.
BATCH_SIZE = 1_000
#: Batches in one run; the next run continues.
MAX_BATCHES = 50


def run_once() -> dict[str, int]:
    """Remove expired rows; return the counts by kind."""
    counts = {"executions": 0}
    with transaction():
        counts["partitions_made"] = int(fetch_value("select ensure_history_partitions(3)"))
        counts["partitions_dropped"] = int(
            fetch_value("select drop_history_partitions(beckon_now() - make_interval(days => %s))", (KEEP_DAYS,))
        )
    counts |= _rotate_run_partitions()
    for _ in range(MAX_BATCHES):
        with transaction():
            removed = _remove_executions()
        counts["executions"] += removed
        if removed < BATCH_SIZE:
            break
    with transaction():
        return counts | _remove_expired_rows() | {"triggers": _remove_triggers()}


def _rotate_run_partitions() -> dict[str, int]:
    """Create run partitions ahead, and archive and drop old ones, in separate transactions because of their locks."""
    with transaction():
        created = int(fetch_value("select ensure_run_partitions(7)"))
    with transaction():
        dropped = fetch_row("select * from drop_run_partitions(beckon_now() - make_interval(days => %s))", (KEEP_DAYS,))
    assert dropped is not None
    return {"run_days_made": created, "run_days_dropped": dropped["days"], "runs": int(dropped["runs"])}


def _remove_expired_rows() -> dict[str, int]:
    """Remove expired auxiliary rows. A limit reservation stays as long as its execution may use it."""
    kept_days = (KEEP_CALLBACK_DAYS,)
    return {
        "keys": execute("delete from idempotency_keys where created_at < beckon_now() - interval '24 hours'"),
        "sessions": execute("delete from sessions where not session_lasts(expires_at, used_at)"),
        "invitations": execute("delete from invitations where expires_at < beckon_now()"),
        "password_resets": execute("delete from password_resets where expires_at < beckon_now()"),
        "callbacks": execute(
            "delete from inbound_events where processed_at is not null "
            "and received_at < beckon_now() - make_interval(days => %s)",
            kept_days,
        ),
        "received": execute(
            "delete from received_messages where at < beckon_now() - make_interval(days => %s)", (KEEP_DAYS,)
        ),
        "webhook_tokens": webhook_token.remove_expired(),
        "windows": execute("delete from run_windows where counted_at < beckon_now() - interval '1 hour'"),
        "private_replies": execute(
            "delete from private_replies where created_at < beckon_now() - make_interval(days => %s)",
            (KEEP_PRIVATE_REPLY_DAYS,),
        ),
        "limits": execute("delete from limit_counts where day < beckon_now()::date - 2"),
        "places": execute(
            "delete from limit_reservations r where day < beckon_now()::date - 2 and not exists "
            "(select 1 from executions e where e.id = r.execution_id and e.finished_at is null)"
        ),
        "cap_reservations": execute(
            "delete from cap_reservations p where taken_at < beckon_now() - interval '2 days' and not exists "
            "(select 1 from executions e where e.id = p.execution_id and e.finished_at is null)"
        ),
    }


def _remove_triggers() -> int:
    """Remove triggers whose executions are gone; a trigger's `answer` names its executions, so no index is needed."""
    return execute(
        """
        delete from triggers where id in (
            select t.id from triggers t
            where t.created_at < beckon_now() - make_interval(days => %s) and not exists (
                select 1 from jsonb_array_elements(t.answer->'executions') started
                join executions e on e.id = (started->>'executionId')::uuid)
            limit %s)
        """,
        (KEEP_DAYS, BATCH_SIZE),
    )


def _remove_executions() -> int:
    row = fetch_row(
        """
        with old as materialized (
            select e.id, e.automation_id, e.status, e.test from executions e
            where e.finished_at < beckon_now() - make_interval(days => case when e.test then %(test)s else %(real)s end)
                and e.finished_at < beckon_now() - make_interval(days => %(test)s)
            order by e.finished_at limit %(batch)s for update skip locked
        ), archived as (
            update automations a set
                archived_executions = a.archived_executions + o.executions,
                archived_succeeded = a.archived_succeeded + o.succeeded,
                archived_failed = a.archived_failed + o.failed,
                archived_skipped = a.archived_skipped + o.skipped,
                archived_cancelled = a.archived_cancelled + o.cancelled
            from (
                select automation_id, count(*) as executions,
                    count(*) filter (where status = 'succeeded') as succeeded,
                    count(*) filter (where status = 'failed') as failed,
                    count(*) filter (where status = 'skipped') as skipped,
                    count(*) filter (where status = 'cancelled') as cancelled
                from old where not test group by automation_id
            ) o where a.id = o.automation_id
        ), stepped as (
            delete from steps s using old where s.execution_id = old.id
        ), written as (
            delete from messages m using old where m.execution_id = old.id
        ), passed as (
            delete from stage_history h using old where h.execution_id = old.id
        ), gone as (
            delete from executions e using old where e.id = old.id returning e.id
        )
        select count(*) as removed from gone
        """,
        {"test": KEEP_TEST_DAYS, "real": KEEP_DAYS, "batch": BATCH_SIZE},
    )
    assert row is not None
    return int(row["removed"])
