"""Removes the data of a test run, except its entries in the audit log."""

from __future__ import annotations

from typing import TypedDict

from models.database import acting_as
from models.errors import Conflict
from models.expressions import is_any
from models.queries import execute, fetch
from models.tables import Automation, Contact, Execution, Message, StageHistory, Step, Trigger


class _ExecutionRow(TypedDict):
    id: str
    trigger_id: str
    test: bool


def remove(workspace_id: str, automation_id: str, contact_id: str | None) -> int:
    """Delete the automation, its test executions and their rows, and the contact; return the number of executions.

    Raises `Conflict` if the automation has real executions: then it does not belong to a test run.
    """
    with acting_as(workspace_id):
        executions = fetch(
            _ExecutionRow,
            Execution.select(Execution.id, Execution.trigger_id, Execution.test)
            .where(Execution.workspace_id == workspace_id, Execution.automation_id == automation_id)
            .for_update(),
        )
        if not all(execution["test"] for execution in executions):
            raise Conflict("This automation has real executions, so it cannot be removed as a test run.")
        ids = [execution["id"] for execution in executions]
        for table in (StageHistory, Step, Message):
            execute(table.delete().where(is_any(table.execution_id, ids)))
        execute(Execution.delete().where(is_any(Execution.id, ids)))
        execute(Trigger.delete().where(is_any(Trigger.id, [execution["trigger_id"] for execution in executions])))
        execute(Automation.delete().where(Automation.workspace_id == workspace_id, Automation.id == automation_id))
        if contact_id is not None:
            execute(Contact.delete().where(Contact.workspace_id == workspace_id, Contact.id == contact_id))
    return len(executions)
