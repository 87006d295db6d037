"""Starts what starts by the clock: `schedule` at each tick of its cron line, `contact.inactive` once for each silence.

The triggers of one tick carry idempotency keys, and the next tick is written down only when all of them are accepted:
a scheduler that dies in the middle is followed by one that starts the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog

from models import automation_schedule, contact_page, published
from models.automation_schedule import INACTIVE_EVERY
from models.database import Row, acting_as, transaction
from rules.conditions import holds
from rules.definition import Workflow, parse
from rules.facts import contact_facts
from settings import Settings
from tasks.triggers import TriggerRequest, accept

log = structlog.get_logger(__name__)

#: Contacts that are read and started together.
PAGE = 500


def start_due_schedules(settings: Settings) -> Mapping[str, int]:
    """Start every automation whose time has come."""
    with transaction():
        now, due = automation_schedule.due()
    started = 0
    for one in due:
        started += _start(one, now)
    return {"schedules": len(due), "executions": started}


def _start(due: Row, now: datetime) -> int:
    with acting_as(due["workspace_id"]):
        found = published.one(due["automation_id"])
    if found is None:
        with acting_as(due["workspace_id"]):
            automation_schedule.renew(due["workspace_id"], due["automation_id"], None)
        return 0
    started = 0
    if found.enabled:
        workflow = parse(found.definition)
        for contacts in _chosen(due, workflow, now):
            started += _accept(due, workflow, contacts)
    with acting_as(due["workspace_id"]):
        automation_schedule.move_on(due, found.definition, now)
    return started


def _accept(due: Row, workflow: Workflow, contacts: list[Row]) -> int:
    tick = due["next_at"].isoformat()
    requests = [
        TriggerRequest(
            type=workflow.trigger.type,
            contact_id=contact["id"],
            contact=None,
            payload={"scheduledFor": tick},
            automation_id=due["automation_id"],
            idempotency_key=f"clock:{due['automation_id']}:{tick}:{contact['id']}",
        )
        for contact in contacts
    ]
    answers = accept(due["workspace_id"], requests, "schedule")
    return sum(len(getattr(answer, "executions", ())) for answer in answers)


def _chosen(due: Row, workflow: Workflow, now: datetime) -> Iterator[list[Row]]:
    """The contacts that this tick is for, a page at a time."""
    told: Mapping[str, Any] = workflow.trigger.with_
    silent_between = None
    if workflow.trigger.type == "contact.inactive":
        silence = timedelta(days=float(told["days"]))
        # Since the look before this one: each silence is noticed once, also after an outage.
        silent_between = (due["next_at"] - INACTIVE_EVERY - silence, now - silence)
    after: str | None = None
    while True:
        with acting_as(due["workspace_id"]):
            page = contact_page.after(after, PAGE, silent_between)
        if not page:
            return
        condition = told.get("contacts")
        chosen = [one for one in page if not condition or holds(condition, {"contact": contact_facts(one)})]
        if chosen:
            yield chosen
        after = page[-1]["id"]
