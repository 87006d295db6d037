"""Who asks in the dashboard's tests, and what they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Producer:
    """A program with a key: its requests carry it, its answers are JSON."""

    client: FlaskClient
    workspace_id: str
    secret: str

    def ask(self, method: str, path: str, **given: Any) -> TestResponse:
        """One request with the key."""
        headers = {"Authorization": f"Bearer {self.secret}", **given.pop("headers", {})}
        return self.client.open(path, method=method, headers=headers, **given)

    def get(self, path: str, **given: Any) -> TestResponse:
        """One GET."""
        return self.ask("GET", path, **given)

    def post(self, path: str, body: Any = None, **given: Any) -> TestResponse:
        """One POST of JSON."""
        return self.ask("POST", path, json={} if body is None else body, **given)

    def put(self, path: str, body: Any = None, **given: Any) -> TestResponse:
        """One PUT of JSON."""
        return self.ask("PUT", path, json={} if body is None else body, **given)

    @property
    def automations(self) -> str:
        """The path of the workspace's automations."""
        return f"/api/workspaces/{self.workspace_id}/automations"

    def create(self, **given: Any) -> dict[str, Any]:
        """A new automation."""
        answer = self.post(self.automations, {"name": "Welcome", "definition": definition(), **given})
        assert answer.status_code == 201, answer.json
        made: dict[str, Any] = answer.json["automation"]
        return made


def definition(**trigger: Any) -> dict[str, Any]:
    """A small workflow that says hello by e-mail."""
    return {
        "trigger": {"type": "contact.created", **trigger},
        "steps": [{"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "Hello there"}}],
    }
