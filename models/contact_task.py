"""Contacts' tasks that the action `create_task` created, and marking them as done."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from peewee import JOIN, Case, fn

from models import audit
from models.audit import AuditActor
from models.database import acting_as
from models.errors import NotFound
from models.expressions import now
from models.queries import execute, fetch
from models.tables import Automation, ContactTask, Execution


class ContactTaskRow(TypedDict):
    """A task of a contact, with the name of the automation that created it."""

    id: str
    execution_id: str
    title: str
    assignee: str | None
    due_at: datetime | None
    done_at: datetime | None
    created_at: datetime
    automation_name: str | None


def list_for_contact(workspace_id: str, contact_id: str, limit: int) -> list[ContactTaskRow]:
    """Return at most `limit` tasks of a contact: open ones first, by due time, then the newest done ones."""
    is_done = ContactTask.done_at.is_null(False)
    due_at = Case(None, [(ContactTask.done_at.is_null(), ContactTask.due_at)])
    query = (
        ContactTask.select(
            ContactTask.id,
            ContactTask.execution_id,
            ContactTask.title,
            ContactTask.assignee,
            ContactTask.due_at,
            ContactTask.done_at,
            ContactTask.created_at,
            Automation.name.alias("automation_name"),
        )
        .join(Execution, JOIN.LEFT_OUTER, on=Execution.id == ContactTask.execution_id)
        .join(Automation, JOIN.LEFT_OUTER, on=Automation.id == Execution.automation_id)
        .where(ContactTask.workspace_id == workspace_id, ContactTask.contact_id == contact_id)
        .order_by(is_done, due_at.asc(nulls="last"), ContactTask.id.desc())
        .limit(limit)
    )
    with acting_as(workspace_id):
        return fetch(ContactTaskRow, query)


def mark(workspace_id: str, contact_id: str, task_id: str, *, done: bool, actor: AuditActor) -> None:
    """Mark one of a contact's tasks as done or reopen it; repeating a call changes nothing. Raises `NotFound`."""
    done_at = fn.coalesce(ContactTask.done_at, now()) if done else None
    with acting_as(workspace_id):
        updated = execute(
            ContactTask.update(done_at=done_at).where(
                ContactTask.id == task_id,
                ContactTask.contact_id == contact_id,
                ContactTask.workspace_id == workspace_id,
            )
        )
        if not updated:
            raise NotFound("There is no task with that id.")
        action = "contact.task_done" if done else "contact.task_reopened"
        audit.record(workspace_id, actor, action, "contact", contact_id, {"task": task_id})
