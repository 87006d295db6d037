"""Which executions a move applies to: one, a contact's, an automation's, a queue's, or those that filters match.

A selection holds executions of the acting workspace, whatever their state: each move adds the states that it leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import peewee

from models.execution_filters import ExecutionFilters
from models.expressions import acting_workspace, is_any
from models.tables import Execution


@dataclass(frozen=True)
class Selection:
    """A set of executions, as a condition on `Execution`."""

    condition: peewee.Expression


def select_one(execution_id: str) -> Selection:
    """Select one execution."""
    return _select(Execution.id == execution_id)


def select_of_contact(contact_id: str) -> Selection:
    """Select a contact's executions."""
    return _select(Execution.contact_id == contact_id)


def select_of_contacts(contact_ids: Sequence[str]) -> Selection:
    """Select the executions of these contacts."""
    return _select(is_any(Execution.contact_id, contact_ids))


def select_of_automation(automation_id: str) -> Selection:
    """Select an automation's executions."""
    return _select(Execution.automation_id == automation_id)


def select_of_queue(queue: str) -> Selection:
    """Select the executions whose next outside call is on a queue."""
    return _select(Execution.queue == queue)


def select_all() -> Selection:
    """Select every execution of the workspace."""
    return Selection(Execution.workspace_id == acting_workspace())


def select_many(execution_ids: Sequence[str]) -> Selection:
    """Select these executions."""
    return _select(is_any(Execution.id, execution_ids))


def select_matching(filters: ExecutionFilters) -> Selection:
    """Select the executions that the filters match."""
    return Selection(filters.build_condition())


def _select(condition: peewee.Expression) -> Selection:
    return Selection((Execution.workspace_id == acting_workspace()) & condition)
