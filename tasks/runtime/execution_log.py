"""Writes what becomes of executions to the log, so that a search for an execution's id shows its whole way.

One line for each claim and for each durable record, with the stages that it entered; one for each message that a
provider accepted. Nothing is written before it is durable, and no line has a text, a name or an address. A pause is a
warning, a failure an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from models.engine.rows import ExecutionState
from tasks.runtime.claimed_execution import ClaimedExecution

#: Lines that come with every execution are written together.
log = structlog.get_logger(__name__, True)

#: Waits that end only when somebody acts.
_PAUSES = frozenset({"pause", "configuration"})
#: The event and the level of a final status.
_ENDS = {
    "succeeded": ("execution succeeded", "info"),
    "skipped": ("execution skipped", "info"),
    "cancelled": ("execution cancelled", "info"),
    "failed": ("execution failed", "error"),
}


def log_claim(claimed: ClaimedExecution) -> None:
    """Write that this process has claimed the execution, and from which state."""
    row = claimed.row
    log.info(
        "execution claimed", **_list_ids(claimed), queue=claimed.queue, fence=claimed.fence, stage=claimed.stage,
        status_before=row["status_before"], deliveries=row["deliveries"],
    )  # fmt: skip


def log_record(claimed: ClaimedExecution) -> None:
    """Write what the execution's last record changed; call it once that is durable."""
    record, ids = claimed.submitted, _list_ids(claimed)
    if record is None:
        return
    for message in record.messages:
        if message["status"] == "sent":
            log.info(
                "message sent", **ids, message_id=message["id"], step=message["step_id"], channel=message["channel"],
                provider=message["provider"], provider_message_id=message.get("provider_message_id"),
            )  # fmt: skip
    event, level, fields = _describe(record.state)
    stages = [move["stage"] for move in record.stages]
    getattr(log, level)(event, **ids, stages=stages, **fields)


def _list_ids(claimed: ClaimedExecution) -> dict[str, Any]:
    row = claimed.row
    ids = {"execution_id": claimed.execution_id, "trigger_id": row["trigger_id"], "workspace_id": row["workspace_id"]}
    return {**ids, "test": True} if claimed.test else ids


def _describe(state: ExecutionState) -> tuple[str, str, Mapping[str, Any]]:
    """Return the event, the level and the fields of a recorded state."""
    status, waiting_for = state["status"], state.get("waiting_for")
    if status in _ENDS:
        event, level = _ENDS[status]
        return event, level, _list_reasons(state, status)
    if status == "running":
        return "execution runs", "info", {}
    fields = {"waiting_for": waiting_for, "until": state.get("due_at"), "queue": state.get("queue")}
    if waiting_for == "retry":
        return "execution is retried later", "warning", {**fields, **_list_error(state), "attempt": state["attempt"]}
    if waiting_for in _PAUSES:
        return "execution is paused", "warning", {**fields, "provider": state.get("provider")}
    return "execution waits", "info", fields


def _list_reasons(state: ExecutionState, status: str) -> Mapping[str, Any]:
    if status == "failed":
        return _list_error(state)
    return {"rule": state["skipped_rule"]} if state.get("skipped_rule") else {}


def _list_error(state: ExecutionState) -> Mapping[str, Any]:
    return {
        "step": state.get("failed_step"), "error_class": state.get("error_class"), "error": state.get("error_message"),
        "code": state.get("error_code"), "provider": state.get("provider"),
    }  # fmt: skip
