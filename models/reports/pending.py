"""Due executions that wait for a worker, longest first, in all stages."""

from __future__ import annotations

from models.database import Row, acting_as, fetch_rows


def list_due(workspace_id: str, limit: int) -> list[Row]:
    """Return at most `limit` due executions of a workspace: id, automation_name, contact_name, status, stage, queue,
    due_at, and overdue_seconds."""
    with acting_as(workspace_id):
        return fetch_rows(
            """
            select e.id, e.automation_id, a.name automation_name, e.contact_id,
                nullif(trim(concat_ws(' ', c.first_name, c.last_name)), '') contact_name, e.status, e.stage, e.queue,
                e.due_at, extract(epoch from beckon_now() - e.due_at)::float8 overdue_seconds
            from executions e join automations a on a.id = e.automation_id left join contacts c on c.id = e.contact_id
            where e.workspace_id = %s and e.status in ('pending', 'waiting') and e.due_at <= beckon_now()
            order by e.due_at, e.id limit %s
            """,
            (workspace_id, limit),
        )
