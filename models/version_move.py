"""Moves executions to the published version of their automation. `rules.version_moves` decides which can be moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from peewee import SQL, fn

from models.expressions import is_any
from models.queries import execute, fetch
from models.selection import Selection
from models.tables import Automation, Execution, Step, WorkflowVersion
from rules.stages import Queue


class VersionPath(TypedDict):
    """Executions that have taken the same path on one version, and the published version of their automation.

    `taken` has the arm that each finished step took, null for steps without arms. `current_version_id` is null where
    nothing is published; it may be the version that they already have.
    """

    automation_id: str
    version_id: str
    current_version_id: str | None
    current_version: int
    failed_step: str | None
    round: int
    taken: dict[str, str | None]
    count: int


class VersionPathOfExecutions(VersionPath):
    """The same, with the ids of the executions."""

    ids: list[str]


def count_paths(condition: Any) -> list[VersionPath]:
    """Return the paths of the executions of a condition, with their numbers."""
    return fetch(VersionPath, _select_paths(condition, []))


def list_paths(selection: Selection) -> list[VersionPathOfExecutions]:
    """Return the paths of the selected executions, with their ids."""
    ids = fn.array_agg(Execution.id).alias("ids")
    return fetch(VersionPathOfExecutions, _select_paths(selection.condition, [ids]))


def _select_paths(condition: Any, columns: list[Any]) -> Any:
    arms = fn.jsonb_object_agg(Step.step_id, Step.output.extract_text("taken"))
    taken = Step.select(fn.coalesce(arms, SQL("'{}'"))).where(
        Step.execution_id == Execution.id, Step.status.in_(("succeeded", "skipped"))
    )
    path = Execution.select(Execution.id, taken.alias("taken")).where(condition).cte("path")
    is_current = Execution.version_id == Automation.version_id
    group = (
        Execution.automation_id, Execution.version_id, Automation.version_id, Automation.version, Execution.failed_step,
        Execution.round, path.c.taken,
    )  # fmt: skip
    return (
        Execution.select(
            Execution.automation_id, Execution.version_id, Automation.version_id.alias("current_version_id"),
            Automation.version.alias("current_version"), Execution.failed_step, Execution.round, path.c.taken,
            fn.count(SQL("*")).alias("count"), *columns,
        )
        .join(path, on=path.c.id == Execution.id)
        .switch(Execution)
        .join(Automation, on=Automation.id == Execution.automation_id)
        .where(~is_current | Automation.version_id.is_null())
        .group_by(*group)
        .with_cte(path)
    )  # fmt: skip


class _DefinitionRow(TypedDict):
    id: str
    definition: dict[str, Any]


def fetch_definitions(version_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the definitions of these versions by id; one that is gone is left out."""
    query = WorkflowVersion.select(WorkflowVersion.id, WorkflowVersion.definition)
    return {
        row["id"]: row["definition"]
        for row in fetch(_DefinitionRow, query.where(is_any(WorkflowVersion.id, version_ids)))
    }


def move(execution_ids: Sequence[str], version_id: str, version: int, queue: Queue) -> None:
    """Move failed or waiting executions to another version, on the queue of its next outside call."""
    execute(
        Execution.update(version_id=version_id, version=version, queue=queue).where(
            is_any(Execution.id, execution_ids), Execution.status.in_(("failed", "waiting"))
        )
    )
