"""Who plays in the tests and how they are made: Alice owns a workspace, Bob is written to, Charlie sees nothing."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import clock
from models import automation, workspace
from models.audit import SYSTEM
from models.database import acting_as, changed, row, rows
from rules.validation import validate
from tasks.triggers import Accepted, TriggerRequest, accept, body_hash
from waiting import eventually

_numbers = itertools.count(1)

#: A workflow of one e-mail.
HELLO: list[dict[str, Any]] = [
    {"id": "hello", "action": "send_email", "with": {"subject": "Hello {{ contact.first_name }}", "body": "Hi!"}}
]
#: The AI writes, then an e-mail carries it.
WRITTEN: list[dict[str, Any]] = [
    {"id": "write", "action": "generate_message", "with": {"prompt": "Write to {{ contact.first_name }}"}},
    {"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "{{ steps.write.text }}"}},
]


@dataclass
class Alice:
    """An owner with a workspace of her own; without keys she speaks to the sandbox."""

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
    ) -> str:
        """A published automation; its id."""
        definition: dict[str, Any] = {
            "trigger": {"type": trigger} if isinstance(trigger, str) else dict(trigger),
            "steps": [dict(step) for step in steps],
        }
        if rules:
            definition["rules"] = dict(rules)
        assert validate(definition) == []
        made = automation.create(
            self.workspace_id, name=name, type="workflow", definition=definition, actor=SYSTEM, enabled=enabled
        )
        return made.automation_id

    def trigger(self, type: str = "contact.created", **fields: Any) -> Accepted:
        """One accepted trigger about Bob."""
        answer = self.triggers([{"type": type, **fields}])[0]
        assert isinstance(answer, Accepted), answer
        return answer

    def triggers(self, given: Sequence[Mapping[str, Any]], source: str = "api") -> list[Any]:
        """Triggers about Bob, or about the contact that each names."""
        requests = []
        for one in given:
            told = {"type": "contact.created", "contact": bob(), "payload": {}, "contact_id": None, **one}
            if told["contact_id"]:
                told["contact"] = None
            hashed = body_hash({name: text for name, text in told.items() if name != "idempotency_key"})
            requests.append(TriggerRequest(**told, body_hash=hashed))
        return accept(self.workspace_id, requests, source)


def bob(**fields: Any) -> dict[str, Any]:
    """Whom we write to, in the words of the database."""
    return {
        "external_id": "bob",
        "first_name": "Bob",
        "email": "bob@example.com",
        "phone": "+15550123",
        "tags": ["lead"],
        **fields,
    }


def execution(accepted: Accepted | str) -> dict[str, Any]:
    """The row of the one execution that a trigger started."""
    wanted = accepted if isinstance(accepted, str) else accepted.executions[0]["executionId"]
    found = row("select * from executions where id = %s", (wanted,))
    assert found is not None
    return found


def stages(execution_id: str) -> list[str]:
    """The stages that an execution passed, in order, from queued."""
    passed = rows("select stage from stage_history where execution_id = %s order by entered_at, stage", (execution_id,))
    return ["queued", *(one["stage"] for one in passed)]


def steps(execution_id: str) -> dict[str, dict[str, Any]]:
    """The steps of an execution by their ids."""
    return {one["step_id"]: one for one in rows("select * from steps where execution_id = %s", (execution_id,))}


def messages(execution_id: str) -> list[dict[str, Any]]:
    """The messages of an execution."""
    return rows("select * from messages where execution_id = %s order by created_at", (execution_id,))


def counters(workspace_id: str, automation_id: str) -> dict[str, int]:
    """An automation's counters."""
    with acting_as(workspace_id):
        found = row(
            "select executions, succeeded, failed, skipped, cancelled from automations where id = %s", (automation_id,)
        )
    assert found is not None
    return found


def finished(accepted: Accepted | str) -> dict[str, Any]:
    """The execution, once nothing moves it any more."""
    return eventually(lambda: (found := execution(accepted))["finished_at"] and found)


def at_rest(accepted: Accepted | str, status: str = "waiting") -> dict[str, Any]:
    """The execution, once it stands in this status and is not merely on its way to another queue."""

    def found() -> dict[str, Any] | None:
        one = execution(accepted)
        on_its_way = one["due_at"] is not None and one["due_at"] <= clock.now()
        return one if one["status"] == status and not on_its_way else None

    return eventually(found)


def let_time_pass(execution_id: str) -> None:
    """Make due what waits: as if the time that it waits for had come."""
    changed("update executions set due_at = beckon_now(), rung_at = '2000-01-01' where id = %s", (execution_id,))
    changed(
        "update steps set output = jsonb_set(output, '{until}', to_jsonb(beckon_now())) "
        "where execution_id = %s and status = 'running' and output->>'until' is not null",
        (execution_id,),
    )
