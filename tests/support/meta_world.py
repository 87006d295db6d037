"""Meta's webhooks about one person: their bodies, and how the route stores and the actor processes them."""

from __future__ import annotations

import itertools
import time
from typing import Any

from models import account
from models.database import transaction
from providers import meta_callbacks
from tasks.intake.callbacks import process_event
from tests.support.rows import fetch_row, fetch_rows
from tests.support.webhooks import store_events

IG, PAGE = "17841405726653026", "101457812431751"
PERSON = "1570000000000001"
_numbers = itertools.count(1)


def connect(workspace_id: str) -> None:
    """Connect an account of the workspace on each channel."""
    account.add(workspace_id, "instagram", IG, "Shop")
    account.add(workspace_id, "facebook", PAGE, "Page")


def comment(
    text: str = "PRICE please", number: int | None = None, person: str = PERSON, **value: Any
) -> dict[str, Any]:
    """A comment on Instagram."""
    fields = {
        "id": f"comment-{number or next(_numbers)}", "from": {"id": person, "username": f"user_{person}"},
        "text": text, "media": {"id": "media-1", "media_product_type": "FEED"}, **value,
    }  # fmt: skip
    return {"object": "instagram", "entry": [
        {"id": IG, "time": int(time.time()), "changes": [{"field": "comments", "value": fields}]}]}  # fmt: skip


def page_comment(text: str = "PRICE", verb: str = "add", comment_id: str = "p_1") -> dict[str, Any]:
    """A comment on a post of the Page."""
    value = {"item": "comment", "verb": verb, "comment_id": comment_id, "post_id": "post-1", "message": text,
             "from": {"id": PERSON, "name": "Ada Byron King"}, "created_time": int(time.time())}  # fmt: skip
    return {"object": "page", "entry": [
        {"id": PAGE, "time": int(time.time()), "changes": [{"field": "feed", "value": value}]}]}  # fmt: skip


def event(channel: str = "instagram", person: str = PERSON, age: float = 0, **fields: Any) -> dict[str, Any]:
    """One messaging event from a person; `age` in seconds."""
    account_id = IG if channel == "instagram" else PAGE
    millis = int((time.time() - age) * 1000)
    messaging = {"sender": {"id": person}, "recipient": {"id": account_id}, "timestamp": millis, **fields}
    entry = {"id": account_id, "time": millis, "messaging": [messaging]}
    return {"object": "instagram" if channel == "instagram" else "page", "entry": [entry]}


def message_event(text: str | None, mid: str | None = None, channel: str = "instagram", person: str = PERSON,
                  age: float = 0, **message: Any) -> dict[str, Any]:  # fmt: skip
    """A message from a person."""
    content = {"mid": mid or f"mid-{next(_numbers)}", **({"text": text} if text is not None else {}), **message}
    return event(channel, person, age, message=content)


def echo(message: dict[str, Any], person: str = PERSON, **fields: Any) -> dict[str, Any]:
    """Meta's echo of a message that Beckon sent."""
    channel = message["channel"]
    account_id = IG if channel == "instagram" else PAGE
    body = event(channel, message={"mid": "echoed-1", "is_echo": True, **fields})
    body["entry"][0]["messaging"][0].update(sender={"id": account_id}, recipient={"id": person})
    return body


def store_webhook(body: dict[str, Any], *, sandbox: bool = False) -> list[str]:
    """Store each event once, as the route does; return the ids of the new rows."""
    parsed = []
    for single in meta_callbacks.split_events(body):
        callback = meta_callbacks.read_event(single)
        if callback is not None:
            parsed.append((callback.provider, callback.event_id, single))
    ids: list[str] = []
    for provider in {item[0] for item in parsed}:
        events = [(item[1], item[2]) for item in parsed if item[0] == provider]
        ids += store_events(provider, events, sandbox=sandbox)
    return ids


def deliver_webhooks(*bodies: dict[str, Any], sandbox: bool = False) -> str | None:
    """Store and process webhooks; return the outcome of the last event, or None if it is a duplicate."""
    outcome = None
    for body in bodies:
        outcome = None
        for row_id in store_webhook(body, sandbox=sandbox):
            process_event.fn(row_id)
            with transaction():
                stored = fetch_row("select outcome from inbound_events where id = %s", (row_id,))
            outcome = stored["outcome"] if stored else None
    return outcome


def contacts() -> list[dict[str, Any]]:
    """All contacts."""
    with transaction():
        return fetch_rows("select * from contacts order by id")


def executions() -> list[dict[str, Any]]:
    """All executions."""
    with transaction():
        return fetch_rows("select * from executions order by id")


def payloads() -> list[dict[str, Any]]:
    """The payloads of all triggers."""
    with transaction():
        return [trigger["payload"] for trigger in fetch_rows("select payload from triggers order by id")]
