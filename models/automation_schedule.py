"""When a scheduled automation is due next: one row each, advanced by the scheduler.

A `schedule` trigger is due at the times of its cron expression; `contact.inactive` is checked once an hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict

from models.expressions import now
from models.queries import call, execute, fetch, fetch_value
from models.tables import AutomationSchedule, Workspace
from rules.schedule import find_next_tick

#: How often inactive contacts are searched for.
INACTIVE_CHECK_INTERVAL = timedelta(hours=1)


class ScheduleRow(TypedDict):
    """The next scheduled time of an automation."""

    automation_id: str
    workspace_id: str
    next_at: datetime


def find_next_due(definition: Mapping[str, Any], workspace_zone: str, after: datetime) -> datetime | None:
    """Return the first scheduled time later than `after`; None if the trigger has no schedule."""
    trigger = definition["trigger"]
    if trigger["type"] == "contact.inactive":
        return after + INACTIVE_CHECK_INTERVAL
    if trigger["type"] != "schedule":
        return None
    options = trigger["with"]
    return find_next_tick(options["cron"], options.get("timezone") or workspace_zone, after)


def renew(workspace_id: str, automation_id: str, definition: Mapping[str, Any] | None) -> None:
    """Recompute the next time from now, in the caller's transaction; without a definition there is none."""
    if definition is None or (next_at := _find_next_due_from_now(workspace_id, definition)) is None:
        execute(
            AutomationSchedule.delete().where(
                AutomationSchedule.automation_id == automation_id, AutomationSchedule.workspace_id == workspace_id
            )
        )
        return
    execute(
        AutomationSchedule.insert(automation_id=automation_id, workspace_id=workspace_id, next_at=next_at).on_conflict(
            conflict_target=[AutomationSchedule.automation_id], preserve=[AutomationSchedule.next_at]
        )
    )


def _find_next_due_from_now(workspace_id: str, definition: Mapping[str, Any]) -> datetime | None:
    return find_next_due(definition, _fetch_zone(workspace_id), fetch_value(call(now())))


def fetch_due() -> tuple[datetime, list[ScheduleRow]]:
    """Return the current time and the due automations, the longest due first."""
    current: datetime = fetch_value(call(now()))
    query = (
        AutomationSchedule.select(
            AutomationSchedule.automation_id, AutomationSchedule.workspace_id, AutomationSchedule.next_at
        )
        .where(AutomationSchedule.next_at <= current)
        .order_by(AutomationSchedule.next_at)
    )
    return current, fetch(ScheduleRow, query)


def advance(schedule: ScheduleRow, definition: Mapping[str, Any], after: datetime) -> None:
    """Store the first time later than `after`, unless it was changed meanwhile. Missed times are not made up for."""
    next_at = find_next_due(definition, _fetch_zone(schedule["workspace_id"]), after)
    execute(
        AutomationSchedule.update(next_at=next_at).where(
            AutomationSchedule.automation_id == schedule["automation_id"],
            AutomationSchedule.next_at == schedule["next_at"],
        )
    )


def _fetch_zone(workspace_id: str) -> str:
    return fetch_value(Workspace.select(Workspace.timezone).where(Workspace.id == workspace_id)) or "UTC"
