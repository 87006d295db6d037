"""One claimed execution in this process: the row it was claimed with, its current state, and its unrecorded changes.

`moves` changes the state, `step_rows` and `message_rows` change the rows, and `outside_calls` tracks the call in
progress. None of them reads or writes a database: `changes` accumulates values until `take_record` returns them to
be recorded, right before each outside call and after it. Times come from the database's clock: the time of the claim
plus what this process's monotonic clock has counted since it sent the claim. So a time is never before what it records,
and ahead of the database's clock by no more than the claim took to reach it, as long as the record that follows takes.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from datetime import date, datetime, timedelta
from typing import Any, TypeVar, cast

from models.engine.current_facts import CurrentFacts
from models.engine.group_commit import CommitFuture
from models.engine.records import Effect, ExecutionRecord
from models.engine.rows import ClaimedRow, ExecutionState, MessageRow, RecipientRow, StepRow, list_columns
from rules import stages
from rules.channels import CONTACT_CHANNELS
from rules.definition import Step, Workflow
from rules.facts import build_contact_facts, build_facts
from rules.stages import Queue, Stage
from settings import Settings
from tasks.runtime.changes import Changes

#: The round of the workflow itself; follow-ups are numbered from 1.
FIRST_ROUND = 0
#: The value of `ClaimedExecution.call` once another process may continue.
RELEASED = "released"
#: The contact of templates and conditions where the trigger names none.
NO_CONTACT: Mapping[str, Any] = {"id": ""}
#: The state of an execution that waits for nothing.
NOT_WAITING: ExecutionState = {"due_at": None, "waiting_for": None, "wait_event": None}

_STATE_COLUMNS = frozenset(list_columns(ExecutionState))

Result = TypeVar("Result")
#: The work on a claimed execution, as a generator: it yields where its intent must be durable before it continues
#: (`Engine.record_intent`).
Continuation = Generator[None, CommitFuture, Result]


class ClaimedExecution:
    """An execution whose lease this worker holds."""

    def __init__(self, row: ClaimedRow, workflow: Workflow, queue: Queue = "executions") -> None:
        self.row = row
        #: The queue of the notification that led to the claim, then that of the pool that continues it.
        self.queue = queue
        self.workflow = workflow
        self.execution_id: str = row["id"]
        self.test: bool = row["test"]
        self.fence: int = row["fence"]
        self.state = cast(ExecutionState, {name: value for name, value in row.items() if name in _STATE_COLUMNS})
        #: Steps and messages of this round by step id, and those of earlier rounds.
        self.steps: dict[str, StepRow] = {}
        self.messages: dict[str, MessageRow] = {}
        self.earlier_steps: list[StepRow] = []
        self.earlier_messages: list[MessageRow] = []
        self._sort_rows_by_round()
        self.suppressed = set(row["suppressed"])
        self.contact: dict[str, Any] | None = row["contact"] and build_contact_facts(row["contact"])
        #: For an orderly shutdown, the kind of the outside call in progress (generation, follow_check or sending), or
        #: `RELEASED` once another process may continue.
        self.call: str | None = None
        #: The step in progress, and the id of its span if traces are on.
        self.step: Step | None = None
        self.step_span_id = 0
        #: When the message in progress was last refused, before the current call.
        self.refused_at: datetime | None = None
        #: The settings overridden by the workspace's model settings, once a text is generated.
        self.settings: Settings | None = None
        #: Messages that a provider accepted and that are not recorded yet: our id to the provider's id.
        self.accepted: dict[str, str | None] = {}
        #: The day for which this round is known to hold a reservation under the daily limits.
        self.limit_reserved_on: date | None = None
        #: Whether a pool has begun it: the pauses and rules of its claim were checked.
        self.is_admitted = False
        #: The queue of the next outside call, where it is not this pool's.
        self.next_queue: Queue | None = None
        #: The queue that continues the execution, once it is requeued.
        self.requeued_to: Queue | None = None
        self.changes = Changes()
        #: The record that was taken last.
        self.submitted: ExecutionRecord | None = None
        #: The database's time at the zero of this process's monotonic clock.
        self._began: datetime = row["claimed_at"] - timedelta(seconds=row["sent_monotonic"])
        self._facts_at = row["sent_monotonic"]

    def _sort_rows_by_round(self) -> None:
        for step in sorted(self.row["steps"], key=lambda step: step["round"]):
            if step["round"] == self.round:
                self.steps[step["step_id"]] = step
            else:
                self.earlier_steps.append(step)
        for message in self.row["messages"]:
            if message["round"] == self.round:
                self.messages[message["step_id"]] = message
            else:
                self.earlier_messages.append(message)

    @property
    def round(self) -> int:
        """The number of this round: 0 for the workflow itself, then one for each follow-up."""
        return self.state["round"]

    @property
    def stage(self) -> Stage:
        """The stage that the execution is at."""
        return self.state["stage"]

    def now(self) -> datetime:
        """The current time of the database's clock, and never before the stage that was entered last.

        Two processes measure from claims of their own, so their times may differ by what a claim takes.
        """
        return max(self._began + timedelta(seconds=time.monotonic()), self.state["stage_since"])

    def skip_time(self, seconds: float) -> None:
        """Let time pass, for a forecast, which takes the steps after a wait at once."""
        self._began += timedelta(seconds=seconds)

    def age_seconds(self) -> float:
        """Seconds since its facts (contact, suppressions, pauses) were asked for: by the claim, or anew."""
        return time.monotonic() - self._facts_at

    def replace_facts(self, facts: CurrentFacts, asked_at: float) -> None:
        """Replace what others may have changed since the claim; `asked_at` is monotonic time from before the query."""
        self._facts_at = asked_at
        self.row.update(facts)  # type: ignore[typeddict-item]
        self.suppressed = set(facts["suppressed"])
        self.contact = facts["contact"] and build_contact_facts(facts["contact"])

    @property
    def finished_outputs(self) -> dict[str, Mapping[str, Any]]:
        """The newest output of each finished step, by step id, for the plan and for templates."""
        return {
            step["step_id"]: step["output"] or {}
            for step in (*self.earlier_steps, *self.steps.values())
            if step["status"] in ("succeeded", "skipped")
        }

    def build_facts(self) -> dict[str, Any]:
        """Build the variables of templates and conditions."""
        return build_facts(
            contact=self.contact or NO_CONTACT,
            payload=self.row["payload"],
            finished=self.finished_outputs,
            automation={"id": self.row["automation_id"], "name": self.row["automation_name"]},
            execution={"id": self.execution_id, "follow_up": self.round},
            now=self.now(),
        )

    @property
    def has_sent(self) -> bool:
        """Whether a message of this round was sent."""
        return any(message["sent_at"] for message in self.messages.values())

    @property
    def has_sent_to_contact(self) -> bool:
        """Whether a message of this round was sent to the contact: notices and webhooks count under no limit."""
        return any(message["round"] == self.round for message in self.sent_to_contact)

    @property
    def sent_to_contact(self) -> list[MessageRow]:
        """The messages that were sent to the contact, in every round."""
        messages = (*self.earlier_messages, *self.messages.values())
        return [message for message in messages if message["sent_at"] and message["channel"] in CONTACT_CHANNELS]

    @property
    def base_stage(self) -> Stage:
        """The stage between two sends."""
        return "sent" if self.has_sent_to_contact else "eligible"

    def add_effect(self, effect: Effect) -> None:
        """Change another row in the same record."""
        self.changes.effects.append(effect)

    def add_recipient(self, address_hash: bytes, address: str) -> None:
        """Keep the address behind a hash in the same record."""
        row: RecipientRow = {
            "execution_id": self.execution_id,
            "address_hash": address_hash.hex(),
            "address": address,
        }
        self.changes.recipients.append(row)

    def take_record(self) -> ExecutionRecord:
        """Return the changes since the last record, to be recorded now, and forget them."""
        stages.check_status_stage(self.state["status"], self.stage)
        if self.state["status"] == "running":
            self.state.update(NOT_WAITING)
        if self.changes.makes_progress:
            # The record makes progress, so this delivery is the first since.
            self.state["deliveries"] = 1
        if self.state["status"] != "running":
            self.state["deliveries"] = 0
        self.submitted = self.changes.build_record(self.execution_id, self.fence, self.state)
        self.changes = Changes()
        return self.submitted

    def mark_recorded(self) -> None:
        """Note that the record is durable; it has increased the fence."""
        self.fence += 1
        self.accepted.clear()
