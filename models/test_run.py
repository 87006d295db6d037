"""Takes back what a test run wrote: nothing of it stays but its lines in the audit log."""

from __future__ import annotations

from models.database import acting_as, changed, rows
from models.refusals import Conflict


def remove(workspace_id: str, automation_id: str, contact_id: str | None) -> int:
    """Delete the automation with its test executions and all that hangs on them, and the contact; how many executions.

    Raises `Conflict` where the automation has real executions: then it is no test run's.
    """
    with acting_as(workspace_id):
        found = rows(
            "select id, trigger_id, test from executions where workspace_id = %s and automation_id = %s for update",
            (workspace_id, automation_id),
        )
        if not all(one["test"] for one in found):
            raise Conflict("This automation has real executions, so it stays.")
        ids, triggers = [one["id"] for one in found], [one["trigger_id"] for one in found]
        for table in ("stage_history", "steps", "messages"):
            changed(f"delete from {table} where execution_id = any(%s::uuid[])", (ids,))
        changed("delete from executions where id = any(%s::uuid[])", (ids,))
        changed("delete from triggers where id = any(%s::uuid[])", (triggers,))
        changed("delete from automations where workspace_id = %s and id = %s", (workspace_id, automation_id))
        if contact_id is not None:
            changed("delete from contacts where workspace_id = %s and id = %s", (workspace_id, contact_id))
    return len(found)
