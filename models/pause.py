"""Pauses of an automation, or of a workspace's queue or provider. The caller acts as the workspace."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from peewee import fn

from models import execution
from models.engine.rows import DueRow
from models.errors import NotFound
from models.expressions import now
from models.ids import new_id
from models.queries import execute, fetch
from models.selection import select_all, select_of_automation, select_of_queue
from models.tables import Automation, Pause
from models.tables.workspaces import PauseKind, PauseReason


class PausedRow(TypedDict):
    """A pause for display."""

    kind: PauseKind
    name: str
    reason: PauseReason
    message: str
    retry_at: datetime | None
    created_at: datetime


class CredentialPauseRow(TypedDict):
    """A provider's pause because its credentials were refused, with their fingerprint."""

    workspace_id: str
    name: str
    credentials_fingerprint: str


def start(kind: str, name: str, workspace_id: str) -> None:
    """Start an operator's pause; `name` is an automation's id, or a provider's or queue's name. Raises `NotFound`."""
    if kind == "automation":
        updated = execute(
            Automation.update(paused_at=fn.coalesce(Automation.paused_at, now())).where(
                Automation.workspace_id == workspace_id, Automation.id == name, Automation.deleted_at.is_null()
            )
        )
        if not updated:
            raise NotFound("There is no automation with that id.")
        return
    execute(
        Pause.insert(id=new_id(), workspace_id=workspace_id, kind=kind, name=name, reason="operator").on_conflict(
            conflict_target=(Pause.workspace_id, Pause.kind, Pause.name),
            update={Pause.reason: "operator", Pause.retry_at: None},
        )
    )


def resume(kind: str, name: str, workspace_id: str) -> list[DueRow]:
    """End a pause of an operator or the system; return the executions that continue."""
    if kind == "automation":
        execute(Automation.update(paused_at=None).where(Automation.workspace_id == workspace_id, Automation.id == name))
        return execution.resume_paused(select_of_automation(name))
    execute(Pause.delete().where(Pause.kind == kind, Pause.name == name, Pause.workspace_id == workspace_id))
    if kind == "queue":
        return execution.resume_paused(select_of_queue(name))
    # An execution's row does not name the provider it waits for; the others check again and continue to wait.
    return execution.resume_paused(select_all())


def resume_after_credentials(name: str, workspace_id: str) -> list[DueRow]:
    """End a provider's pause caused by refused credentials, not an operator's; return the executions that continue."""
    deleted = execute(
        Pause.delete().where(
            Pause.kind == "provider",
            Pause.name == name,
            Pause.workspace_id == workspace_id,
            Pause.reason == "configuration",
        )
    )
    return execution.resume_paused(select_all()) if deleted else []


def list_credential_pauses() -> list[CredentialPauseRow]:
    """Return the pauses of all workspaces that were caused by refused credentials."""
    query = Pause.select(Pause.workspace_id, Pause.name, Pause.credentials_fingerprint)
    return fetch(CredentialPauseRow, query.where(Pause.kind == "provider", Pause.reason == "configuration"))


def list_all(workspace_id: str) -> list[PausedRow]:
    """Return a workspace's pauses, oldest first."""
    query = Pause.select(Pause.kind, Pause.name, Pause.reason, Pause.message, Pause.retry_at, Pause.created_at)
    return fetch(PausedRow, query.where(Pause.workspace_id == workspace_id).order_by(Pause.created_at))
