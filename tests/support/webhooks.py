"""Stores what providers' webhooks bring, as the routes do once a signature is verified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models import inbound_event
from models.inbound_event import Event, Outcome, Token, build_request


def store_events(provider: str, events: Sequence[tuple[str, Mapping[str, Any]]], *, sandbox: bool = False) -> list[str]:
    """Store events of one request, each an event id with its body; return the ids of the new rows."""
    built = [Event(provider=provider, event_id=event_id, sandbox=sandbox, body=body) for event_id, body in events]
    return inbound_event.store([build_request(built)])[0].stored_ids


def store_event(
    provider: str, event_id: str, workspace_id: str | None, body: Mapping[str, Any], *, sandbox: bool = False
) -> str | None:
    """Store one event; return its row's id, or None for a duplicate."""
    event = Event(provider=provider, event_id=event_id, sandbox=sandbox, body=body)
    (stored,) = inbound_event.store([build_request([event], workspace_id)])
    return next(iter(stored.stored_ids), None)


def consume_token(text: str, door: str, body_hash: bytes) -> Outcome:
    """Store a request without events whose signature has this token."""
    return inbound_event.store([build_request([], None, Token(text, door, body_hash))])[0].outcome
