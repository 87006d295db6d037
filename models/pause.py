"""Pauses: what holds an automation, or a queue or a provider for a workspace, and for how long."""

from __future__ import annotations

from models import execution
from models.database import Row, execute, fetch_rows
from models.errors import NotFound
from models.ids import new_id


def start(kind: str, name: str, workspace_id: str) -> None:
    """Hold by an operator's hand; `name` is an automation's id, a provider's or a queue's name."""
    if kind == "automation":
        updated = execute(
            "update automations set paused_at = coalesce(paused_at, beckon_now()) "
            "where workspace_id = %s and id = %s and deleted_at is null",
            (workspace_id, name),
        )
        if not updated:
            raise NotFound("There is no automation by that id.")
        return
    execute(
        """
        insert into pauses (id, workspace_id, kind, name, reason) values (%s, %s, %s, %s, 'operator')
        on conflict (workspace_id, kind, name) do update set reason = 'operator', retry_at = null
        """,
        (new_id(), workspace_id, kind, name),
    )


def resume(kind: str, name: str, workspace_id: str) -> list[Row]:
    """End a pause, whoever made it; the executions that go on, with their queues."""
    if kind == "automation":
        execute("update automations set paused_at = null where workspace_id = %s and id = %s", (workspace_id, name))
        return execution.resume_paused("e.automation_id = %s", (name,))
    execute("delete from pauses where kind = %s and name = %s and workspace_id = %s", (kind, name, workspace_id))
    if kind == "queue":
        return execution.resume_paused("e.workspace_id = %s and e.queue = %s", (workspace_id, name))
    # Which provider an execution waits for is not on its row; the others look again and go on waiting.
    return execution.resume_paused("e.workspace_id = %s", (workspace_id,))


def resume_after_credentials(name: str, workspace_id: str) -> list[Row]:
    """End a provider's pause that refused credentials made, and no operator's; the executions that go on."""
    deleted = execute(
        "delete from pauses where kind = 'provider' and name = %s and workspace_id = %s and reason = 'configuration'",
        (name, workspace_id),
    )
    return execution.resume_paused("e.workspace_id = %s", (workspace_id,)) if deleted else []


def list_credential_pauses() -> list[Row]:
    """The pauses that refused credentials made: workspace, provider and the credentials' fingerprint."""
    return fetch_rows(
        "select workspace_id, name, credentials_fingerprint from pauses where kind = 'provider' "
        "and reason = 'configuration'"
    )


def list_all(workspace_id: str) -> list[Row]:
    """The pauses that concern a workspace."""
    return fetch_rows(
        "select kind, name, reason, message, retry_at, created_at from pauses "
        "where workspace_id = %s order by created_at",
        (workspace_id,),
    )
