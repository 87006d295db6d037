"""When a scheduled automation is due next: one row each, advanced by the scheduler.

A `schedule` trigger is due at the times of its cron expression; `contact.inactive` is checked once an hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from models.database import Row, execute, fetch_rows, fetch_value
from rules.schedule import find_next_tick

#: How often inactive contacts are searched for.
INACTIVE_CHECK_INTERVAL = timedelta(hours=1)


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
            "delete from automation_schedules where automation_id = %s and workspace_id = %s",
            (automation_id, workspace_id),
        )
        return
    execute(
        "insert into automation_schedules (automation_id, workspace_id, next_at) values (%s, %s, %s) "
        "on conflict (automation_id) do update set next_at = excluded.next_at",
        (automation_id, workspace_id, next_at),
    )


def _find_next_due_from_now(workspace_id: str, definition: Mapping[str, Any]) -> datetime | None:
    zone = fetch_value("select timezone from workspaces where id = %s", (workspace_id,))
    return find_next_due(definition, zone or "UTC", fetch_value("select beckon_now()"))


def fetch_due() -> tuple[datetime, list[Row]]:
    """Return the current time and the due automations: automation_id, workspace_id, next_at."""
    now: datetime = fetch_value("select beckon_now()")
    return now, fetch_rows(
        "select automation_id, workspace_id, next_at from automation_schedules where next_at <= %s order by next_at",
        (now,),
    )


def advance(schedule: Row, definition: Mapping[str, Any], now: datetime) -> None:
    """Store the next time, unless it was changed meanwhile. Missed times are not made up for."""
    zone = fetch_value("select timezone from workspaces where id = %s", (schedule["workspace_id"],))
    execute(
        "update automation_schedules set next_at = %s where automation_id = %s and next_at = %s",
        (find_next_due(definition, zone or "UTC", now), schedule["automation_id"], schedule["next_at"]),
    )
