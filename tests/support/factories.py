"""The people of the tests and their rows: Alice owns a workspace, Bob is messaged, Charlie must see nothing."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import clock
from models import automation, workspace
from models.audit import SYSTEM
from models.database import acting_as
from models.queries import execute
from rules.trigger_requests import TriggerRequest, hash_body
from rules.validation import validate
from tasks.intake.triggers import AcceptedTrigger, accept
from tests.support.rows import fetch_row, fetch_rows
from tests.support.waiting import eventually

_numbers = itertools.count(1)

#: A workflow of one e-mail.
HELLO: list[dict[str, Any]] = [
    {"id": "hello", "action": "send_email", "with": {"subject": "Hello {{ contact.first_name }}", "body": "Hi!"}}
]
#: The AI writes a text, then an e-mail sends it.
WRITTEN: list[dict[str, Any]] = [
    {"id": "write", "action": "generate_message", "with": {"prompt": "Write to {{ contact.first_name }}"}},
    {"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "{{ steps.write.text }}"}},
]


@dataclass
class Alice:
    """An owner with her own workspace; without keys it uses the sandbox."""

    demo: bool = True
    timezone: str = "UTC"
    name: str = "alice"
    workspace_id: str = field(init=False)

    def __post_init__(self) -> None:
        slug = f"{self.name}-{next(_numbers)}"
        self.workspace_id = workspace.create(slug, self.name.title(), timezone=self.timezone, demo=self.demo)

    def automation(
        self,
        steps: Sequence[Mapping[str, Any]] = HELLO,
        *,
        trigger: Mapping[str, Any] | str = "contact.created",
        rules: Mapping[str, Any] | None = None,
        name: str = "Welcome",
        enabled: bool = True,
        exclusive: bool = True,
        **document: Any,
    ) -> str:
        """Publish an automation, whose definition has the other fields; return its id."""
        definition: dict[str, Any] = {
            "trigger": {"type": trigger} if isinstance(trigger, str) else dict(trigger),
            "steps": [dict(step) for step in steps],
            **document,
        }
        if rules:
            definition["rules"] = dict(rules)
        if not exclusive:
            definition["exclusive"] = False
        assert validate(definition) == []
        publication = automation.create(
            self.workspace_id, name=name, type="workflow", definition=definition, actor=SYSTEM, enabled=enabled
        )
        return publication.automation_id

    def trigger(self, type: str = "contact.created", **fields: Any) -> AcceptedTrigger:
        """Send one trigger about Bob, which is accepted."""
        accepted = self.triggers([{"type": type, **fields}])[0]
        assert isinstance(accepted, AcceptedTrigger), accepted
        return accepted

    def triggers(self, bodies: Sequence[Mapping[str, Any]], source: str = "api") -> list[Any]:
        """Send triggers about Bob, or about the contact that each names."""
        requests = []
        for body in bodies:
            fields = {"type": "contact.created", "contact": bob(), "payload": {}, "contact_id": None, **body}
            if fields["contact_id"]:
                fields["contact"] = None
            hashed = hash_body({name: text for name, text in fields.items() if name != "idempotency_key"})
            requests.append(TriggerRequest(**fields, body_hash=hashed))
        return accept(self.workspace_id, requests, source)


def bob(**fields: Any) -> dict[str, Any]:
    """The contact that is messaged, as columns."""
    return {
        "external_id": "bob",
        "first_name": "Bob",
        "email": "bob@example.com",
        "phone": "+15550123",
        "tags": ["lead"],
        **fields,
    }


def execution(accepted: AcceptedTrigger | str) -> dict[str, Any]:
    """The row of the only execution that a trigger started."""
    execution_id = accepted if isinstance(accepted, str) else accepted.executions[0]["executionId"]
    execution_row = fetch_row("select * from executions where id = %s", (execution_id,))
    assert execution_row is not None
    return execution_row


def stages(execution_id: str) -> list[str]:
    """The stages of an execution, in order, from queued."""
    passed = fetch_rows(
        "select stage from stage_history where execution_id = %s order by entered_at, stage", (execution_id,)
    )
    return ["queued", *(entry["stage"] for entry in passed)]


def steps(execution_id: str) -> dict[str, dict[str, Any]]:
    """The steps of an execution by step id."""
    return {
        step["step_id"]: step for step in fetch_rows("select * from steps where execution_id = %s", (execution_id,))
    }


def messages(execution_id: str) -> list[dict[str, Any]]:
    """The messages of an execution."""
    return fetch_rows("select * from messages where execution_id = %s order by created_at", (execution_id,))


def counters(workspace_id: str, automation_id: str) -> dict[str, int]:
    """An automation's counters."""
    with acting_as(workspace_id):
        counts = fetch_row(
            "select executions, succeeded, failed, skipped, cancelled from automations where id = %s", (automation_id,)
        )
    assert counts is not None
    return counts


def wait_until_finished(accepted: AcceptedTrigger | str) -> dict[str, Any]:
    """The row of an execution, once it is finished."""
    return eventually(lambda: (execution_row := execution(accepted))["finished_at"] and execution_row)


def wait_for_status(accepted: AcceptedTrigger | str, status: str = "waiting") -> dict[str, Any]:
    """The row of an execution, once it has this status and is not merely being requeued."""

    def fetch_when_reached() -> dict[str, Any] | None:
        execution_row = execution(accepted)
        is_moving = execution_row["due_at"] is not None and execution_row["due_at"] <= clock.now()
        return execution_row if execution_row["status"] == status and not is_moving else None

    return eventually(fetch_when_reached)


def expire_wait(execution_id: str) -> None:
    """Make a waiting execution due, as if its time had come."""
    execute("update executions set due_at = beckon_now(), rung_at = '2000-01-01' where id = %s", (execution_id,))
    execute(
        "update steps set output = jsonb_set(output, '{until}', to_jsonb(beckon_now())) "
        "where execution_id = %s and status = 'running' and output->>'until' is not null",
        (execution_id,),
    )
