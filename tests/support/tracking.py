"""Tracked executions for tests: entries of the intake with the document's own example."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

import urllib3

import settings
from models import api_key, database, tracking_intake
from models.ids import new_id
from rules.json_text import dump_json
from rules.tracking import TrackedAction, TrackedExecution
from tests.support.factories import Alice
from tests.support.waiting import eventually

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


def build_execution(automation_id: str, execution_id: str | None = None, **fields: Any) -> TrackedExecution:
    """A valid execution with one action."""
    values: dict[str, Any] = {
        "execution_id": execution_id or new_id(), "workflow_id": automation_id, "user_id": "user-456",
        "status": "success", "execution_time_ms": 250, "page_url": "https://example.com/pricing",
        "session_id": "session-123", "device_type": "desktop", "trigger_name": "UTM Parameters",
        "actions": (TrackedAction("Replace Text", ".hero", 45, {"newText": "Hi"}, None),), **fields,
    }  # fmt: skip
    return TrackedExecution(**values)


class Shop:
    """A program of Alice's that reports executions and repeats what was not answered with 2xx."""

    def __init__(self, alice: Alice, automation_id: str) -> None:
        self._automation_id = automation_id
        self._key = api_key.issue(alice.workspace_id, "shop", ["track"]).secret
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]

    def is_served(self) -> bool:
        """Whether the dashboard answers."""
        with suppress(urllib3.exceptions.HTTPError):
            return urllib3.request("GET", f"http://127.0.0.1:{self.port}/healthz", retries=False).status == 200
        return False

    def send(self, execution_ids: list[str]) -> urllib3.BaseHTTPResponse:
        """Report executions, each with two actions."""
        executions = [
            {"executionId": id, "workflowId": self._automation_id, "actions": [{"name": "Show"}, {"name": "Hide"}]}
            for id in execution_ids
        ]
        return urllib3.request(
            "POST", f"http://127.0.0.1:{self.port}/api/track-executions", json={"executions": executions},
            headers={"Authorization": f"Bearer {self._key}"}, retries=False, timeout=20,
        )  # fmt: skip

    def report(self, execution_ids: list[str]) -> bool:
        """Report executions; return whether they were accepted."""
        with suppress(urllib3.exceptions.HTTPError):
            return self.send(execution_ids).status == 202
        return False

    def report_until_accepted(self, execution_ids: list[str]) -> bool:
        """Report executions until they are accepted, as clients do."""
        return eventually(lambda: self.report(execution_ids), timeout=60.0)
