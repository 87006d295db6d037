"""Test runs: their rows, the automations that they create, and the removal of everything but the row and the audit log.

A workspace has one running test run at a time. The process that executes it writes its steps; a run whose process is
silent is ended by a sweep, so a run that is no longer running must not be written again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

import peewee
from peewee import SQL

from models import audit
from models.audit import AuditActor
from models.database import acting_as, db
from models.errors import Conflict
from models.expressions import build_seconds, is_any, now
from models.ids import new_id
from models.queries import execute, exists, fetch, fetch_first, fetch_value, fetch_values
from models.tables import (
    Automation,
    AutomationRun,
    Contact,
    ContactTask,
    Execution,
    Message,
    StageHistory,
    StageTally,
    Step,
    TestRun,
    Trigger,
    WorkflowVersion,
)
from models.tables.test_runs import TestRunStatus


class TestStep(TypedDict):
    """A step: `status` is upcoming, running, passed, failed or skipped; `duration_ms` is None before it
    begins."""

    name: str
    status: str
    detail: str
    duration_ms: int | None


class TestRunRow(TypedDict):
    """A test run with its steps, in order."""

    id: str
    status: TestRunStatus
    steps: list[TestStep]
    cleaned_up: bool
    cancel_requested: bool
    started_by: str
    started_at: datetime
    finished_at: datetime | None


class SilentRun(TypedDict):
    """A run to end, or an ended one whose data is still there."""

    id: str
    workspace_id: str
    status: TestRunStatus
    steps: list[TestStep]


_COLUMNS = (
    TestRun.id, TestRun.status, TestRun.steps, TestRun.cleaned_up, TestRun.cancel_requested, TestRun.started_by,
    TestRun.started_at, TestRun.finished_at,
)  # fmt: skip


def create(workspace_id: str, actor: AuditActor) -> str:
    """Create a running test run; return its id. Raises `Conflict` that names the one that is still running."""
    run_id = new_id()
    with acting_as(workspace_id):
        try:
            with db.atomic():
                execute(TestRun.insert(id=run_id, workspace_id=workspace_id, started_by=actor.name))
        except peewee.IntegrityError:
            running = fetch_value(
                TestRun.select(TestRun.id).where(TestRun.workspace_id == workspace_id, TestRun.status == "running")
            )
            raise Conflict(f"Test run {running} is still running. Wait for its end, or cancel it.") from None
        audit.record(workspace_id, actor, "test_run.started", "test_run", run_id)
    return run_id


def find(workspace_id: str, run_id: str) -> TestRunRow | None:
    """Return one test run."""
    query = TestRun.select(*_COLUMNS).where(TestRun.workspace_id == workspace_id, TestRun.id == run_id)
    with acting_as(workspace_id):
        return fetch_first(TestRunRow, query)


def list_newest(workspace_id: str, limit: int) -> list[TestRunRow]:
    """Return the newest test runs, newest first."""
    query = TestRun.select(*_COLUMNS).where(TestRun.workspace_id == workspace_id).order_by(TestRun.id.desc())
    with acting_as(workspace_id):
        return fetch(TestRunRow, query.limit(limit))


def find_workspace_id(run_id: str) -> str | None:
    """Return the workspace of a run. Only the service role sees every workspace's."""
    workspace_id: str | None = fetch_value(TestRun.select(TestRun.workspace_id).where(TestRun.id == run_id))
    return workspace_id


def claim(workspace_id: str, run_id: str, steps: Sequence[TestStep]) -> bool:
    """Begin a run that no process has begun; return whether this process may execute it."""
    with acting_as(workspace_id):
        is_new = (TestRun.id == run_id) & (TestRun.status == "running") & (TestRun.steps == SQL("'[]'::jsonb"))
        return bool(execute(TestRun.update(steps=list(steps), seen_at=now()).where(is_new)))


def save(workspace_id: str, run_id: str, steps: Sequence[TestStep]) -> bool | None:
    """Store the steps of a running run; return whether its cancellation was requested, None if it no longer runs."""
    update = TestRun.update(steps=list(steps), seen_at=now()).where(TestRun.id == run_id, TestRun.status == "running")
    with acting_as(workspace_id):
        requested = fetch_values(update.returning(TestRun.cancel_requested))
    return bool(requested[0]) if requested else None


def request_cancel(workspace_id: str, run_id: str, actor: AuditActor) -> None:
    """Ask the process that executes a run to end it. Raises `Conflict` if it has ended."""
    with acting_as(workspace_id):
        is_running = (TestRun.workspace_id == workspace_id) & (TestRun.id == run_id) & (TestRun.status == "running")
        if not execute(TestRun.update(cancel_requested=True).where(is_running)):
            raise Conflict("This test run has ended.")
        audit.record(workspace_id, actor, "test_run.cancelled", "test_run", run_id)


def finish(workspace_id: str, run_id: str, status: TestRunStatus, steps: Sequence[TestStep], cleaned_up: bool) -> bool:
    """End a running run; return False if it has ended before."""
    with acting_as(workspace_id):
        update = TestRun.update(status=status, steps=list(steps), cleaned_up=cleaned_up, finished_at=now())
        return bool(execute(update.where(TestRun.id == run_id, TestRun.status == "running")))


def mark_cleaned_up(workspace_id: str, run_id: str) -> None:
    """Note that nothing of an ended run is left."""
    with acting_as(workspace_id):
        execute(TestRun.update(cleaned_up=True).where(TestRun.id == run_id))


def list_silent(seconds: float, workspace_id: str | None = None) -> list[SilentRun]:
    """Return the running runs that nothing was written about for so long, and ended runs that left data behind: of one
    workspace, or of all."""
    left = Automation.select(Automation.test_run_id).where(Automation.test_run_id.is_null(False))
    is_silent = (TestRun.status == "running") & (TestRun.seen_at < now() - build_seconds(seconds))
    query = TestRun.select(TestRun.id, TestRun.workspace_id, TestRun.status, TestRun.steps)
    if workspace_id is not None:
        query = query.where(TestRun.workspace_id == workspace_id)
    return fetch(SilentRun, query.where(is_silent | ((TestRun.status != "running") & TestRun.id.in_(left))))


def create_automation(workspace_id: str, run_id: str, name: str, definition: Mapping[str, Any]) -> str:
    """Create and publish an automation of a run, off and deleted, so that only the run's triggers start it."""
    automation_id, version_id = new_id(), new_id()
    with acting_as(workspace_id):
        execute(
            Automation.insert(
                id=automation_id, workspace_id=workspace_id, name=name, type="workflow", enabled=False, version=1,
                version_id=version_id, trigger_type=definition["trigger"]["type"], deleted_at=now(), test_run_id=run_id,
            )
        )  # fmt: skip
        execute(
            WorkflowVersion.insert(
                id=version_id, workspace_id=workspace_id, automation_id=automation_id, version=1,
                definition=definition, published_by="Test run",
            )
        )  # fmt: skip
    return automation_id


def find_traces(workspace_id: str, automation_ids: Sequence[str], contact_ids: Sequence[str]) -> list[str]:
    """Return what the executions changed and a test must not: counters, runs and contact tasks, by name."""
    counted = (Automation.executions > 0) | (Automation.total_runs > 0) | Automation.last_executed_at.is_null(False)
    queries: dict[str, peewee.ModelSelect[Any]] = {
        "counters": Automation.select(Automation.id).where(is_any(Automation.id, automation_ids), counted),
        "runs": AutomationRun.select(AutomationRun.id).where(is_any(AutomationRun.automation_id, automation_ids)),
        "contact tasks": ContactTask.select(ContactTask.id).where(is_any(ContactTask.contact_id, contact_ids)),
        "contacts": Contact.select(Contact.id).where(
            is_any(Contact.id, contact_ids), Contact.updated_at > Contact.created_at
        ),
    }
    with acting_as(workspace_id):
        return [name for name, query in queries.items() if exists(query)]


def remove_data(workspace_id: str, run_id: str, contact_names: Sequence[str]) -> int:
    """Delete the run's automations, their executions with their rows, and its sample contacts by external id; return
    the number of executions."""
    with acting_as(workspace_id):
        automations = fetch_values(
            Automation.select(Automation.id)
            .where(Automation.test_run_id == run_id)
            .order_by(Automation.id)
            .for_update()
        )
        execution_ids, trigger_ids = _lock_executions(automations)
        for table in (StageHistory, Step, Message):
            execute(table.delete().where(is_any(table.execution_id, execution_ids)))
        execute(Execution.delete().where(is_any(Execution.id, execution_ids)))
        execute(Trigger.delete().where(is_any(Trigger.id, trigger_ids)))
        execute(StageTally.delete().where(is_any(StageTally.automation_id, automations)))
        execute(Automation.delete().where(is_any(Automation.id, automations)))
        execute(
            Contact.delete().where(
                Contact.workspace_id == workspace_id, Contact.sample, Contact.external_id.in_(list(contact_names))
            )
        )
    return len(execution_ids)


class _ExecutionRow(TypedDict):
    id: str
    trigger_id: str


def _lock_executions(automation_ids: Sequence[str]) -> tuple[list[str], list[str]]:
    query = Execution.select(Execution.id, Execution.trigger_id).where(
        is_any(Execution.automation_id, automation_ids), Execution.test
    )
    rows = fetch(_ExecutionRow, query.order_by(Execution.id).for_update())
    return [row["id"] for row in rows], [row["trigger_id"] for row in rows]
