"""One claimed execution in this process: the facts it was claimed with, and its changes since the last record.

    claimed ----------- process stops ------------------> released    shutdown.release_unstarted
       | a thread is free
       v
    running <--------------------------------+
       |                                     |
       |--- workflow is done ----------------|----------> completed   finish; skipped where a rule forbids it
       |--- until a time, event or decision -|----------> waiting     wait
       |--- step fails ----------------------|----------> failed      handle_failure; waiting if a retry is due
       |--- next call is another queue's ----|----------> requeued    requeue
       |                                     |
       | the next step makes an outside call | result or error
       v                                     |
    intent recorded --- process stops -------|----------> requeued    shutdown.undo_intent
       | the record is durable               |
       v                                     |
    outside call ----------------------------+
       |--- process stops, no side effect --------------> released    shutdown.release_in_flight
       |--- process stops, send not answered -----------> failed      shutdown.record_unknown_outcome

A thread runs the continuation of a running execution; no thread waits while the intent is being recorded. Every state
on the right is one final record. The row of a released or requeued execution is waiting and due at once, so that
another claim continues it. The fence refuses every record of a claim whose lease another process has taken.

Nothing here reads or writes a database: changes accumulate as values until `take_progress` returns them to be recorded,
right before each outside call and after it. Times come from the database's clock: the time of the claim plus
what this process's monotonic clock has counted since.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Any, TypeVar, Unpack, cast

import metrics
from models.engine.group_commit import CommitFuture
from models.engine.progress import CountRun, Effect, Progress
from models.engine.rows import ClaimedRow, ExecutionState, MessageRow, StageMove, StepRow, list_columns
from models.ids import new_id
from rules import stages
from rules.channels import CONTACT_CHANNELS
from rules.definition import Step, Workflow
from rules.errors import ExecutionError, UnknownOutcome
from rules.facts import build_contact_facts, build_facts
from rules.plan import find_step
from rules.runs import find_run_kind
from rules.stages import Queue, Stage, Status, StepStatus, WaitingFor
from settings import Settings

#: The round of the workflow itself; follow-ups are numbered from 1.
FIRST_ROUND = 0
#: The contact of templates and conditions where the trigger names none.
NO_CONTACT: Mapping[str, Any] = {"id": ""}

_STATE_COLUMNS = frozenset(list_columns(ExecutionState))
_NOT_WAITING: ExecutionState = {"due_at": None, "waiting_for": None, "wait_event": None}

_RowType = TypeVar("_RowType", ExecutionState, StepRow, MessageRow)
Result = TypeVar("Result")
#: The work on a claimed execution, as a generator: it yields where its intent must be durable before it continues
#: (`Engine.record_intent`).
Continuation = Generator[None, CommitFuture, Result]


class ClaimedExecution:
    """An execution whose lease this worker holds: its facts and its unrecorded changes."""

    def __init__(
        self, row: ClaimedRow, workflow: Workflow, claimed_monotonic: float, queue: Queue = "executions"
    ) -> None:
        self.row = row
        #: The queue of the notification that led to the claim.
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
        for step in sorted(row["steps"], key=lambda step: step["round"]):
            if step["round"] == self.round:
                self.steps[step["step_id"]] = step
            else:
                self.earlier_steps.append(step)
        for message in row["messages"]:
            if message["round"] == self.round:
                self.messages[message["step_id"]] = message
            else:
                self.earlier_messages.append(message)
        self.suppressed = set(row["suppressed"])
        self.contact: dict[str, Any] | None = row["contact"] and build_contact_facts(row["contact"])
        #: The kind of the outside call in progress, for an orderly shutdown: generation, follow_check or sending.
        self.call: str | None = None
        #: The step in progress.
        self.step: Step | None = None
        #: The settings overridden by the workspace's model settings, once a text is generated.
        self.settings: Settings | None = None
        #: Messages that a provider accepted and that are not recorded yet: our id to the provider's id.
        self.accepted: dict[str, str | None] = {}
        #: The day for which this round is known to hold a reservation under the daily limits.
        self.limit_reserved_on: date | None = None
        #: The queue that continues the execution, once it is requeued.
        self.requeued_to: Queue | None = None
        self._claimed_monotonic = claimed_monotonic
        #: The database's time at the zero of this process's monotonic clock.
        self._began: datetime = row["claimed_at"] - timedelta(seconds=claimed_monotonic)
        self._stages: list[StageMove] = []
        self._changed_steps: dict[str, StepRow] = {}
        self._changed_messages: dict[str, MessageRow] = {}
        self._effects: list[Effect] = []
        self._run: CountRun | None = None

    # Queries

    @property
    def round(self) -> int:
        """The number of this round: 0 for the workflow itself, then one for each follow-up."""
        return self.state["round"]

    @property
    def stage(self) -> Stage:
        """The stage that the execution is at."""
        return self.state["stage"]

    def now(self) -> datetime:
        """The current time of the database's clock."""
        return self._began + timedelta(seconds=time.monotonic())

    def age_seconds(self) -> float:
        """Seconds since the claim."""
        return time.monotonic() - self._claimed_monotonic

    @property
    def finished(self) -> dict[str, Mapping[str, Any]]:
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
            finished=self.finished,
            automation={"id": self.row["automation_id"], "name": self.row["automation_name"]},
            execution={"id": self.execution_id, "follow_up": self.round},
            now=self.now(),
        )

    @property
    def has_sent(self) -> bool:
        """Whether a message of this round was sent."""
        return any(message["sent_at"] for message in self.messages.values())

    @property
    def sent_to_contact(self) -> list[MessageRow]:
        """The messages that were sent to the contact, in every round."""
        messages = (*self.earlier_messages, *self.messages.values())
        return [message for message in messages if message["sent_at"] and message["channel"] in CONTACT_CHANNELS]

    @property
    def base_stage(self) -> Stage:
        """The stage between two sends."""
        return "sent" if any(message["round"] == self.round for message in self.sent_to_contact) else "eligible"

    @contextmanager
    def track_call(self, kind: str, provider: str) -> Iterator[None]:
        """Mark the claimed execution as inside an outside call, for an orderly shutdown, and measure the call."""
        self.call = kind
        began, outcome = time.monotonic(), "ok"
        try:
            yield
        except ExecutionError as error:
            outcome = "retryable" if error.retryable else "permanent"
            outcome = "unknown" if isinstance(error, UnknownOutcome) else outcome
            raise
        finally:
            self.call = None
            elapsed = time.monotonic() - began
            metrics.provider_request_seconds.labels(provider=provider, outcome=outcome).observe(elapsed)

    # Changes

    def begin_round(self) -> None:
        """Begin the next follow-up, whose steps and messages have their own keys."""
        self.earlier_steps.extend(self.steps.values())
        self.earlier_messages.extend(self.messages.values())
        self.steps, self.messages, self.limit_reserved_on = {}, {}, None
        self.state["round"] += 1

    def enter(self, stage: Stage) -> None:
        """Move to another stage now; nothing changes where it is the current one."""
        if stage == self.stage:
            return
        stages.check_move(self.stage, stage)
        at = self.now()
        self._stages.append(
            {
                "execution_id": self.execution_id,
                "from_stage": self.stage,
                "from_ms": max(0, int((at - self.state["stage_since"]).total_seconds() * 1000)),
                "stage": stage,
                "entered_at": at,
            }
        )
        self.state.update({"stage": stage, "stage_since": at})

    def begin(self, step: Step) -> StepRow:
        """Start an attempt of a step and count it."""
        row: StepRow = self.steps.get(step.id) or {
            "execution_id": self.execution_id,
            "step_id": step.id,
            "round": self.round,
            "action": step.action,
            "attempts": 0,
            "started_at": None,
            "failures": [],
        }
        row.update({"status": "running", "attempts": row["attempts"] + 1, "started_at": self.now()})
        row.update({"finished_at": None, "execution_time_ms": None, "output": None, "error": None})
        self.steps[step.id] = self._changed_steps[step.id] = row
        return row

    def succeed(self, step: Step, output: Mapping[str, Any], status: StepStatus = "succeeded") -> None:
        """Finish a step with its output; `status` may be "skipped"."""
        row = self._ensure_started(step)
        self._finish_step(row, status)
        row["output"] = dict(output)
        if status == "succeeded":
            self._count_run(step)
        # An earlier failure no longer holds for the execution; failed attempts stay with their step.
        self.state.update({"error_class": None, "error_message": None, "error_code": None})
        self.state.update({"failed_step": None, "next_retry_at": None})

    def _count_run(self, step: Step) -> None:
        """Record the first step that counts as a run; a test execution has none."""
        kind = find_run_kind(step.action, step.with_)
        if kind is None or self.test or self.state["run_kind"] is not None:
            return
        self.state["run_kind"] = kind
        self._run = CountRun(new_id(), kind, self.now())

    def count_run_of_resolved_step(self) -> None:
        """Count a step that ended while no process held the execution: by a callback, reconciliation or an operator."""
        if self.test or self.state["run_kind"] is not None:
            return
        for row in self.steps.values():
            step = find_step(self.workflow, row["step_id"]) if row["status"] == "succeeded" else None
            if step is not None:
                self._count_run(step)

    def fail_step(self, step: Step, error: Mapping[str, Any]) -> None:
        """Record a failed attempt; the step may be retried."""
        row = self._ensure_started(step)
        self._finish_step(row, "failed")
        row["error"] = dict(error)
        row["failures"] = [*row["failures"], {"at": self.now(), **error}]

    def undo_attempt(self, step: Step) -> None:
        """Take the attempt back: a rate limit, a configuration error or a shutdown uses up none."""
        row = self._ensure_started(step)
        row.update({"status": "pending", "attempts": max(0, row["attempts"] - 1)})

    def _ensure_started(self, step: Step) -> StepRow:
        row = self.steps.get(step.id) or self.begin(step)
        self._changed_steps[step.id] = row
        return row

    def _finish_step(self, row: StepRow, status: StepStatus) -> None:
        at = self.now()
        elapsed = at - (row["started_at"] or at)
        row.update({"status": status, "finished_at": at, "execution_time_ms": int(elapsed.total_seconds() * 1000)})

    def update_message(self, step: Step, **fields: Unpack[MessageRow]) -> MessageRow:
        """Change the message of a step by `fields`, creating it on first use, and return it."""
        at = self.now()
        row = self.messages.get(step.id)
        if row is None:
            row = {
                "id": new_id(),
                "execution_id": self.execution_id,
                "automation_id": self.row["automation_id"],
                "contact_id": self.row["contact_id"],
                "step_id": step.id,
                "round": self.round,
                "key": f"{self.execution_id}:{step.id}:{self.round}",
                "test": self.test,
                "format": "text",
                "status": "pending",
                "look_ups": 0,
                "resends": 0,
                "sent_at": None,
                "created_at": at,
            }
        row.update(fields)
        row["updated_at"] = at
        self.messages[step.id] = self._changed_messages[step.id] = row
        return row

    def add_effect(self, effect: Effect) -> None:
        """Change another row in the same record."""
        self._effects.append(effect)

    # Transitions

    def wait(self, waiting_for: WaitingFor, until: datetime | None, event: str | None = None) -> None:
        """Wait until `until` or the event, whichever comes first; no process works on it meanwhile."""
        self.state.update({"status": "waiting", "waiting_for": waiting_for, "due_at": until, "wait_event": event})

    def requeue(self, queue: Queue) -> None:
        """Make it due at once for the workers of `queue`, which are notified after the record."""
        self.state["queue"] = self.requeued_to = queue
        self.wait("time", self.now())

    def finish(self, status: Status, stage: Stage) -> None:
        """End the execution in a final status and stage."""
        self.enter(stage)
        self.state.update({"status": status, "finished_at": self.now(), "next_retry_at": None, **_NOT_WAITING})

    def end_follow_ups(self, rule: str, detail: Mapping[str, Any]) -> None:
        """End the follow-ups because of a rule: the execution succeeds with what was sent before."""
        self.state["follow_up_ended_because"] = {"rule": rule, "detail": dict(detail)}
        self.finish("succeeded", "completed")

    def take_progress(self) -> Progress:
        """Return the changes since the last record, to be recorded now, and forget them."""
        stages.check_status_stage(self.state["status"], self.stage)
        if self.state["status"] == "running":
            self.state.update(_NOT_WAITING)
        if self._stages or any(step["status"] in ("succeeded", "skipped") for step in self._changed_steps.values()):
            # The record makes progress, so this delivery is the first since.
            self.state["deliveries"] = 1
        if self.state["status"] != "running":
            self.state["deliveries"] = 0
        progress = Progress(
            self.execution_id,
            self.fence,
            _drop_nulls(self.state),
            stages=self._stages,
            steps=[_drop_nulls(step) for step in self._changed_steps.values()],
            messages=[_drop_nulls(message) for message in self._changed_messages.values()],
            effects=self._effects,
            run=self._run,
        )
        self._stages, self._changed_steps, self._changed_messages, self._effects = [], {}, {}, []
        self._run = None
        return progress

    def mark_recorded(self) -> None:
        """Note that the progress is durable; the record has increased the fence."""
        self.fence += 1
        self.accepted.clear()


def _drop_nulls(row: _RowType) -> _RowType:
    """Copy a row without nulls: a field that is not named is recorded as null."""
    return cast(_RowType, {name: value for name, value in row.items() if value is not None})
