"""Pauses of an automation, or of a workspace's queue or provider. The caller acts as the workspace."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypedDict, get_args

from peewee import fn

from models import automation_schedule, breaker, execution
from models.breaker import OpenBreakerRow
from models.engine.rows import DueRow
from models.errors import NotFound
from models.expressions import now
from models.ids import new_id
from models.queries import execute, fetch
from models.selection import select_all, select_of_automation, select_of_queue
from models.tables import Automation, Pause
from models.tables.workspaces import PauseKind, PauseReason

#: Why something does not run: the reasons of pauses, and `timeouts` of a provider whose breaker is open.
StopReason = PauseReason | Literal["timeouts"]
#: The reasons of pauses that an operator alone ends.
OPERATORS_REASONS: frozenset[StopReason] = frozenset({"operator", "restore"})
STOP_REASONS: tuple[StopReason, ...] = (*get_args(PauseReason), "timeouts")


class PausedRow(TypedDict):
    """A pause for display, or an open breaker, whose probe is at `retry_at`."""

    kind: PauseKind
    name: str
    reason: StopReason
    message: str
    retry_at: datetime | None
    created_at: datetime
    draining: bool
    actor_name: str | None


class CredentialPauseRow(TypedDict):
    """A provider's pause because its credentials were refused, with their fingerprint."""

    workspace_id: str
    name: str
    credentials_fingerprint: str


def start(
    kind: str, name: str, workspace_id: str, *, reason: str = "", actor_name: str | None = None, draining: bool = False
) -> None:
    """Start an operator's pause; `name` is an automation's id, or a provider's or queue's name. Raises `NotFound`.

    `reason` is the operator's. A draining queue finishes what its workers have taken.
    """
    if kind == "automation":
        updated = execute(
            Automation.update(paused_at=fn.coalesce(Automation.paused_at, now())).where(
                Automation.workspace_id == workspace_id, Automation.id == name, Automation.deleted_at.is_null()
            )
        )
        if not updated:
            raise NotFound("There is no automation with that id.")
        return
    values = {
        Pause.reason: "operator", Pause.message: reason, Pause.actor_name: actor_name, Pause.draining: draining,
    }  # fmt: skip
    key = {Pause.id: new_id(), Pause.workspace_id: workspace_id, Pause.kind: kind, Pause.name: name}
    execute(
        Pause.insert({**key, **values}).on_conflict(
            conflict_target=(Pause.workspace_id, Pause.kind, Pause.name),
            update={**values, Pause.retry_at: None, Pause.created_at: now()},
        )
    )


def resume(kind: str, name: str, workspace_id: str) -> list[DueRow]:
    """End a pause of an operator or the system, or an open breaker; return the executions that continue."""
    if kind == "automation":
        is_paused = Automation.paused_at.is_null(False)
        resumed = Automation.update(paused_at=None).where(
            Automation.workspace_id == workspace_id, Automation.id == name, is_paused
        )
        if execute(resumed):
            # The check for inactive contacts goes on during a pause, whose executions wait.
            automation_schedule.restart(workspace_id, name, ("schedule",))
        return execution.resume_paused(select_of_automation(name))
    execute(Pause.delete().where(Pause.kind == kind, Pause.name == name, Pause.workspace_id == workspace_id))
    if kind == "queue":
        return execution.resume_paused(select_of_queue(name))
    # A paused execution's row does not name the provider it waits for; the others check again and continue to wait.
    return breaker.close(workspace_id, name) + execution.resume_paused(select_all())


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


def start_trial(provider: str, workspace_id: str) -> list[DueRow] | None:
    """Let one execution try a provider that refused its credentials or does not answer; return it, to notify.

    The list is empty where none waits: the next call of the provider is the trial. None where neither is so.
    """
    paused = (Pause.kind == "provider") & (Pause.name == provider) & (Pause.reason == "configuration")
    if not execute(Pause.update(retry_at=now()).where(paused, Pause.workspace_id == workspace_id)):
        return breaker.request_probe(workspace_id, provider)
    return execution.resume_longest_misconfigured(provider)


def list_credential_pauses() -> list[CredentialPauseRow]:
    """Return the pauses of all workspaces that were caused by refused credentials."""
    query = Pause.select(Pause.workspace_id, Pause.name, Pause.credentials_fingerprint)
    return fetch(CredentialPauseRow, query.where(Pause.kind == "provider", Pause.reason == "configuration"))


def list_all(workspace_id: str) -> list[PausedRow]:
    """Return a workspace's pauses and the open breakers of providers that are not paused, oldest first."""
    query = Pause.select(
        Pause.kind, Pause.name, Pause.reason, Pause.message, Pause.retry_at, Pause.created_at, Pause.draining,
        Pause.actor_name,
    )  # fmt: skip
    pauses = fetch(PausedRow, query.where(Pause.workspace_id == workspace_id))
    paused = {row["name"] for row in pauses if row["kind"] == "provider"}
    breakers = [_describe(row) for row in breaker.list_open(workspace_id) if row["provider"] not in paused]
    return sorted(pauses + breakers, key=lambda row: row["created_at"])


def _describe(row: OpenBreakerRow) -> PausedRow:
    return {
        "kind": "provider",
        "name": row["provider"],
        "reason": "timeouts",
        "message": f"{row['timeouts']:,} calls in a row got no answer in time.",
        "retry_at": row["probe_at"],
        "created_at": row["opened_at"],
        "draining": False,
        "actor_name": None,
    }
