"""Calls of Slack's own SDK."""

from __future__ import annotations

from typing import Any

from harness import run
from slack_sdk.webhook import WebhookClient


def send(url: str, **fields: Any) -> Any:
    response = WebhookClient(f"{url}/services/T0/B0/sandbox").send(**fields)
    return {"status": response.status_code, "body": response.body, "wait": response.headers.get("Retry-After")}


def send_fields(url: str, fields: dict[str, Any]) -> Any:
    response = WebhookClient(f"{url}/services/T0/B0/sandbox").send_dict(fields)
    return {"status": response.status_code, "body": response.body}


run({"send": send, "send_fields": send_fields})
