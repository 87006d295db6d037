"""Executions as the engine would have left them, for the tests of pages: with stages, steps, messages and errors."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import clock
from models import contact_matching
from models.database import acting_as, execute, fetch_value
from models.ids import new_id
from tests.dashboard.producers import Producer

#: The stages on the way of an e-mail that was written by the AI.
STAGES_BEFORE_SENT = ("checking", "eligible", "generating", "ready_to_send", "sending")


def create_contact(producer: Producer, name: str = "Ada", **fields: Any) -> str:
    """A contact; its id."""
    data = {"external_id": name, "first_name": name, **fields}
    with acting_as(producer.workspace_id):
        (contact,) = contact_matching.match_or_create(producer.workspace_id, [(None, data)])
    assert isinstance(contact, dict)
    return str(contact["id"])


def create_execution(producer: Producer, automation: dict[str, Any], **fields: Any) -> str:
    """One execution, accepted a minute ago; its id."""
    started = clock.now() - timedelta(minutes=1)
    with acting_as(producer.workspace_id):
        version_id = fetch_value("select version_id from automations where id = %s", (automation["id"],))
    row: dict[str, Any] = {
        "id": new_id(), "workspace_id": producer.workspace_id, "automation_id": automation["id"], "version": 1,
        "version_id": version_id, "trigger_id": new_id(), "queue": "sending", "status": "succeeded",
        "stage": "completed", "stage_since": started, "rung_at": started, "created_at": started, **fields,
    }  # fmt: skip
    if row["status"] in ("succeeded", "failed", "skipped", "cancelled"):
        row.setdefault("started_at", started)
        row.setdefault("finished_at", started + timedelta(seconds=3))
    if row["status"] == "pending":
        row.setdefault("due_at", started)
    _insert(producer, "executions", row)
    return str(row["id"])


def create_failed(producer: Producer, automation: dict[str, Any], **fields: Any) -> str:
    """One that failed at its e-mail, with every stage on the way there."""
    error_fields = {
        "status": "failed",
        "stage": "failed",
        "error_class": "network",
        "error_message": "No route to Mailgun.",
    }
    execution_id = create_execution(
        producer, automation, **{**error_fields, "resume_stage": "sending", "failed_step": "hello", **fields}
    )
    at = clock.now() - timedelta(minutes=1)
    moves = ("queued", *STAGES_BEFORE_SENT, "failed")
    for second, (previous, after) in enumerate(pairwise(moves), 1):
        _insert_stage_change(
            producer, automation, execution_id, previous, after, at + timedelta(milliseconds=300 * second)
        )
    failure = {
        "at": str(at),
        "class": error_fields["error_class"],
        "message": fields.get("error_message", error_fields["error_message"]),
    }
    step = {
        "execution_id": execution_id, "step_id": "hello", "workspace_id": producer.workspace_id, "action": "send_email",
        "status": "failed", "attempts": 1, "started_at": at, "finished_at": at, "execution_time_ms": 40,
        "failures": json.dumps([failure]), "error": json.dumps(failure),
    }  # fmt: skip
    _insert(producer, "steps", step)
    return execution_id


def add_generated_text(producer: Producer, execution_id: str, output: dict[str, Any]) -> None:
    """What the model wrote for an execution, in 1.2 seconds."""
    at = clock.now() - timedelta(minutes=1)
    step = {
        "execution_id": execution_id, "step_id": "write", "workspace_id": producer.workspace_id,
        "action": "generate_message", "status": "succeeded", "attempts": 1, "started_at": at, "finished_at": at,
        "execution_time_ms": 1200, "output": json.dumps(output),
    }  # fmt: skip
    _insert(producer, "steps", step)


def create_unknown(producer: Producer, automation: dict[str, Any]) -> str:
    """One whose message may have been sent."""
    text = "Mailgun cut the connection before answering: it may have been sent."
    execution_id = create_failed(producer, automation, error_class="unknown_outcome", error_message=text)
    create_message(producer, automation, execution_id, status="outcome_unknown")
    return execution_id


def create_message(producer: Producer, automation: dict[str, Any], execution_id: str, **fields: Any) -> str:
    """The message of the step "hello"; its id."""
    row: dict[str, Any] = {
        "id": new_id(), "workspace_id": producer.workspace_id, "execution_id": execution_id,
        "automation_id": automation["id"], "step_id": "hello", "key": f"{execution_id}:hello:0", "channel": "email",
        "provider": "mailgun", "sandbox": True, "test": False, "to_address": "ada@example.com", "subject": "Hello",
        "body": "Hello there", "status": "sent", "created_at": clock.now(), "updated_at": clock.now(), **fields,
    }  # fmt: skip
    _insert(producer, "messages", row)
    return str(row["id"])


def create_sent(producer: Producer, automation: dict[str, Any], at: datetime, **fields: Any) -> str:
    """One whose message left at this moment."""
    execution_id = create_execution(producer, automation, **fields)
    _insert_stage_change(producer, automation, execution_id, "sending", "sent", at)
    create_message(producer, automation, execution_id, sent_at=at, provider_message_id="mg-1@sandbox")
    return execution_id


def _insert_stage_change(
    producer: Producer, automation: dict[str, Any], execution_id: str, before: str, after: str, at: datetime
) -> None:
    row = {
        "execution_id": execution_id, "workspace_id": producer.workspace_id, "automation_id": automation["id"],
        "test": False, "from_stage": before, "from_ms": 300, "stage": after, "entered_at": at,
    }  # fmt: skip
    _insert(producer, "stage_history", row)


def _insert(producer: Producer, table: str, row: dict[str, Any]) -> None:
    with acting_as(producer.workspace_id):
        columns, placeholders = ", ".join(row), ", ".join(["%s"] * len(row))
        execute(f"insert into {table} ({columns}) values ({placeholders})", list(row.values()))
