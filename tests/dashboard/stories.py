"""Executions as the engine would have left them, for the tests of pages: with stages, steps, messages and errors."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import clock
from models import contact_matching
from models.database import acting_as, changed, value
from models.ids import new_id
from tests.dashboard.cast import Producer

#: The stages on the way of an e-mail that was written by the AI.
WAY = ("checking", "eligible", "generating", "ready_to_send", "sending")


def contact(producer: Producer, name: str = "Ada", **fields: Any) -> str:
    """A contact; its id."""
    told = {"external_id": name, "first_name": name, **fields}
    with acting_as(producer.workspace_id):
        (made,) = contact_matching.match(producer.workspace_id, [(None, told)])
    assert isinstance(made, dict)
    return str(made["id"])


def execution(producer: Producer, automation: dict[str, Any], **given: Any) -> str:
    """One execution, accepted a minute ago; its id."""
    began = clock.now() - timedelta(minutes=1)
    with acting_as(producer.workspace_id):
        version_id = value("select version_id from automations where id = %s", (automation["id"],))
    facts: dict[str, Any] = {
        "id": new_id(), "workspace_id": producer.workspace_id, "automation_id": automation["id"], "version": 1,
        "version_id": version_id, "trigger_id": new_id(), "queue": "sending", "status": "succeeded",
        "stage": "completed", "stage_since": began, "rung_at": began, "created_at": began, **given,
    }  # fmt: skip
    if facts["status"] in ("succeeded", "failed", "skipped", "cancelled"):
        facts.setdefault("started_at", began)
        facts.setdefault("finished_at", began + timedelta(seconds=3))
    if facts["status"] == "pending":
        facts.setdefault("due_at", began)
    _insert(producer, "executions", facts)
    return str(facts["id"])


def failed(producer: Producer, automation: dict[str, Any], **given: Any) -> str:
    """One that failed at its e-mail, with every stage on the way there."""
    why = {"status": "failed", "stage": "failed", "error_class": "network", "error_message": "No route to Mailgun."}
    one = execution(producer, automation, **{**why, "resume_stage": "sending", "failed_step": "hello", **given})
    at = clock.now() - timedelta(minutes=1)
    moves = ("queued", *WAY, "failed")
    for second, (before, after) in enumerate(pairwise(moves), 1):
        _move(producer, automation, one, before, after, at + timedelta(milliseconds=300 * second))
    failure = {"at": str(at), "class": why["error_class"], "message": given.get("error_message", why["error_message"])}
    step = {
        "execution_id": one, "step_id": "hello", "workspace_id": producer.workspace_id, "action": "send_email",
        "status": "failed", "attempts": 1, "started_at": at, "finished_at": at, "execution_time_ms": 40,
        "failures": json.dumps([failure]), "error": json.dumps(failure),
    }  # fmt: skip
    _insert(producer, "steps", step)
    return one


def written(producer: Producer, execution_id: str, output: dict[str, Any]) -> None:
    """What the model wrote for an execution, in 1.2 seconds."""
    at = clock.now() - timedelta(minutes=1)
    step = {
        "execution_id": execution_id, "step_id": "write", "workspace_id": producer.workspace_id,
        "action": "generate_message", "status": "succeeded", "attempts": 1, "started_at": at, "finished_at": at,
        "execution_time_ms": 1200, "output": json.dumps(output),
    }  # fmt: skip
    _insert(producer, "steps", step)


def unknown(producer: Producer, automation: dict[str, Any]) -> str:
    """One whose message may have been sent."""
    words = "Mailgun cut the connection before answering: it may have been sent."
    one = failed(producer, automation, error_class="unknown_outcome", error_message=words)
    message(producer, automation, one, status="outcome_unknown")
    return one


def message(producer: Producer, automation: dict[str, Any], execution_id: str, **given: Any) -> str:
    """The message of the step "hello"; its id."""
    facts: dict[str, Any] = {
        "id": new_id(), "workspace_id": producer.workspace_id, "execution_id": execution_id,
        "automation_id": automation["id"], "step_id": "hello", "key": f"{execution_id}:hello:0", "channel": "email",
        "provider": "mailgun", "sandbox": True, "test": False, "to_address": "ada@example.com", "subject": "Hello",
        "body": "Hello there", "status": "sent", "created_at": clock.now(), "updated_at": clock.now(), **given,
    }  # fmt: skip
    _insert(producer, "messages", facts)
    return str(facts["id"])


def sent(producer: Producer, automation: dict[str, Any], at: datetime, **given: Any) -> str:
    """One whose message left at this moment."""
    one = execution(producer, automation, **given)
    _move(producer, automation, one, "sending", "sent", at)
    message(producer, automation, one, sent_at=at, provider_message_id="mg-1@sandbox")
    return one


def _move(
    producer: Producer, automation: dict[str, Any], execution_id: str, before: str, after: str, at: datetime
) -> None:
    facts = {
        "execution_id": execution_id, "workspace_id": producer.workspace_id, "automation_id": automation["id"],
        "test": False, "from_stage": before, "from_ms": 300, "stage": after, "entered_at": at,
    }  # fmt: skip
    _insert(producer, "stage_history", facts)


def _insert(producer: Producer, table: str, facts: dict[str, Any]) -> None:
    with acting_as(producer.workspace_id):
        columns, places = ", ".join(facts), ", ".join(["%s"] * len(facts))
        changed(f"insert into {table} ({columns}) values ({places})", list(facts.values()))
