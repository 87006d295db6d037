"""Calls of Telnyx's own SDK."""

from __future__ import annotations

from typing import Any

from harness import run
from telnyx import APIStatusError, Telnyx


def open_client(url: str, key: str = "KEY", public_key: str | None = None) -> Telnyx:
    return Telnyx(api_key=key, base_url=f"{url}/v2", max_retries=0, public_key=public_key)


def send(url: str, **fields: Any) -> Any:
    try:
        data = open_client(url).messages.send(**fields).data
    except APIStatusError as error:
        headers = {name.lower(): value for name, value in error.response.headers.items()}
        error.wait = headers.get("retry-after")
        error.codes = [item["code"] for item in error.body["errors"]]
        raise
    return data.model_dump(mode="json", by_alias=True)


def get(url: str, message_id: str) -> Any:
    return open_client(url).messages.retrieve(message_id).data.model_dump(mode="json", by_alias=True)


def unwrap(url: str, body: str, headers: dict[str, str], public_key: str) -> Any:
    event = open_client(url, public_key=public_key).webhooks.unwrap(body, headers=headers)
    return event.model_dump(mode="json", by_alias=True)


run({"send": send, "get": get, "unwrap": unwrap})
