"""What operators do to executions, messages and pauses: one function for each action, used by the API, the pages and
the `beckon` command alike.

Each runs in one transaction as its workspace, writes the audit log, and rings the bells of what it woke. What is not
there raises `NotThere`; what is in another state raises `Conflict`, and nothing was changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import metrics
from models import audit, contact, execution, follow_up, message, operation, pause
from models.audit import Actor
from models.database import Row, acting_as
from models.ids import is_id
from models.refusals import Conflict, NotThere
from models.reports.filters import ExecutionFilters
from tasks.bells import ring_after_commit

Action = Literal["retry", "cancel", "discard"]

#: For how many executions one request rings.
RUNG_AT_ONCE = 10_000


def _known(execution_id: str) -> str:
    status = execution.status_of(execution_id) if is_id(execution_id) else None
    if status is None:
        raise NotThere("There is no execution by that id.")
    return status


_ONE = "e.workspace_id = acting_workspace() and e.id = %s"


def retry_execution(workspace_id: str, execution_id: str, actor: Actor) -> None:
    """Let one failed execution go on from its failed step."""
    with acting_as(workspace_id):
        status = _known(execution_id)
        woken = execution.retry(_ONE, (execution_id,))
        if not woken:
            raise Conflict(_why_not_retried(status))
        ring_after_commit(woken)
        audit.record(workspace_id, actor, "execution.retried", "execution", execution_id)
    metrics.retries_total.labels(kind="manual", reason="operator").inc()
    metrics.operator_actions_total.labels(action="retry", result="done").inc()


def _why_not_retried(status: str) -> str:
    if status == "unknown_outcome":
        return "Its message may have been sent: mark it as sent, resend it or discard it instead."
    return f"Only a failed execution can be retried; this one is {status}."


def cancel_execution(workspace_id: str, execution_id: str, actor: Actor) -> None:
    """End one execution that is in flight."""
    with acting_as(workspace_id):
        status = _known(execution_id)
        detail = {"words": f"Cancelled by {actor.name}.", "by": actor.name}
        if not execution.cancel(_ONE, (execution_id,), "cancelled", detail):
            raise Conflict(f"Only an execution that is in flight can be cancelled; this one is {status}.")
        audit.record(workspace_id, actor, "execution.cancelled", "execution", execution_id)
    metrics.operator_actions_total.labels(action="cancel", result="done").inc()


def stop_follow_ups(workspace_id: str, execution_id: str, actor: Actor) -> None:
    """Let one execution send no more follow-ups; what was sent stands."""
    because = {"rule": "stopped", "detail": {"words": f"Stopped by {actor.name}.", "by": actor.name}}
    with acting_as(workspace_id):
        status = _known(execution_id)
        stopped = follow_up.stop(execution_id, because)
        if stopped is None:
            raise Conflict(f"No follow-up of it is to come: this execution is {status}, or its rules want none.")
        if stopped["ends"]:
            ring_after_commit([stopped])
        audit.record(workspace_id, actor, "execution.follow_ups_stopped", "execution", execution_id)
    metrics.operator_actions_total.labels(action="stop_follow_ups", result="done").inc()


def cancel_in_flight(workspace_id: str, automation_id: str, actor: Actor) -> int:
    """End what an automation has in flight, because it is deleted; how many."""
    with acting_as(workspace_id):
        detail = {"words": "The automation was deleted.", "by": actor.name}
        condition = "e.workspace_id = acting_workspace() and e.automation_id = %s"
        return len(execution.cancel(condition, (automation_id,), "automation_deleted", detail))


def delete_contact(workspace_id: str, contact_id: str, actor: Actor) -> int:
    """Delete a contact and end what is in flight for it; how many."""
    detail = {"words": "The contact was deleted.", "by": actor.name}
    condition = "e.workspace_id = acting_workspace() and e.contact_id = %s"
    cancelled = contact.delete(
        workspace_id,
        contact_id,
        actor,
        lambda: len(execution.cancel(condition, (contact_id,), "contact_deleted", detail)),
    )
    metrics.operator_actions_total.labels(action="delete_contact", result="done").inc()
    return cancelled


def act_on_matching(
    workspace_id: str, action: Action, filters: ExecutionFilters, actor: Actor, dry_run: bool
) -> dict[str, Any]:
    """Retry, cancel or discard all that the filters of the list match and whose state allows it.

    {"matched": n} for a dry run, else {"operationId", "matched", "retried"}, the last named for the action.
    """
    where, parameters = filters.where()
    condition = f"e.workspace_id = acting_workspace() and ({where})"
    with acting_as(workspace_id):
        matched = operation.count_matching(action, condition, parameters)
        if dry_run:
            return {"matched": matched}
        done = _act(action, condition, parameters, actor)
        operation_id = operation.record(workspace_id, action, filters.as_json(), matched, done, actor.name)
        audit.record(
            workspace_id, actor, f"executions.{action}", "operation", operation_id,
            {"filters": filters.as_json(), "matched": matched, "done": done},
        )  # fmt: skip
    metrics.operator_actions_total.labels(action=action, result="done").inc()
    named = {"retry": "retried", "cancel": "cancelled", "discard": "discarded"}[action]
    return {"operationId": operation_id, "matched": matched, named: done}


def _act(action: Action, condition: str, parameters: Sequence[Any], actor: Actor) -> int:
    detail = {"words": f"Put away by {actor.name}.", "by": actor.name}
    if action == "cancel":
        return len(execution.cancel(condition, parameters, "cancelled", detail))
    if action == "discard":
        return len(execution.discard(condition, parameters, detail))
    woken = execution.retry(condition, parameters)
    ring_after_commit(woken)
    return len(woken)


def process_pending(workspace_id: str) -> int:
    """Ring for all of a workspace that is due now; how many."""
    with acting_as(workspace_id):
        woken = execution.due("e.workspace_id = acting_workspace()", (), RUNG_AT_ONCE)
        ring_after_commit(woken)
    return len(woken)


def resolve_message(
    workspace_id: str, message_id: str, as_: Literal["sent", "resend", "discard"], actor: Actor
) -> None:
    """Decide what became of a message whose outcome is unknown."""
    with acting_as(workspace_id):
        found = message.of_workspace(message_id) if is_id(message_id) else None
        if found is None:
            raise NotThere("There is no message by that id.")
        if found["status"] != "outcome_unknown":
            raise Conflict(f"Only a message of unknown outcome can be resolved; this one is {found['status']}.")
        _resolve(found, as_, actor)
        audit.record(workspace_id, actor, f"message.{as_}", "message", message_id)
    metrics.operator_actions_total.labels(action=f"resolve_{as_}", result="done").inc()


def _resolve(found: Row, as_: str, actor: Actor) -> None:
    if as_ == "discard":
        detail = {"words": f"The message was discarded by {actor.name}.", "by": actor.name}
        execution.discard(_ONE, (found["execution_id"],), detail)
        message.discard(found["id"])
        return
    reopened = message.resolve_sent(found["id"], None) if as_ == "sent" else message.resolve_resend(found["id"])
    if reopened is not None:
        ring_after_commit([reopened])
    elif as_ == "resend":
        raise Conflict("Its execution was cancelled, so it is not sent again: mark it as sent or discard it.")


def hold(kind: str, name: str, workspace_id: str, actor: Actor) -> None:
    """Pause an automation, or a provider or a queue for this workspace."""
    with acting_as(workspace_id):
        pause.hold(kind, name, workspace_id)
    _note_pause("pause", kind, name, workspace_id, actor)


def let_go(kind: str, name: str, workspace_id: str, actor: Actor) -> int:
    """End a pause; how many executions go on."""
    with acting_as(workspace_id):
        woken = pause.let_go(kind, name, workspace_id)
        ring_after_commit(woken)
    _note_pause("resume", kind, name, workspace_id, actor)
    return len(woken)


def _note_pause(action: str, kind: str, name: str, workspace_id: str, actor: Actor) -> None:
    with acting_as(workspace_id):
        audit.record(workspace_id, actor, f"{kind}.{action}d", kind, name)
    metrics.operator_actions_total.labels(action=action, result="done").inc()
