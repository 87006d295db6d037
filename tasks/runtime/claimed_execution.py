"""One claimed execution in this process: the facts it was claimed with, and what has happened since the last record.

Nothing here reads or writes a database: moves pile up as values until `progress()` hands them over to be recorded,
just before the outside world is touched and just after. Times come from the database's clock: the moment of the claim
plus what this process's monotonic clock has counted since.
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

#: The first passage; follow-ups are numbered from 1.
FIRST_ROUND = 0
#: Stands for the contact in templates and conditions where a trigger named none.
NO_CONTACT: Mapping[str, Any] = {"id": ""}

_STATE_COLUMNS = frozenset(list_columns(ExecutionState))
_NOT_WAITING: ExecutionState = {"due_at": None, "waiting_for": None, "wait_event": None}

_RowType = TypeVar("_RowType", ExecutionState, StepRow, MessageRow)
Result = TypeVar("Result")
#: How a passage goes: it yields where what it announces must be on record before it goes on (`Engine.announce`).
Continuation = Generator[None, CommitFuture, Result]


class ClaimedExecution:
    """What a worker knows and has done of the execution whose lease it holds."""

    def __init__(
        self, row: ClaimedRow, workflow: Workflow, claimed_monotonic: float, queue: Queue = "executions"
    ) -> None:
        self.row = row
        #: On which its bell was answered.
        self.queue = queue
        self.workflow = workflow
        self.execution_id: str = row["id"]
        self.test: bool = row["test"]
        self.fence: int = row["fence"]
        self.state = cast(ExecutionState, {name: value for name, value in row.items() if name in _STATE_COLUMNS})
        #: Steps and messages of this round by step id; those of the rounds before it.
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
        #: The kind of outside call that a thread is in, for an orderly shutdown: generation, follow_check or sending.
        self.call: str | None = None
        #: The step that is being done.
        self.step: Step | None = None
        #: The settings with the workspace's words about its model laid over them, once a text was asked for.
        self.settings: Settings | None = None
        #: Messages that providers took and that are not on record yet: their id, and the provider's.
        self.accepted: dict[str, str | None] = {}
        #: The day on which this round is known to hold a place under the daily limits.
        self.limit_reserved_on: date | None = None
        #: The queue that was chosen to go on, once it was.
        self.requeued_to: Queue | None = None
        self._claimed_monotonic = claimed_monotonic
        #: What the database's clock said when our monotonic one began.
        self._began: datetime = row["claimed_at"] - timedelta(seconds=claimed_monotonic)
        self._stages: list[StageMove] = []
        self._changed_steps: dict[str, StepRow] = {}
        self._changed_messages: dict[str, MessageRow] = {}
        self._effects: list[Effect] = []
        self._run: CountRun | None = None

    # What is so

    @property
    def round(self) -> int:
        """Which going through the rules and the sends this is."""
        return self.state["round"]

    @property
    def stage(self) -> Stage:
        """Where it stands."""
        return self.state["stage"]

    def now(self) -> datetime:
        """The database's present moment."""
        return self._began + timedelta(seconds=time.monotonic())

    def age_seconds(self) -> float:
        """How long ago it was claimed."""
        return time.monotonic() - self._claimed_monotonic

    @property
    def finished(self) -> dict[str, Mapping[str, Any]]:
        """The newest outputs of the steps that are done, by step id: what the plan goes by, and templates see."""
        return {
            step["step_id"]: step["output"] or {}
            for step in (*self.earlier_steps, *self.steps.values())
            if step["status"] in ("succeeded", "skipped")
        }

    def build_facts(self) -> dict[str, Any]:
        """The variables of templates and conditions."""
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
        """Whether a message of this round has left."""
        return any(message["sent_at"] for message in self.messages.values())

    @property
    def sent_to_contact(self) -> list[MessageRow]:
        """The messages to the contact that left, of every round."""
        messages = (*self.earlier_messages, *self.messages.values())
        return [message for message in messages if message["sent_at"] and message["channel"] in CONTACT_CHANNELS]

    @property
    def base_stage(self) -> Stage:
        """Where it stands between two sends."""
        return "sent" if any(message["round"] == self.round for message in self.sent_to_contact) else "eligible"

    @contextmanager
    def track_call(self, kind: str, provider: str) -> Iterator[None]:
        """Marks the passage while its thread is inside an outside call, for an orderly shutdown; measures the call."""
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

    # What happens

    def begin_round(self) -> None:
        """Go on to the next follow-up, whose steps and messages have keys of their own."""
        self.earlier_steps.extend(self.steps.values())
        self.earlier_messages.extend(self.messages.values())
        self.steps, self.messages, self.limit_reserved_on = {}, {}, None
        self.state["round"] += 1

    def enter(self, stage: Stage) -> None:
        """Move on to another stage, now; staying is no move."""
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
        """Count an attempt of a step, before its work."""
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
        # What failed before has been overcome; the failed tries stay with their step.
        self.state.update({"error_class": None, "error_message": None, "error_code": None})
        self.state.update({"failed_step": None, "next_retry_at": None})

    def _count_run(self, step: Step) -> None:
        """Note the first step that counts as a run. A test has none."""
        kind = find_run_kind(step.action, step.with_)
        if kind is None or self.test or self.state["run_kind"] is not None:
            return
        self.state["run_kind"] = kind
        self._run = CountRun(new_id(), kind, self.now())

    def count_resolved(self) -> None:
        """Count a step that ended while nobody held the execution: by a callback, a look-up or an operator."""
        if self.test or self.state["run_kind"] is not None:
            return
        for row in self.steps.values():
            step = find_step(self.workflow, row["step_id"]) if row["status"] == "succeeded" else None
            if step is not None:
                self._count_run(step)

    def fail_step(self, step: Step, error: Mapping[str, Any]) -> None:
        """Note a failed attempt; the step may be tried again."""
        row = self._ensure_started(step)
        self._finish_step(row, "failed")
        row["error"] = dict(error)
        row["failures"] = [*row["failures"], {"at": self.now(), **error}]

    def undo_attempt(self, step: Step) -> None:
        """Take back the attempt: the provider asked for patience, or an operator must act first."""
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
        """The message of a step, made on first use and changed by `fields`."""
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
        """Change something else in the same record."""
        self._effects.append(effect)

    # How it goes on

    def wait(self, waiting_for: WaitingFor, until: datetime | None, event: str | None = None) -> None:
        """Nobody works on it until then, or until the event."""
        self.state.update({"status": "waiting", "waiting_for": waiting_for, "due_at": until, "wait_event": event})

    def requeue(self, queue: Queue) -> None:
        """Leave it, due at once, to the workers of another queue, whose bell is rung after the record."""
        self.state["queue"] = self.requeued_to = queue
        self.wait("time", self.now())

    def finish(self, status: Status, stage: Stage) -> None:
        """Come to rest."""
        self.enter(stage)
        self.state.update({"status": status, "finished_at": self.now(), "next_retry_at": None, **_NOT_WAITING})

    def end_follow_ups(self, rule: str, detail: Mapping[str, Any]) -> None:
        """No more follow-ups, because of this rule: what was sent before stands, and the execution has succeeded."""
        self.state["follow_up_ended_because"] = {"rule": rule, "detail": dict(detail)}
        self.finish("succeeded", "completed")

    def take_progress(self) -> Progress:
        """What happened since the last record, to be recorded now."""
        stages.check_status_stage(self.state["status"], self.stage)
        if self.state["status"] == "running":
            self.state.update(_NOT_WAITING)
        if self._stages or any(step["status"] in ("succeeded", "skipped") for step in self._changed_steps.values()):
            # Something new is on record: this delivery is the first since.
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
        """The progress is durable; the fence has moved with it."""
        self.fence += 1
        self.accepted.clear()


def _drop_nulls(row: _RowType) -> _RowType:
    """A copy without the columns that are null: a record writes null where a column is not named."""
    return cast(_RowType, {name: value for name, value in row.items() if value is not None})
