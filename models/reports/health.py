"""What the health page asks of PostgreSQL about one workspace, and what a scrape asks about all of them."""

from __future__ import annotations

import time
from typing import Any

from models.database import ReadOnlyServer, Row, acting_as, connection, fetch_row, fetch_rows, fetch_value
from models.reports.executions import describe_error

#: So many of the newest failures are shown.
MAX_FAILURES = 10


def count_pending(workspace_id: str) -> Row:
    """Executions that are due and that nobody works on: `count`, and `oldest_seconds` since the first was due."""
    with acting_as(workspace_id):
        row = fetch_row(
            "select count(*) count, coalesce(extract(epoch from beckon_now() - min(due_at)), 0)::float8 oldest_seconds "
            "from executions where workspace_id = %s and status in ('pending', 'waiting') and due_at <= beckon_now()",
            (workspace_id,),
        )
    assert row is not None
    return row


def fetch_recent_failures(workspace_id: str) -> Row:
    """Failures of the `last_hour` and the `last24_hours`, tests left out, and the newest as `items`."""
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
    """`latency_ms` of a small question, `active_automations`, and `migration`: the newest that was applied."""
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
    """Of the whole installation: executions `pending`, `running` and `waiting`, how many are `due`,
    `oldest_due_seconds`, and `leases_expired`. Only counts: no workspace can be told from them."""
    with connection():
        row = fetch_row("select * from engine_facts()")
    assert row is not None
    return row


def is_answering() -> bool:
    """Whether PostgreSQL answers and takes writes; if not, one of `models.database`'s connection errors is raised."""
    with connection():
        if fetch_value("select current_setting('transaction_read_only')") == "on":
            raise ReadOnlyServer("PostgreSQL takes no writes")
    return True
