"""The spans of a claimed execution: of itself, its steps and their requests. Without traces, each does nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import traces
from rules.definition import Step
from rules.errors import ExecutionError
from tasks.runtime.claimed_execution import ClaimedExecution


@contextmanager
def trace_step(claimed: ClaimedExecution, step: Step) -> Iterator[None]:
    """Record a span of the step, with its status or its error."""
    if not traces.is_on():
        yield
        return
    span_id, started_ns, error = traces.new_span_id(), time.time_ns(), ""
    claimed.step_span_id = span_id
    try:
        yield
    except ExecutionError as failure:
        error = failure.error_class
        raise
    finally:
        row = claimed.steps.get(step.id)
        traces.record(
            f"step {step.action}", claimed.row["trigger_id"], span_id, traces.derive_span_id(claimed.execution_id),
            started_ns, error=error,
            attributes={
                "beckon.execution_id": claimed.execution_id, "beckon.step": step.id, "beckon.action": step.action,
                "beckon.step_status": row["status"] if row else None,
            },
        )  # fmt: skip


def record_request(claimed: ClaimedExecution, kind: str, provider: str, started_ns: int, outcome: str) -> None:
    """Record a span of a request to a provider, which has just ended."""
    if not traces.is_on():
        return
    traces.record(
        f"{kind} {provider}", claimed.row["trigger_id"], traces.new_span_id(), claimed.step_span_id, started_ns,
        kind="client", error="" if outcome == "ok" else outcome,
        attributes={
            "beckon.execution_id": claimed.execution_id, "beckon.provider": provider, "beckon.outcome": outcome,
        },
    )  # fmt: skip


def record_execution(claimed: ClaimedExecution) -> None:
    """Record a span of an execution that has finished, from its creation on."""
    finished_at = claimed.state["finished_at"]
    if not traces.is_on() or finished_at is None:
        return
    row, state = claimed.row, claimed.state
    traces.record(
        "execution", row["trigger_id"], traces.derive_span_id(row["id"]), traces.derive_span_id(row["trigger_id"]),
        int(row["created_at"].timestamp() * 1e9), ended_ns=int(finished_at.timestamp() * 1e9),
        error=(state.get("error_class") or "failed") if state["status"] == "failed" else "",
        attributes={
            "beckon.execution_id": row["id"], "beckon.workspace_id": row["workspace_id"],
            "beckon.automation_id": row["automation_id"], "beckon.status": state["status"], "beckon.test": claimed.test,
            "beckon.skipped_rule": state.get("skipped_rule"),
        },
    )  # fmt: skip
