"""Operator actions on executions, messages and pauses: one function each, for the API, the pages and `beckon`.

Each runs in one transaction as its workspace, writes the audit log, and notifies for the executions that it wakes. It
raises `NotFound` for a missing object, and `Conflict` for one in another state; nothing changes then.
"""

from __future__ import annotations

from typing import Literal

import metrics
from ephemeral import workflow_cache
from models import audit, contact, execution, follow_up, message, pause
from models.audit import AuditActor
from models.database import acting_as, db
from models.engine.rows import StoredMessageRow
from models.errors import Conflict, NotFound
from models.ids import is_id
from models.selection import select_all, select_of_automation, select_of_contact, select_one
from models.tables.workspaces import RetryVersion
from providers.registry import PROVIDERS, SENDERS
from tasks.operators.counting import count_action
from tasks.operators.version_moves import find_refusals, move_to_current
from tasks.runtime.notifications import enqueue_after_commit, notify_after_commit

#: Maximum number of executions that one request notifies.
MAX_NOTIFICATIONS = 10_000


def _require_status(execution_id: str) -> str:
    status = execution.fetch_status(execution_id) if is_id(execution_id) else None
    if status is None:
        raise NotFound("There is no execution with that id.")
    return status


@count_action("retry")
def retry_execution(
    workspace_id: str, execution_id: str, actor: AuditActor, version: RetryVersion = "original"
) -> None:
    """Retry one failed execution from its failed step, on its own version or on the current one."""
    with acting_as(workspace_id):
        _require_status(execution_id)
        if version == "current":
            refusal = find_refusals(select_one(execution_id)).get(execution_id)
            if refusal is not None:
                raise Conflict(f"It cannot continue on the current version. {refusal}")
        rows = execution.retry(select_one(execution_id))
        if not rows:
            # Read again: a concurrent retry may have changed the status.
            raise Conflict(_explain_retry_conflict(_require_status(execution_id)))
        notify_after_commit(move_to_current(rows) if version == "current" else rows)
        detail = {"version": version} if version == "current" else None
        audit.record(workspace_id, actor, "execution.retried", "execution", execution_id, detail)
    metrics.retries_total.labels(kind="manual", reason="operator").inc()


def _explain_retry_conflict(status: str) -> str:
    if status == "unknown_outcome":
        return "Its message may have been sent: mark it as sent, resend it or discard it instead."
    if status == "retrying":
        return "A retry of this execution is already queued."
    return f"Only a failed execution can be retried; this one is {status}."


@count_action("cancel")
def cancel_execution(workspace_id: str, execution_id: str, actor: AuditActor) -> None:
    """Cancel one execution in flight."""
    with acting_as(workspace_id):
        status = _require_status(execution_id)
        detail = {"words": f"Cancelled by {actor.name}.", "by": actor.name}
        if not execution.cancel(select_one(execution_id), "cancelled", detail):
            raise Conflict(f"Only an execution in flight can be cancelled; this one is {status}.")
        audit.record(workspace_id, actor, "execution.cancelled", "execution", execution_id)


@count_action("stop_follow_ups")
def stop_follow_ups(workspace_id: str, execution_id: str, actor: AuditActor) -> None:
    """Stop further follow-ups of one execution; messages already sent are kept."""
    reason = {"rule": "stopped", "detail": {"words": f"Stopped by {actor.name}.", "by": actor.name}}
    with acting_as(workspace_id):
        status = _require_status(execution_id)
        row = follow_up.stop(execution_id, reason)
        if row is None:
            raise Conflict(f"This execution has no upcoming follow-up: it is {status}, or its rules have none.")
        if row["ends"]:
            notify_after_commit([row])
        audit.record(workspace_id, actor, "execution.follow_ups_stopped", "execution", execution_id)


def cancel_in_flight(workspace_id: str, automation_id: str, actor: AuditActor) -> int:
    """Cancel a deleted automation's executions in flight; return how many."""
    with acting_as(workspace_id):
        detail = {"words": "The automation was deleted.", "by": actor.name}
        return len(execution.cancel(select_of_automation(automation_id), "automation_deleted", detail))


@count_action("delete_contact")
def delete_contact(workspace_id: str, contact_id: str, actor: AuditActor) -> int:
    """Delete a contact and cancel its executions in flight; return how many."""
    detail = {"words": "The contact was deleted.", "by": actor.name}
    return contact.delete(
        workspace_id,
        contact_id,
        actor,
        lambda: len(execution.cancel(select_of_contact(contact_id), "contact_deleted", detail)),
    )


@count_action("process_pending")
def process_pending(workspace_id: str, actor: AuditActor) -> int:
    """Notify for a workspace's due executions; return how many."""
    with acting_as(workspace_id):
        rows = execution.mark_due_notified(select_all(), MAX_NOTIFICATIONS)
        notify_after_commit(rows)
        detail = {"processed": len(rows)}
        audit.record(workspace_id, actor, "executions.processed", "workspace", workspace_id, detail)
    return len(rows)


def resolve_message(
    workspace_id: str, message_id: str, as_: Literal["sent", "resend", "discard"], actor: AuditActor
) -> None:
    """Resolve a message of unknown outcome as `as_`."""
    with count_action(f"resolve_{as_}"), acting_as(workspace_id):
        message_row = message.get_for_update(message_id) if is_id(message_id) else None
        if message_row is None:
            raise NotFound("There is no message with that id.")
        if message_row["status"] != "outcome_unknown":
            raise Conflict(f"Only a message of unknown outcome can be resolved; this one is {message_row['status']}.")
        _resolve(message_row, as_, actor)
        audit.record(
            workspace_id, actor, f"message.{as_}", "message", message_id, execution_id=message_row["execution_id"]
        )


def _resolve(message_row: StoredMessageRow, as_: str, actor: AuditActor) -> None:
    if as_ == "discard":
        detail = {"words": f"The message was discarded by {actor.name}.", "by": actor.name}
        execution.discard(select_one(message_row["execution_id"]), detail)
        message.discard(message_row["id"])
        return
    reopened = (
        message.resolve_sent(message_row["id"], None) if as_ == "sent" else message.resolve_resend(message_row["id"])
    )
    if reopened is not None:
        notify_after_commit([reopened])
    elif as_ == "resend":
        raise Conflict("Its execution was cancelled, so it cannot be resent: mark it as sent or discard it.")


@count_action("look_up")
def look_up_message(workspace_id: str, message_id: str, actor: AuditActor) -> None:
    """Ask the provider now whether it has a message of unknown outcome; its scheduled look-ups stay."""
    with acting_as(workspace_id):
        message_row = message.get_for_update(message_id) if is_id(message_id) else None
        if message_row is None:
            raise NotFound("There is no message with that id.")
        if message_row["status"] != "outcome_unknown":
            raise Conflict(f"Only a message of unknown outcome can be looked up; this one is {message_row['status']}.")
        if not SENDERS[message_row["provider"]].can_reconcile:
            raise Conflict(explain_no_look_up(message_row["provider"]))
        message.request_look_ups([message_id])
        enqueue_after_commit("sending", "look_up_requested_message", [message_id])
        audit.record(
            workspace_id, actor, "message.look_up", "message", message_id, execution_id=message_row["execution_id"]
        )


def explain_no_look_up(provider: str) -> str:
    """Why a provider's messages cannot be looked up."""
    return f"{PROVIDERS[provider].label} cannot be asked about a message: decide whether it was sent."


@count_action("pause")
def set_pause(
    kind: str, name: str, workspace_id: str, actor: AuditActor, *, reason: str = "", draining: bool = False
) -> None:
    """Pause an automation, or a provider or a queue for this workspace, for a reason.

    A draining queue finishes the executions that its workers have taken; a paused one holds their next call too.
    """
    verb = "draining" if draining else "paused"
    with acting_as(workspace_id):
        pause.start(kind, name, workspace_id, reason=reason, actor_name=actor.name, draining=draining)
        detail = {**({"reason": reason} if reason else {}), **audit.compare({"state": "running"}, {"state": verb})}
        audit.record(workspace_id, actor, f"{kind}.{verb}", kind, name, detail)
        _invalidate_after_commit(kind, workspace_id)


@count_action("resume")
def try_provider(provider: str, workspace_id: str, actor: AuditActor) -> str | None:
    """Let one execution try a provider that refused its credentials or does not answer; return its id, or None where
    none waits.

    Once the provider accepts a call the others continue. Raises `Conflict` where neither is so.
    """
    with acting_as(workspace_id):
        rows = pause.start_trial(provider, workspace_id)
        if rows is None:
            raise Conflict("Only a provider that is paused for refused credentials or does not answer can be tried.")
        notify_after_commit(rows)
        audit.record(workspace_id, actor, "provider.tried", "provider", provider)
    return rows[0]["id"] if rows else None


@count_action("resume")
def resume(kind: str, name: str, workspace_id: str, actor: AuditActor) -> int:
    """End a pause; return how many executions continue."""
    with acting_as(workspace_id):
        rows = pause.resume(kind, name, workspace_id)
        detail = audit.compare({"state": "paused"}, {"state": "running"})
        audit.record(workspace_id, actor, f"{kind}.resumed", kind, name, detail)
        notify_after_commit(rows)
        _invalidate_after_commit(kind, workspace_id)
    return len(rows)


def _invalidate_after_commit(kind: str, workspace_id: str) -> None:
    """A paused playbook is not served."""
    if kind == "automation":
        db.after_commit(lambda: workflow_cache.invalidate(workspace_id))
