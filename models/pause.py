"""Pauses of an automation, or of a workspace's queue or provider."""

from __future__ import annotations

from models import execution
from models.database import Row, execute, fetch_rows
from models.errors import NotFound
from models.ids import new_id


def start(kind: str, name: str, workspace_id: str) -> None:
    """Start an operator's pause; `name` is an automation's id, or a provider's or queue's name. Raises `NotFound`."""
    if kind == "automation":
        updated = execute(
            "update automations set paused_at = coalesce(paused_at, beckon_now()) "
            "where workspace_id = %s and id = %s and deleted_at is null",
            (workspace_id, name),
        )
        if not updated:
            raise NotFound("There is no automation with that id.")
        return
    execute(
        """
        insert into pauses (id, workspace_id, kind, name, reason) values (%s, %s, %s, %s, 'operator')
        on conflict (workspace_id, kind, name) do update set reason = 'operator', retry_at = null
        """,
        (new_id(), workspace_id, kind, name),
    )


def resume(kind: str, name: str, workspace_id: str) -> list[Row]:
    """End a pause of an operator or the system; return the executions that continue, with their queues."""
    if kind == "automation":
        execute("update automations set paused_at = null where workspace_id = %s and id = %s", (workspace_id, name))
        return execution.resume_paused("e.automation_id = %s", (name,))
    execute("delete from pauses where kind = %s and name = %s and workspace_id = %s", (kind, name, workspace_id))
    if kind == "queue":
        return execution.resume_paused("e.workspace_id = %s and e.queue = %s", (workspace_id, name))
    # An execution's row does not name the provider it waits for; the others check again and continue to wait.
    return execution.resume_paused("e.workspace_id = %s", (workspace_id,))


def resume_after_credentials(name: str, workspace_id: str) -> list[Row]:
    """End a provider's pause caused by refused credentials, not an operator's; return the executions that continue."""
    deleted = execute(
        "delete from pauses where kind = 'provider' and name = %s and workspace_id = %s and reason = 'configuration'",
        (name, workspace_id),
    )
    return execution.resume_paused("e.workspace_id = %s", (workspace_id,)) if deleted else []


def list_credential_pauses() -> list[Row]:
    """Return the pauses caused by refused credentials: workspace, provider and the credentials' fingerprint."""
    return fetch_rows(
        "select workspace_id, name, credentials_fingerprint from pauses where kind = 'provider' "
        "and reason = 'configuration'"
    )


def list_all(workspace_id: str) -> list[Row]:
    """Return a workspace's pauses, oldest first."""
    return fetch_rows(
        "select kind, name, reason, message, retry_at, created_at from pauses "
        "where workspace_id = %s order by created_at",
        (workspace_id,),
    )
