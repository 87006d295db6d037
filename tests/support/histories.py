"""Inserts executions with a stage history, at times that a test chooses, as the engine would have left them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import clock
from models import contact_matching
from models.database import acting_as
from models.ids import new_id
from models.queries import execute, fetch_value

#: The stages of an e-mail that the AI wrote.
EMAIL_STAGES = ("queued", "checking", "eligible", "generating", "ready_to_send", "sending", "sent", "completed")
_STATUS = {"queued": "pending", "completed": "succeeded", "failed": "failed", "skipped": "skipped"}


def list_stages_to(stage: str) -> tuple[str, ...]:
    """The stages up to and including `stage`."""
    if stage == "skipped":
        return ("queued", "checking", "skipped")
    if stage == "failed":
        return (*EMAIL_STAGES[: EMAIL_STAGES.index("sent")], "failed")
    return EMAIL_STAGES[: EMAIL_STAGES.index(stage) + 1]


def insert_execution(
    workspace_id: str,
    automation_id: str,
    stage: str,
    *,
    name: str | None = "Ada Byron",
    ago: float = 0.0,
    each: float = 1.0,
    stages: Sequence[str] | None = None,
    test: bool = False,
    **columns: Any,
) -> str:
    """Insert an execution that entered `stage` `ago` seconds ago, after `each` seconds in every earlier stage.

    Further columns of its row are keyword arguments. Returns its id."""
    passed = tuple(stages or list_stages_to(stage))
    arrived = clock.now() - timedelta(seconds=ago)
    began = arrived - timedelta(seconds=each * (len(passed) - 1))
    row = {**_build_row(workspace_id, automation_id, stage, arrived, began, test), **columns}
    if name is not None and "contact_id" not in row:
        row["contact_id"] = insert_contact(workspace_id, name)
    _insert(workspace_id, "executions", row)
    moves = [
        {
            "execution_id": row["id"], "workspace_id": workspace_id, "automation_id": automation_id, "test": test,
            "from_stage": before, "from_ms": round(each * 1000), "stage": after,
            "entered_at": began + timedelta(seconds=each * number),
        }
        for number, (before, after) in enumerate(pairwise(passed), 1)
    ]  # fmt: skip
    for move in moves:
        _insert(workspace_id, "stage_history", move)
    return str(row["id"])


def _build_row(
    workspace_id: str, automation_id: str, stage: str, arrived: datetime, began: datetime, test: bool
) -> dict[str, Any]:
    status = _STATUS.get(stage, "running")
    with acting_as(workspace_id):
        version_id = fetch_value("select version_id from automations where id = %s", (automation_id,))
    row: dict[str, Any] = {
        "id": new_id(), "workspace_id": workspace_id, "automation_id": automation_id, "version": 1,
        "version_id": version_id, "trigger_id": new_id(), "queue": "sending", "status": status, "stage": stage,
        "stage_since": arrived, "rung_at": arrived, "created_at": began, "test": test,
    }  # fmt: skip
    if status == "running":
        row.update(lease_owner="a worker", lease_until=clock.now() + timedelta(minutes=5), started_at=began)
    if status == "pending":
        row["due_at"] = began
    if status in ("succeeded", "failed", "skipped"):
        row.update(started_at=began, finished_at=arrived)
    if stage == "failed":
        row.update(error_class="network", error_message="No route to Mailgun.", resume_stage="sending")
    if stage == "skipped":
        row.update(skipped_rule="active_hours", skipped_detail=json.dumps({"words": "Outside the active hours"}))
    return row


def build_waiting_columns(**columns: Any) -> dict[str, Any]:
    """The columns of a waiting execution: `waiting_for`, and `due_in` in seconds."""
    due_in = columns.pop("due_in", None)
    due_at = None if due_in is None else clock.now() + timedelta(seconds=due_in)
    return {"status": "waiting", "lease_owner": None, "lease_until": None, "due_at": due_at, **columns}


def insert_contact(workspace_id: str, name: str) -> str:
    """Insert a contact with this name; return its id."""
    first, _, last = name.partition(" ")
    fields: Mapping[str, Any] = {"external_id": name, "first_name": first, "last_name": last}
    with acting_as(workspace_id):
        (contact,) = contact_matching.match_or_create(workspace_id, [(None, dict(fields))])
    assert isinstance(contact, dict)
    return str(contact["id"])


def insert_message(workspace_id: str, automation_id: str, execution_id: str, body: str, **columns: Any) -> None:
    """Insert the execution's message, which is not sent yet."""
    row = {
        "id": new_id(), "workspace_id": workspace_id, "execution_id": execution_id, "automation_id": automation_id,
        "step_id": "hello", "key": f"{execution_id}:hello:0", "channel": "email", "provider": "mailgun",
        "sandbox": True, "test": False, "to_address": "ada@example.com", "body": body, "status": "pending",
        "created_at": clock.now(), "updated_at": clock.now(), **columns,
    }  # fmt: skip
    _insert(workspace_id, "messages", row)


def _insert(workspace_id: str, table: str, row: Mapping[str, Any]) -> None:
    with acting_as(workspace_id):
        names, placeholders = ", ".join(row), ", ".join(["%s"] * len(row))
        execute(f"insert into {table} ({names}) values ({placeholders})", list(row.values()))
