"""What the health page asks of PostgreSQL about one workspace, and what a scrape asks about all of them."""

from __future__ import annotations

import time
from typing import Any

from models.database import Row, WritesRefused, acting_as, connection, row, rows, value
from models.reports.executions import error

#: So many of the newest failures are shown.
SHOWN_FAILURES = 10


def pending(workspace_id: str) -> Row:
    """Executions that are due and that nobody works on: `count`, and `oldest_seconds` since the first was due."""
    with acting_as(workspace_id):
        found = row(
            "select count(*) count, coalesce(extract(epoch from beckon_now() - min(due_at)), 0)::float8 oldest_seconds "
            "from executions where workspace_id = %s and status in ('pending', 'waiting') and due_at <= beckon_now()",
            (workspace_id,),
        )
    assert found is not None
    return found


def recent_failures(workspace_id: str) -> Row:
    """Failures of the `last_hour` and the `last24_hours`, tests left out, and the newest as `items`."""
    with acting_as(workspace_id):
        counted = row(
            "select count(*) filter (where finished_at > beckon_now() - interval '1 hour') last_hour, "
            "count(*) last24_hours from executions where workspace_id = %s and status = 'failed' and not test "
            "and finished_at > beckon_now() - interval '24 hours'",
            (workspace_id,),
        )
        newest = rows(
            "select e.id, e.automation_id, a.name automation_name, e.error_class, e.error_message, e.error_code, "
            "e.finished_at from executions e join automations a on a.id = e.automation_id "
            "where e.workspace_id = %s and e.status = 'failed' and not e.test order by e.id desc limit %s",
            (workspace_id, SHOWN_FAILURES),
        )
    for one in newest:
        one["error"] = error(one.pop("error_class"), one.pop("error_message"), one.pop("error_code"))
    return {**(counted or {}), "items": newest}


def database(workspace_id: str) -> dict[str, Any]:
    """`latency_ms` of a small question, `active_automations`, and `migration`: the newest that was applied."""
    began = time.perf_counter()
    with connection():
        value("select 1")
        latency_ms = round((time.perf_counter() - began) * 1000, 2)
    with acting_as(workspace_id):
        active = value(
            "select count(*) from automations where workspace_id = %s and enabled and deleted_at is null",
            (workspace_id,),
        )
        return {"latency_ms": latency_ms, "active_automations": active, "migration": value("select newest_migration()")}


def engine() -> Row:
    """Of the whole installation: executions `pending`, `running` and `waiting`, how many are `due`,
    `oldest_due_seconds`, and `leases_expired`. Only counts: no workspace can be told from them."""
    with connection():
        found = row("select * from engine_facts()")
    assert found is not None
    return found


def is_answering() -> bool:
    """Whether PostgreSQL answers and takes writes; if not, one of `models.database`'s connection errors is raised."""
    with connection():
        if value("select current_setting('transaction_read_only')") == "on":
            raise WritesRefused("PostgreSQL takes no writes")
    return True
