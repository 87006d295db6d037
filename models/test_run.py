"""Removes the data of a test run, except its entries in the audit log."""

from __future__ import annotations

from models.database import acting_as, execute, fetch_rows
from models.errors import Conflict


def remove(workspace_id: str, automation_id: str, contact_id: str | None) -> int:
    """Delete the automation, its test executions and their rows, and the contact; return the number of executions.

    Raises `Conflict` if the automation has real executions: then it does not belong to a test run.
    """
    with acting_as(workspace_id):
        executions = fetch_rows(
            "select id, trigger_id, test from executions where workspace_id = %s and automation_id = %s for update",
            (workspace_id, automation_id),
        )
        if not all(execution["test"] for execution in executions):
            raise Conflict("This automation has real executions, so it cannot be removed as a test run.")
        ids, triggers = (
            [execution["id"] for execution in executions],
            [execution["trigger_id"] for execution in executions],
        )
        for table in ("stage_history", "steps", "messages"):
            execute(f"delete from {table} where execution_id = any(%s::uuid[])", (ids,))
        execute("delete from executions where id = any(%s::uuid[])", (ids,))
        execute("delete from triggers where id = any(%s::uuid[])", (triggers,))
        execute("delete from automations where workspace_id = %s and id = %s", (workspace_id, automation_id))
        if contact_id is not None:
            execute("delete from contacts where workspace_id = %s and id = %s", (workspace_id, contact_id))
    return len(executions)
