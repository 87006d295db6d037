"""Health data from PostgreSQL: of one workspace for the health page, of all workspaces for a metrics scrape."""

from __future__ import annotations

import time
from typing import Any

from models.database import ReadOnlyServer, Row, acting_as, connection, fetch_row, fetch_rows, fetch_value
from models.reports.executions import describe_error

#: The most recent failures to return.
MAX_FAILURES = 10


def count_pending(workspace_id: str) -> Row:
    """Return the `count` of due executions not being processed, and `oldest_seconds` since the first was due."""
    with acting_as(workspace_id):
        row = fetch_row(
            "select count(*) count, coalesce(extract(epoch from beckon_now() - min(due_at)), 0)::float8 oldest_seconds "
            "from executions where workspace_id = %s and status in ('pending', 'waiting') and due_at <= beckon_now()",
            (workspace_id,),
        )
    assert row is not None
    return row


def fetch_recent_failures(workspace_id: str) -> Row:
    """Count the failures of the `last_hour` and the `last24_hours`, without tests; `items` are the newest."""
    with acting_as(workspace_id):
        counts = fetch_row(
            "select count(*) filter (where finished_at > beckon_now() - interval '1 hour') last_hour, "
            "count(*) last24_hours from executions where workspace_id = %s and status = 'failed' and not test "
            "and finished_at > beckon_now() - interval '24 hours'",
            (workspace_id,),
        )
        newest = fetch_rows(
            "select e.id, e.automation_id, a.name automation_name, e.error_class, e.error_message, e.error_code, "
            "e.finished_at from executions e join automations a on a.id = e.automation_id "
            "where e.workspace_id = %s and e.status = 'failed' and not e.test order by e.id desc limit %s",
            (workspace_id, MAX_FAILURES),
        )
    for failure in newest:
        failure["error"] = describe_error(
            failure.pop("error_class"), failure.pop("error_message"), failure.pop("error_code")
        )
    return {**(counts or {}), "items": newest}


def measure_database(workspace_id: str) -> dict[str, Any]:
    """Return `latency_ms` of a trivial query, `active_automations`, and `migration`: the newest applied one."""
    started = time.perf_counter()
    with connection():
        fetch_value("select 1")
        latency_ms = round((time.perf_counter() - started) * 1000, 2)
    with acting_as(workspace_id):
        active = fetch_value(
            "select count(*) from automations where workspace_id = %s and enabled and deleted_at is null",
            (workspace_id,),
        )
        return {
            "latency_ms": latency_ms,
            "active_automations": active,
            "migration": fetch_value("select newest_migration()"),
        }


def fetch_engine_counts() -> Row:
    """Return the installation's executions `pending`, `running`, `waiting` and `due`, `oldest_due_seconds`, and
    `leases_expired`. These are totals, which reveal no workspace."""
    with connection():
        row = fetch_row("select * from engine_facts()")
    assert row is not None
    return row


def is_answering() -> bool:
    """Return True if PostgreSQL accepts writes; raise one of `models.database.CONNECTION_ERRORS` if not."""
    with connection():
        if fetch_value("select current_setting('transaction_read_only')") == "on":
            raise ReadOnlyServer("PostgreSQL takes no writes")
    return True
