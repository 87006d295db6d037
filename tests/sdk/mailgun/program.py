"""Calls of Mailgun's own SDK."""

from __future__ import annotations

from typing import Any

from harness import run
from mailgun.client import Client


def send(url: str, domain: str, fields: dict[str, Any]) -> Any:
    response = Client(auth=("api", "KEY"), api_url=url).messages.create(data=fields, domain=domain)
    is_json = response.headers["content-type"].startswith("application/json")
    return {"status": response.status_code, "body": response.json() if is_json else response.text}


def list_events(url: str, domain: str, filters: dict[str, Any]) -> Any:
    return Client(auth=("api", "KEY"), api_url=url).events.get(domain=domain, filters=filters).json()


run({"send": send, "list_events": list_events})
