"""Pauses: what holds an automation, or a queue or a provider for a workspace, and for how long."""

from __future__ import annotations

from models import execution
from models.database import Row, changed, rows
from models.ids import new_id
from models.refusals import NotThere


def hold(kind: str, name: str, workspace_id: str) -> None:
    """Hold by an operator's hand; `name` is an automation's id, a provider's or a queue's name."""
    if kind == "automation":
        held = changed(
            "update automations set paused_at = coalesce(paused_at, beckon_now()) "
            "where workspace_id = %s and id = %s and deleted_at is null",
            (workspace_id, name),
        )
        if not held:
            raise NotThere("There is no automation by that id.")
        return
    changed(
        """
        insert into pauses (id, workspace_id, kind, name, reason) values (%s, %s, %s, %s, 'operator')
        on conflict (workspace_id, kind, name) do update set reason = 'operator', retry_at = null
        """,
        (new_id(), workspace_id, kind, name),
    )


def let_go(kind: str, name: str, workspace_id: str) -> list[Row]:
    """End a pause, whoever made it; the executions that go on, with their queues."""
    if kind == "automation":
        changed("update automations set paused_at = null where workspace_id = %s and id = %s", (workspace_id, name))
        return execution.resume_paused("e.automation_id = %s", (name,))
    changed("delete from pauses where kind = %s and name = %s and workspace_id = %s", (kind, name, workspace_id))
    if kind == "queue":
        return execution.resume_paused("e.workspace_id = %s and e.queue = %s", (workspace_id, name))
    # Which provider an execution waits for is not on its row; the others look again and go on waiting.
    return execution.resume_paused("e.workspace_id = %s", (workspace_id,))


def let_go_of_credentials(name: str, workspace_id: str) -> list[Row]:
    """End a provider's pause that refused credentials made, and no operator's; the executions that go on."""
    ended = changed(
        "delete from pauses where kind = 'provider' and name = %s and workspace_id = %s and reason = 'configuration'",
        (name, workspace_id),
    )
    return execution.resume_paused("e.workspace_id = %s", (workspace_id,)) if ended else []


def of_credentials() -> list[Row]:
    """The pauses that refused credentials made: workspace, provider and the credentials' fingerprint."""
    return rows(
        "select workspace_id, name, credentials_fingerprint from pauses where kind = 'provider' "
        "and reason = 'configuration'"
    )


def every(workspace_id: str) -> list[Row]:
    """The pauses that concern a workspace."""
    return rows(
        "select kind, name, reason, message, retry_at, created_at from pauses "
        "where workspace_id = %s order by created_at",
        (workspace_id,),
    )
