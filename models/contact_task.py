"""Contacts' tasks that the action `create_task` created, and marking them as done."""

from __future__ import annotations

from models import audit
from models.audit import Actor
from models.database import Row, acting_as, execute, fetch_rows
from models.errors import NotFound


def list_for_contact(workspace_id: str, contact_id: str, limit: int) -> list[Row]:
    """Return at most `limit` tasks of a contact: open ones first, by due time, then the newest done ones."""
    with acting_as(workspace_id):
        return fetch_rows(
            "select t.id, t.execution_id, t.title, t.assignee, t.due_at, t.done_at, t.created_at, "
            "a.name automation_name from contact_tasks t left join executions e on e.id = t.execution_id "
            "left join automations a on a.id = e.automation_id "
            "where t.workspace_id = %s and t.contact_id = %s "
            "order by t.done_at is not null, case when t.done_at is null then t.due_at end nulls last, t.id desc "
            "limit %s",
            (workspace_id, contact_id, limit),
        )


def mark(workspace_id: str, contact_id: str, task_id: str, *, done: bool, actor: Actor) -> None:
    """Mark one of a contact's tasks as done or reopen it; repeating a call changes nothing. Raises `NotFound`."""
    with acting_as(workspace_id):
        updated = execute(
            "update contact_tasks set done_at = case when %s then coalesce(done_at, beckon_now()) end "
            "where id = %s and contact_id = %s and workspace_id = %s",
            (done, task_id, contact_id, workspace_id),
        )
        if not updated:
            raise NotFound("There is no task with that id.")
        action = "contact.task_done" if done else "contact.task_reopened"
        audit.record(workspace_id, actor, action, "contact", contact_id, {"task": task_id})
