"""Published workflows as the engine reads them: the active ones of a trigger type, and one version by its id.

A published version never changes, so it can be cached without limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.database import Row, fetch_row, fetch_rows


@dataclass(frozen=True, slots=True)
class PublishedWorkflow:
    """One published version of an automation's workflow; `definition` is the validated document."""

    automation_id: str
    automation_name: str
    enabled: bool
    trigger_type: str
    version_id: str
    version: int
    definition: Mapping[str, Any]


_SELECT = """
    select a.id automation_id, a.name automation_name, a.enabled, a.trigger_type, v.id version_id, v.version,
        v.definition
    from automations a join workflow_versions v on v.id = a.version_id
    where a.workspace_id = acting_workspace() and a.deleted_at is null
"""


def _build_published(row: Row) -> PublishedWorkflow:
    return PublishedWorkflow(**row)


def list_active(trigger_type: str) -> list[PublishedWorkflow]:
    """Return the enabled automations of the acting workspace with this trigger type."""
    return [
        _build_published(row) for row in fetch_rows(f"{_SELECT} and a.trigger_type = %s and a.enabled", (trigger_type,))
    ]


def list_by_trigger_type(trigger_type: str) -> list[PublishedWorkflow]:
    """Return the automations with this trigger type, including disabled ones, which tests may start."""
    return [_build_published(row) for row in fetch_rows(f"{_SELECT} and a.trigger_type = %s", (trigger_type,))]


def find(automation_id: str) -> PublishedWorkflow | None:
    """Return the published version of one automation of the acting workspace, enabled or not."""
    row = fetch_row(f"{_SELECT} and a.id = %s", (automation_id,))
    return _build_published(row) if row else None


def find_execution_definition(execution_id: str) -> Mapping[str, Any] | None:
    """Return the definition that an execution uses, or None if it is gone."""
    row = fetch_row(
        "select v.definition from executions e join workflow_versions v on v.id = e.version_id where e.id = %s",
        (execution_id,),
    )
    return row["definition"] if row else None


def find_definition(version_id: str) -> Mapping[str, Any] | None:
    """Return the definition of one version of any workspace: the engine passes the id on an execution's row."""
    row = fetch_row("select definition from workflow_versions where id = %s", (version_id,))
    return row["definition"] if row else None
