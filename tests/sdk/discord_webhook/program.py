"""Calls of the library discord-webhook."""

from __future__ import annotations

from typing import Any

from discord_webhook import DiscordWebhook
from harness import run


def send(url: str, **fields: Any) -> Any:
    webhook = DiscordWebhook(url=f"{url}/api/v10/webhooks/1/sandbox", wait=True, **fields)
    response = webhook.execute()
    return {"status": response.status_code, "body": response.json(), "id": webhook.id}


run({"send": send})
