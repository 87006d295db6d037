"""Tracked executions for tests: entries of the intake with the document's own example."""

from __future__ import annotations

from typing import Any

import settings
from models import database, tracking_intake
from models.ids import new_id
from rules.json_text import dump_json

ACTIONS = [
    {"name": "Replace Text", "selector": ".hero-title", "execution_time_ms": 45,
     "config": {"newText": "Special Offer!"}, "error": None},
    {"name": "Show", "selector": "#banner", "execution_time_ms": 3, "config": None, "error": None},
    {"name": "Hide", "selector": "#old", "execution_time_ms": 2, "config": None, "error": None},
]  # fmt: skip


def build_entry(
    workspace_id: str, automation_id: str, execution_id: str | None = None, **fields: Any
) -> dict[str, Any]:
    """An entry of the intake with three actions."""
    row_id = new_id()
    body = {
        "workflow_id": automation_id, "user_id": "user-456", "status": "success", "execution_time_ms": 250,
        "page_url": "https://example.com/pricing", "session_id": "session-123", "device_type": "desktop",
        "trigger_name": "UTM Parameters", "actions": ACTIONS, **fields,
    }  # fmt: skip
    return {"id": row_id, "workspace_id": workspace_id, "site_key_id": None,
            "execution_id": execution_id or row_id, "body": body}  # fmt: skip


def record_as_service(limit: int = 100) -> int:
    """Record what waits in the intake, as the tracking program does, in a test that is connected as the dashboard."""
    config = settings.load()
    database.db.close_all()
    database.open_pool(config.database_service_url, "beckon_service", 2)
    try:
        return tracking_intake.record(limit).total
    finally:
        database.db.close_all()
        database.open_pool(config.database_app_url, "beckon_app", 8)


def store(*entries: dict[str, Any]) -> set[str]:
    """Store entries in the intake; the ids of the duplicates."""
    return tracking_intake.store(dump_json(list(entries)))
