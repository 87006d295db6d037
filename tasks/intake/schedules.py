"""Starts scheduled automations: `schedule` by its cron expression, `contact.inactive` once per period of inactivity.

A tick that is missed, because no scheduler ran, is made up for if it is late by no more than the schedule's `catch_up`
(`rules/due_ticks`); older ones are skipped, recorded and counted. Ticks of an automation that is off or paused pass.

The triggers of one tick carry idempotency keys, and the next tick is stored only after all of them are accepted. If a
scheduler dies in between, the next one starts the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog

import metrics
from models import audit, automation_schedule, contact_scan, published
from models.automation_schedule import INACTIVE_CHECK_INTERVAL, ScheduleRow
from models.contact_matching import ContactRow
from models.database import acting_as, db, transaction
from rules.conditions import evaluate
from rules.definition import Workflow, parse
from rules.due_ticks import DueTicks, SkippedTicks
from rules.facts import build_contact_facts, format_time
from rules.trigger_requests import TriggerRequest
from settings import Settings
from tasks.intake.triggers import AcceptedTrigger, accept

log = structlog.get_logger(__name__)

#: Number of contacts that are read and started together.
PAGE_SIZE = 500


def start_due_schedules(settings: Settings) -> Mapping[str, int]:
    """Start every automation whose schedule is due."""
    with transaction():
        now, schedules = automation_schedule.fetch_due()
    started = 0
    for schedule in schedules:
        started += _start(schedule, now)
    return {"schedules": len(schedules), "executions": started}


def _start(schedule: ScheduleRow, now: datetime) -> int:
    with acting_as(schedule["workspace_id"]):
        automation = published.find(schedule["automation_id"])
    if automation is None:
        with acting_as(schedule["workspace_id"]):
            automation_schedule.renew(schedule["workspace_id"], schedule["automation_id"], None)
        return 0
    with acting_as(schedule["workspace_id"]):
        due = automation_schedule.sort_due(schedule, automation.definition, now)
    workflow = parse(automation.definition)
    if not automation.enabled or (schedule["is_paused"] and workflow.trigger.type == "schedule"):
        due = DueTicks(None, None)
    started = 0
    if due.start is not None:
        named = {"id": automation.automation_id, "name": automation.automation_name}
        for contacts in _list_matching_contacts(schedule, workflow, now, {"automation": named}):
            started += _accept(schedule, workflow, due.start, contacts)
    _advance(schedule, automation.definition, now, due.skipped)
    return started


def _advance(schedule: ScheduleRow, definition: Mapping[str, Any], now: datetime, skipped: SkippedTicks | None) -> None:
    """Store the next tick, with the skipped ones and their entry of the audit log."""
    workspace_id, automation_id = schedule["workspace_id"], schedule["automation_id"]
    with acting_as(workspace_id):
        if not automation_schedule.advance(schedule, definition, now, skipped) or skipped is None:
            return
        detail = {
            "count": skipped.count, "first": format_time(skipped.first), "last": format_time(skipped.last),
        }  # fmt: skip
        audit.record(workspace_id, audit.SYSTEM, "automation.ticks_skipped", "automation", automation_id, detail)
        db.after_commit(lambda: metrics.schedule_ticks_skipped_total.inc(skipped.count))
    log.warning("scheduled times skipped", workspace_id=workspace_id, automation_id=automation_id, **detail)


def _accept(schedule: ScheduleRow, workflow: Workflow, tick_at: datetime, contacts: list[ContactRow]) -> int:
    tick = tick_at.isoformat()
    requests = [
        TriggerRequest(
            type=workflow.trigger.type,
            contact_id=contact["id"],
            contact=None,
            payload={"scheduledFor": tick},
            automation_id=schedule["automation_id"],
            idempotency_key=f"clock:{schedule['automation_id']}:{tick}:{contact['id']}",
        )
        for contact in contacts
    ]
    results = accept(schedule["workspace_id"], requests, "schedule")
    return sum(len(result.executions) for result in results if isinstance(result, AcceptedTrigger))


def _list_matching_contacts(
    schedule: ScheduleRow, workflow: Workflow, now: datetime, facts: Mapping[str, Any]
) -> Iterator[list[ContactRow]]:
    """Yield the contacts of this tick, a page at a time; `facts` are what their condition may use beside them."""
    options: Mapping[str, Any] = workflow.trigger.with_
    silent_between = None
    if workflow.trigger.type == "contact.inactive":
        silence = timedelta(days=float(options["days"]))
        # From the previous check on: each silence is noticed once, also after an outage.
        silent_between = (schedule["next_at"] - INACTIVE_CHECK_INTERVAL - silence, now - silence)
    after: str | None = None
    while True:
        with acting_as(schedule["workspace_id"]):
            page = contact_scan.fetch_page(after, PAGE_SIZE, silent_between)
        if not page:
            return
        condition, common = options.get("contacts"), {**facts, "now": format_time(now)}
        matching = [
            contact
            for contact in page
            if not condition or evaluate(condition, {**common, "contact": build_contact_facts(contact)})
        ]
        if matching:
            yield matching
        after = page[-1]["id"]
