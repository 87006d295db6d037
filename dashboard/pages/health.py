"""The Health page: every part with its measured state, what is wrong with what to do, and the missing settings."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import flask

from dashboard.access import current_settings
from dashboard.pages import layout
from dashboard.pages.test_runs import build_panel
from tasks.health.measurement import Health, measure
from tasks.health.parts import Group, Part, State

health_pages = flask.Blueprint("health-pages", __name__)

#: The groups in their order.
GROUPS: dict[Group, str] = {"processor": "Processor", "services": "Services", "stores": "Stores"}
#: Each state's label, and the stage whose colour and icon it has.
STATES: dict[State, tuple[str, str, str]] = {
    "ready": ("Ready", "eligible", "eligible"),
    "degraded": ("Degraded", "skipped", "warning"),
    "failing": ("Failing", "failed", "failed"),
    "paused": ("Paused", "queued", "pause"),
    "not_configured": ("Not configured", "queued", "settings"),
    "unknown": ("Unknown", "skipped", "warning"),
}
STATUSES = {
    "ok": ("Healthy", "eligible", "eligible"),
    "degraded": ("Degraded", "failed", "warning"),
    "down": ("Down", "failed", "failed"),
}
PROCESSOR = {
    "running": ("Running", "eligible", "eligible"),
    "degraded": ("Degraded", "skipped", "warning"),
    "stopped": ("Stopped", "failed", "failed"),
}
ICONS = {
    "queue:triggers": "branch", "queue:executions": "list", "queue:generation": "generating",
    "queue:sending": "sending", "queue:tracking": "bars", "leader": "crown", "pending": "queued", "cache": "layers",
    "failures": "warning", "executor": "stack", "email": "sent", "sms": "speech", "messaging": "speech",
    "ai": "generating", "notices": "bell", "postgres": "database", "redis": "stack", "disk": "disk",
}  # fmt: skip


@health_pages.get("/health")
@health_pages.get("/automations/health")
def show() -> Any:
    """The page; its live part refreshes itself."""
    call = layout.require_page_permission()
    health = measure(current_settings(), call.workspace_id, deployment_owner=call.deployment_owner)
    return layout.render(
        "health_live.html" if layout.is_fragment() else "health.html",
        call,
        health=health,
        groups=[(label, _list_parts(health, group)) for group, label in GROUPS.items()],
        summary_text=summarize(health),
        states=STATES,
        status=STATUSES[health.status],
        processor=PROCESSOR[health.processor],
        icons=ICONS,
        may_own="admin" in call.permissions,
        format_since=format_since,
        **build_panel(call),
    )


def _list_parts(health: Health, group: Group) -> list[Part]:
    return [part for part in health.parts if part.group == group]


def summarize(health: Health) -> str:
    """`15 of 17 parts ready, 1 failing, 1 paused`."""
    counts = Counter(part.state for part in health.parts)
    others = [f"{counts[state]} {STATES[state][0].lower()}" for state in STATES if state != "ready" and counts[state]]
    return ", ".join([f"{counts['ready']} of {len(health.parts)} parts ready", *others])


def format_since(moment: datetime, now: datetime, zone: ZoneInfo) -> str:
    """`09:58` today, `Sun 22:10` within the week, else `18 Nov`."""
    local, today = moment.astimezone(zone), now.astimezone(zone)
    days = (today.date() - local.date()).days
    if days == 0:
        return f"{local:%H:%M}"
    return f"{local:%a %H:%M}" if 0 < days < 7 else f"{local.day} {local:%b}"
