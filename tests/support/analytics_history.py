"""A random history of executions, steps, messages and replies, written as the engine writes them: row by row, with the
changes of their life. Plain SQL over the rows is what Analytics must answer."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from models.ids import new_id
from models.queries import execute, fetch_value
from rules.json_text import dump_json

TRIGGERS = ("contact.created", "instagram.comment")
CHANNELS = {"email": "mailgun", "sms": "telnyx", "instagram": "instagram"}


class History:
    """Writes the rows of one workspace between two moments."""

    def __init__(self, workspace_id: str, since: datetime, until: datetime, seed: int = 0) -> None:
        self.workspace_id = workspace_id
        self.since, self.until = since, until
        self.random = random.Random(seed)

    def add_automation(self, name: str = "Welcome", type: str = "workflow") -> str:
        """Insert an automation without a version."""
        automation_id = new_id()
        execute(
            "insert into automations (id, workspace_id, name, type) values (%s, %s, %s, %s)",
            (automation_id, self.workspace_id, name, type),
        )
        return automation_id

    def publish_split(self, automation_id: str) -> None:
        """Insert a version with the split `choose` of the variants A and B."""
        version_id = new_id()
        definition = {
            "trigger": {"type": "contact.created"},
            "steps": [
                {"id": "choose", "action": "split",
                 "variants": [{"name": name, "weight": 1, "steps": []} for name in "AB"]}
            ],
        }  # fmt: skip
        execute(
            "insert into workflow_versions (id, workspace_id, automation_id, version, definition, published_by) "
            "values (%s, %s, %s, 1, %s, 'Alice')",
            (version_id, self.workspace_id, automation_id, dump_json(definition)),
        )
        execute("update automations set version_id = %s, version = 1 where id = %s", (version_id, automation_id))

    def add_contact(self) -> str:
        """Insert a contact."""
        contact_id = new_id()
        execute("insert into contacts (id, workspace_id) values (%s, %s)", (contact_id, self.workspace_id))
        return contact_id

    def fill(self, automations: Sequence[str], contacts: Sequence[str], executions: int) -> None:
        """Insert executions, each with a life of its own."""
        for _ in range(executions):
            self.add_execution(self.random.choice(automations), self.random.choice(contacts))

    def add_execution(self, automation_id: str, contact_id: str, at: datetime | None = None, **fields: Any) -> str:
        """Insert an execution accepted at a moment, and let it live: steps, a message, an end, perhaps a retry."""
        at = at or self.since + (self.until - self.since) * self.random.random()
        execution_id, trigger_id = new_id(), new_id()
        test = bool(fields.get("test", self.random.random() < 0.1))
        execute(
            "insert into triggers (id, workspace_id, type, source, answer, test, created_at) "
            "values (%s, %s, %s, 'api', '{}', %s, %s)",
            (trigger_id, self.workspace_id, self.random.choice(TRIGGERS), test, at),
        )
        execute(
            "insert into executions (id, workspace_id, automation_id, version_id, version, trigger_id, contact_id, "
            "test, stage_since, queue, rung_at, due_at, created_at) "
            "values (%s, %s, %s, %s, 1, %s, %s, %s, %s, 'executions', %s, %s, %s)",
            (execution_id, self.workspace_id, automation_id, new_id(), trigger_id, contact_id, test, at, at, at, at),
        )
        self._live(execution_id, automation_id, contact_id, at, test)
        return execution_id

    def _live(self, execution_id: str, automation_id: str, contact_id: str, at: datetime, test: bool) -> None:
        if self.random.random() < 0.1:
            return
        if self.random.random() < 0.1:
            self.end(execution_id, at, "skipped")
            return
        self.add_step(execution_id, "pause", "wait", 3_600_000, at)
        variant = self.random.choice("AB")
        self.add_step(execution_id, "choose", "split", 0, at, output={"taken": variant})
        self.add_step(execution_id, "write", "generate_message", self.random.randrange(1, 9000), at)
        if self.random.random() < 0.8:
            self.add_message(execution_id, automation_id, contact_id, at + timedelta(seconds=5), test)
        if self.random.random() < 0.5:
            self.end(execution_id, at, "succeeded")
            return
        error = self.random.choice(("timeout", "unknown_outcome", "auth"))
        self.end(execution_id, at, "failed", error_class=error)
        if self.random.random() < 0.5:
            self.reopen(execution_id)
            self.end(execution_id, at, self.random.choice(("succeeded", "cancelled")))

    def add_step(
        self, execution_id: str, step_id: str, action: str, ms: int, at: datetime, output: Any = None, round: int = 0
    ) -> None:
        """Insert a running step and let it end, by the upsert of the engine."""
        for status in ("running", self.random.choice(("succeeded", "succeeded", "failed", "skipped"))):
            is_over = status != "running"
            execute(
                "insert into steps (execution_id, step_id, round, workspace_id, action, status, started_at, "
                "finished_at, execution_time_ms, output) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
                "on conflict (execution_id, step_id, round) do update set status = excluded.status, "
                "finished_at = excluded.finished_at, execution_time_ms = excluded.execution_time_ms, "
                "output = excluded.output",
                (execution_id, step_id, round, self.workspace_id, action, status, at, at if is_over else None,
                 ms if is_over else None, _dump(output) if is_over else None),
            )  # fmt: skip

    def add_message(
        self, execution_id: str, automation_id: str, contact_id: str, at: datetime, test: bool = False
    ) -> str:
        """Insert a message, send it, and let callbacks and perhaps a reply arrive."""
        message_id, channel = new_id(), self.random.choice(sorted(CHANNELS))
        execute(
            "insert into messages (id, workspace_id, execution_id, automation_id, contact_id, step_id, key, channel, "
            "provider, sandbox, test, to_address, body, status, created_at, updated_at) values (%s, %s, %s, %s, %s, "
            "'hello', %s, %s, %s, false, %s, 'bob', 'Hi', 'sending', %s, %s)",
            (message_id, self.workspace_id, execution_id, automation_id, contact_id, message_id, channel,
             CHANNELS[channel], test, at, at),
        )  # fmt: skip
        if self.random.random() < 0.2:
            execute("update messages set status = 'failed' where id = %s", (message_id,))
            if self.random.random() < 0.5:
                return message_id
        for status in ("sent", self.random.choice(("sent", "delivered", "read", "bounced", "complained"))):
            execute("update messages set status = %s, sent_at = %s where id = %s", (status, at, message_id))
        if self.random.random() < 0.4:
            self.add_reply(contact_id, channel, at + timedelta(hours=self.random.randrange(300)))
        return message_id

    def add_reply(self, contact_id: str, channel: str, at: datetime) -> None:
        """Insert a message of the contact."""
        execute(
            "insert into received_messages (id, workspace_id, contact_id, channel, provider_message_id, kind, at) "
            "values (%s, %s, %s, %s, %s, %s, %s)",
            (new_id(), self.workspace_id, contact_id, channel, new_id(),
             self.random.choice(("message", "postback", "reaction")), at),
        )  # fmt: skip

    def add_tracked(self, playbook: str, **fields: Any) -> None:
        """Insert a tracked execution of two actions, the second of which failed."""
        execution = {
            "id": new_id(), "workspace_id": self.workspace_id, "workflow_id": playbook, "status": "success",
            "execution_time_ms": 250, "page_path": "/", "device_type": "desktop", "trigger_name": "Scroll Depth",
            "executed_at": self.since, **fields,
        }  # fmt: skip
        names = ", ".join(execution)
        values = ", ".join(["%s"] * len(execution))
        execute(f"insert into workflow_executions ({names}) values ({values})", list(execution.values()))
        for name, error in (("Replace Text", None), ("Show", "not found")):
            execute(
                "insert into analytics_events (id, workspace_id, workflow_id, workflow_execution_id, event_type, name, "
                "execution_time_ms, error, occurred_at) values (%s, %s, %s, %s, 'action', %s, 45, %s, %s)",
                (new_id(), self.workspace_id, playbook, execution["id"], name, error, self.since),
            )

    def end(self, execution_id: str, at: datetime, status: str, error_class: str | None = None) -> None:
        """Let an execution end."""
        execute(
            "update executions set status = %s, stage = %s, error_class = %s, skipped_rule = %s, due_at = null, "
            "started_at = %s, finished_at = %s, execution_time_ms = 7200000 where id = %s",
            (status, {"succeeded": "completed", "failed": "failed"}.get(status, "skipped"), error_class,
             None if status in ("succeeded", "failed") else "daily_limit", at, at + timedelta(hours=2), execution_id),
        )  # fmt: skip

    def reopen(self, execution_id: str) -> None:
        """Retry a failed execution, as an operator does."""
        execute(
            "update executions set status = 'waiting', waiting_for = 'time', due_at = created_at, error_class = null, "
            "finished_at = null, execution_time_ms = null where id = %s",
            (execution_id,),
        )


def _dump(output: Any) -> str | None:
    return None if output is None else dump_json(output)


def count_rows(sql: str, parameters: dict[str, Any]) -> int:
    """Return the number that plain SQL over the rows counts."""
    return int(fetch_value(sql, parameters) or 0)
