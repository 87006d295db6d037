"""Programs that call the API in the dashboard's tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Producer:
    """A program with an API key."""

    client: FlaskClient
    workspace_id: str
    secret: str

    def request(self, method: str, path: str, **options: Any) -> TestResponse:
        """Send a request with the key."""
        headers = {"Authorization": f"Bearer {self.secret}", **options.pop("headers", {})}
        return self.client.open(path, method=method, headers=headers, **options)

    def get(self, path: str, **options: Any) -> TestResponse:
        """Send a GET request."""
        return self.request("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> TestResponse:
        """Send a POST request with JSON."""
        return self.request("POST", path, json={} if body is None else body, **options)

    def put(self, path: str, body: Any = None, **options: Any) -> TestResponse:
        """Send a PUT request with JSON."""
        return self.request("PUT", path, json={} if body is None else body, **options)

    @property
    def automations(self) -> str:
        """The path of the workspace's automations."""
        return f"/api/workspaces/{self.workspace_id}/automations"

    def create(self, **fields: Any) -> dict[str, Any]:
        """Create an automation."""
        response = self.post(self.automations, {"name": "Welcome", "definition": definition(), **fields})
        assert response.status_code == 201, response.json
        automation: dict[str, Any] = response.json["automation"]
        return automation


def definition(**trigger: Any) -> dict[str, Any]:
    """A definition with one e-mail step."""
    return {
        "trigger": {"type": "contact.created", **trigger},
        "steps": [{"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "Hello there"}}],
    }
