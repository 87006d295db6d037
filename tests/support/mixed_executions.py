"""Executions of every fate on a running copy: sent, skipped, failed, of unknown outcome, waiting, retrying, tests.

Each is triggered over HTTP, so that the copy's own processes count it.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from typing import Any

import settings
from tests.support.running_app import RunningApp

_MAIL = {"id": "mail", "action": "send_email", "with": {"subject": "Hello", "body": "Hello {{ contact.first_name }}"}}
_SMS = {"id": "sms", "action": "send_sms", "with": {"body": "Hello"}}
#: Nobody can be asked about it.
_NOTICE = {"id": "notice", "action": "notify", "with": {"channel": "slack", "text": "Hello"}}
_TEXT = {"id": "text", "action": "generate_message", "with": {"prompt": "Greet {{ contact.first_name }}"}}
_WAIT = {"id": "rest", "action": "wait", "with": {"for": "3d"}}
_BROKEN = {"id": "mail", "action": "send_email", "with": {"subject": "Hello", "body": "{{ payload.missing.name }}"}}

#: The steps and rules of each fate's automation.
DEFINITIONS: dict[str, dict[str, Any]] = {
    "mixed.sent": {"steps": [_MAIL]},
    "mixed.generated": {"steps": [_TEXT, _SMS]},
    "mixed.skipped": {"steps": [_MAIL], "rules": {"tags": {"all": ["vip"]}}},
    "mixed.failed": {"steps": [_BROKEN]},
    "mixed.waiting": {"steps": [_WAIT, _MAIL]},
    "mixed.unknown": {"steps": [_NOTICE]},
}
#: How many of ten executions have each fate.
MIX = (*["mixed.sent"] * 4, *["mixed.generated"] * 2, "mixed.skipped", "mixed.failed", "mixed.waiting", "mixed.unknown")
#: Triggers in one request.
BATCH_SIZE = 500

# Prints the workspaces and their keys. The commands would take a second for each.
_CREATE_TENANTS = """
import json, sys
from models import api_key, workspace
from workers.console import connect
with connect():
    ids = [workspace.create(f"tenant-{n}", f"Tenant {n}", demo=True) for n in range(int(sys.argv[1]))]
    print(json.dumps([[id, api_key.issue(id, "tests").secret] for id in ids]))
"""


@dataclass(frozen=True)
class Tenant:
    """A workspace of a running copy, with its key."""

    url: str
    workspace_id: str
    key: str

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON response of the API."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        encoded = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, method=method, data=encoded, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.loads(response.read())

    def publish(self) -> None:
        """Publish the automation of each fate."""
        for name, definition in DEFINITIONS.items():
            body = {"name": name, "type": "workflow", "enabled": True,
                    "definition": {"trigger": {"type": name}, **definition}}  # fmt: skip
            self.call("POST", f"/api/workspaces/{self.workspace_id}/automations", body)

    def trigger(self, count: int) -> None:
        """Trigger this many executions, and one test."""
        triggers = [build_trigger(fate, number) for number, fate in zip(range(count), itertools.cycle(MIX))]
        for start in range(0, count, BATCH_SIZE):
            self.call("POST", "/api/triggers/batch", {"triggers": triggers[start : start + BATCH_SIZE]})
        self.call("POST", "/api/triggers", {**build_trigger("mixed.sent", count), "test": True})


def build_trigger(fate: str, number: int) -> dict[str, Any]:
    """The body of a trigger for the fate's automation, about the contact of this number."""
    phone = f"+1555{number:07d}"
    contact = {"externalId": f"c{number}", "firstName": "Bob", "email": f"c{number}@example.com", "phone": phone}
    return {"type": fate, "contact": contact}


def lose_answers(app: RunningApp) -> None:
    """Make the sandbox accept every notice without an answer."""
    fault = {"provider": "slack", "fault": "reset_after", "times": 0}
    request = urllib.request.Request(
        f"{app.access()['sandboxUrl']}/_sandbox/faults",
        json.dumps(fault).encode(),
        {"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=10).close()


def find_demo(app: RunningApp) -> Tenant:
    """The demo workspace of the copy."""
    access = app.access()
    return Tenant(str(access["url"]), str(access["workspaceId"]), str(access["apiKey"]))


def create_tenants(app: RunningApp, count: int) -> list[Tenant]:
    """Create workspaces that use the sandbox."""
    result = subprocess.run(
        [sys.executable, "-c", _CREATE_TENANTS, str(count)],
        cwd=settings.ROOT, env=app.environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [Tenant(str(app.access()["url"]), *pair) for pair in json.loads(result.stdout)]
