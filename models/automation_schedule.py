"""When a scheduled automation is due next: one row each, advanced by the scheduler.

A `schedule` trigger is due at the times of its cron expression; `contact.inactive` is checked once an hour.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict

from models.expressions import now
from models.queries import call, execute, fetch, fetch_first, fetch_value
from models.tables import Automation, AutomationSchedule, WorkflowVersion, Workspace
from rules.due_ticks import DueTicks, SkippedTicks, parse_catch_up, sort_due_ticks
from rules.schedule import find_next_tick

#: The trigger types with a schedule.
SCHEDULED = ("schedule", "contact.inactive")
#: How often inactive contacts are searched for.
INACTIVE_CHECK_INTERVAL = timedelta(hours=1)


class ScheduleRow(TypedDict):
    """The next scheduled time of an automation, and whether an operator has paused it."""

    automation_id: str
    workspace_id: str
    next_at: datetime
    is_paused: bool


class ScheduleStateRow(TypedDict):
    """A schedule for display: its next time, and the ticks that were skipped together last, if any."""

    next_at: datetime
    skipped_ticks: int | None
    skipped_from: datetime | None
    skipped_until: datetime | None


def find_next_due(definition: Mapping[str, Any], workspace_zone: str, after: datetime) -> datetime | None:
    """Return the first scheduled time later than `after`; None if the trigger has no schedule."""
    trigger = definition["trigger"]
    if trigger["type"] == "contact.inactive":
        return after + INACTIVE_CHECK_INTERVAL
    if trigger["type"] != "schedule":
        return None
    return find_next_tick(trigger["with"]["cron"], _find_zone(trigger, workspace_zone), after)


def sort_due(schedule: ScheduleRow, definition: Mapping[str, Any], now: datetime) -> DueTicks:
    """Return which of a due schedule's ticks starts, and which are skipped. A check for inactive contacts starts
    always: it covers the time since the one before."""
    trigger = definition["trigger"]
    if trigger["type"] != "schedule":
        return DueTicks(schedule["next_at"], None)
    zone = _find_zone(trigger, _fetch_zone(schedule["workspace_id"]))
    return sort_due_ticks(trigger["with"]["cron"], zone, schedule["next_at"], now, parse_catch_up(trigger))


def _find_zone(trigger: Mapping[str, Any], workspace_zone: str) -> str:
    return trigger["with"].get("timezone") or workspace_zone


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


def restart(workspace_id: str, automation_id: str, trigger_types: Collection[str] = SCHEDULED) -> None:
    """Recompute the next time of the published version from now, where its trigger has one of these types: what passed
    while the automation was off or paused is no missed tick."""
    definition: Mapping[str, Any] | None = fetch_value(
        WorkflowVersion.select(WorkflowVersion.definition)
        .join(Automation, on=Automation.version_id == WorkflowVersion.id)
        .where(
            Automation.id == automation_id,
            Automation.workspace_id == workspace_id,
            Automation.deleted_at.is_null(),
            Automation.trigger_type.in_(trigger_types),
        )
    )
    if definition is not None:
        renew(workspace_id, automation_id, definition)


def find(workspace_id: str, automation_id: str) -> ScheduleStateRow | None:
    """Return the schedule of one automation; None if its trigger has none."""
    row = AutomationSchedule
    query = row.select(row.next_at, row.skipped_ticks, row.skipped_from, row.skipped_until)
    return fetch_first(
        ScheduleStateRow, query.where(row.automation_id == automation_id, row.workspace_id == workspace_id)
    )


def _find_next_due_from_now(workspace_id: str, definition: Mapping[str, Any]) -> datetime | None:
    return find_next_due(definition, _fetch_zone(workspace_id), fetch_value(call(now())))


def fetch_due() -> tuple[datetime, list[ScheduleRow]]:
    """Return the current time and the due automations, the longest due first."""
    current: datetime = fetch_value(call(now()))
    query = (
        AutomationSchedule.select(
            AutomationSchedule.automation_id,
            AutomationSchedule.workspace_id,
            AutomationSchedule.next_at,
            Automation.paused_at.is_null(False).alias("is_paused"),
        )
        .join(Automation, on=Automation.id == AutomationSchedule.automation_id)
        .where(AutomationSchedule.next_at <= current)
        .order_by(AutomationSchedule.next_at)
    )
    return current, fetch(ScheduleRow, query)


def advance(
    schedule: ScheduleRow, definition: Mapping[str, Any], after: datetime, skipped: SkippedTicks | None = None
) -> bool:
    """Store the first time later than `after` and the ticks that were skipped, unless the schedule was changed
    meanwhile; return whether they were stored."""
    values: dict[str, Any] = {"next_at": find_next_due(definition, _fetch_zone(schedule["workspace_id"]), after)}
    if skipped is not None:
        values |= {
            "skipped_ticks": skipped.count, "skipped_from": skipped.first, "skipped_until": skipped.last,
        }  # fmt: skip
    return bool(
        execute(
            AutomationSchedule.update(**values).where(
                AutomationSchedule.automation_id == schedule["automation_id"],
                AutomationSchedule.next_at == schedule["next_at"],
            )
        )
    )


def _fetch_zone(workspace_id: str) -> str:
    return fetch_value(Workspace.select(Workspace.timezone).where(Workspace.id == workspace_id)) or "UTC"
