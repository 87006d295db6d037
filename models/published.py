"""Published workflows as the engine reads them: the active ones of a trigger type, and one version by its id.

A published version never changes, so it can be cached without limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import peewee

from models.expressions import acting_workspace
from models.queries import fetch, fetch_value
from models.tables import Automation, Execution, WorkflowVersion
from rules.language import PAGE_TRIGGER, PLAYBOOK


@dataclass(frozen=True, slots=True)
class PublishedWorkflow:
    """One published version of an automation's workflow; `definition` is the validated document."""

    automation_id: str
    automation_name: str
    enabled: bool
    trigger_type: str
    #: Whether it leaves an event that a more specific automation answers; else it starts beside others.
    exclusive: bool
    version_id: str
    version: int
    definition: Mapping[str, Any]

    @property
    def is_playbook(self) -> bool:
        """Whether visitors' browsers execute it, and the engine never does."""
        return self.trigger_type == PAGE_TRIGGER


def _list_published(*conditions: Any) -> list[PublishedWorkflow]:
    query = (
        Automation.select(
            Automation.id.alias("automation_id"),
            Automation.name.alias("automation_name"),
            Automation.enabled,
            Automation.trigger_type,
            Automation.exclusive,
            WorkflowVersion.id.alias("version_id"),
            WorkflowVersion.version,
            WorkflowVersion.definition,
        )
        .join(WorkflowVersion, on=WorkflowVersion.id == Automation.version_id)
        .where(Automation.workspace_id == acting_workspace(), *conditions)
    )
    return fetch(PublishedWorkflow, query)


def list_active(trigger_type: str) -> list[PublishedWorkflow]:
    """Return the enabled automations of the acting workspace with this trigger type."""
    return _list_published(Automation.deleted_at.is_null(), Automation.trigger_type == trigger_type, Automation.enabled)


def list_playbooks() -> list[PublishedWorkflow]:
    """Return the playbooks of the acting workspace that browsers execute: enabled and not paused, oldest first."""
    is_active = Automation.deleted_at.is_null() & Automation.enabled & Automation.paused_at.is_null()
    rows = _list_published(Automation.type == PLAYBOOK, Automation.trigger_type == PAGE_TRIGGER, is_active)
    return sorted(rows, key=lambda row: row.automation_id)


def list_by_trigger_type(trigger_type: str) -> list[PublishedWorkflow]:
    """Return the automations with this trigger type, including disabled ones, which tests may start."""
    return _list_published(Automation.deleted_at.is_null(), Automation.trigger_type == trigger_type)


def find(automation_id: str) -> PublishedWorkflow | None:
    """Return the published version of one automation of the acting workspace, enabled or not; also of a test run's,
    which is off."""
    is_present = Automation.deleted_at.is_null() | Automation.test_run_id.is_null(False)
    return next(iter(_list_published(is_present, Automation.id == automation_id)), None)


def find_execution_definition(execution_id: str) -> Mapping[str, Any] | None:
    """Return the definition that an execution uses, or None if it is gone."""
    return _find_definition(
        WorkflowVersion.select(WorkflowVersion.definition)
        .join(Execution, on=WorkflowVersion.id == Execution.version_id)
        .where(Execution.id == execution_id)
    )


def find_definition(version_id: str) -> Mapping[str, Any] | None:
    """Return the definition of one version of any workspace: the engine passes the id on an execution's row."""
    return _find_definition(WorkflowVersion.select(WorkflowVersion.definition).where(WorkflowVersion.id == version_id))


def _find_definition(query: peewee.Query) -> Mapping[str, Any] | None:
    definition: Mapping[str, Any] | None = fetch_value(query)
    return definition
