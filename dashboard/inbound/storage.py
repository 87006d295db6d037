"""Shared by all webhooks after the signature check: store the raw callback once and enqueue it.

The provider gets 200 as soon as PostgreSQL has the callback; an actor reads it later. While Redis is unavailable, the
sweep enqueues it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

import metrics
from dashboard.access import current_settings
from dashboard.bodies import LARGE_BODY_LIMIT, read_bytes
from dashboard.errors import ProblemError, not_found
from dashboard.inbound.loopback import accepts_sandbox
from dashboard.responses import success
from models import inbound_event, workspace
from models.database import db, transaction
from models.ids import is_id
from rules.json_text import dump_storable_json, load_json
from settings import Settings
from tasks.runtime.notifications import enqueue_actor
from tasks.steps.workspace_settings import resolve_workspace_settings

#: Callbacks per message, read in sequence: a message for each would take longer than storing them.
EVENTS_PER_MESSAGE = 50

log = structlog.get_logger(__name__)


def read_raw_body() -> bytes:
    """The bytes that were signed. Raises 413."""
    return read_bytes(LARGE_BODY_LIMIT)


def invalid_signature() -> ProblemError:
    """403, and count the request; nothing else of it is recorded."""
    metrics.triggers_total.labels(source="webhook", result="unauthorized").inc()
    return ProblemError(403, "The signature is invalid.")


def is_from_sandbox(*, provider: Callable[[], bool], sandbox: Callable[[], bool]) -> bool:
    """True where the sandbox signed the request, False where the provider did; each argument checks one signature.

    Raises 403 where neither did, and where the sandbox's signature comes from another machine.
    """
    if provider():
        return False
    if accepts_sandbox() and sandbox():
        return True
    raise invalid_signature()


def resolve_webhook_settings(workspace_id: object) -> Settings:
    """The settings that verify this request: the workspace's in its path, or the environment's.

    The plain path never accepts a workspace's own secret: its events may move messages of every workspace.
    """
    if workspace_id is None:
        return current_settings()
    return resolve_workspace_settings(current_settings(), str(workspace_id))


def has_workspace(workspace_id: str) -> bool:
    """Whether the workspace in the path exists. Call it only after the signature check."""
    return is_id(workspace_id) and workspace.get(workspace_id) is not None


def workspace_not_found() -> ProblemError:
    """404 for a webhook of a workspace that does not exist."""
    return not_found("There is no workspace with that id.")


def store_event(
    provider: str, event_id: str, workspace_id: str | None, body: Mapping[str, Any], *, sandbox: bool
) -> None:
    """Store the callback and enqueue it after the commit, unless it was stored before.

    Workspaces do not share event ids: the Message-Id of a mail to several of them is the same, and a workspace that
    signs its own events must not use up those of others.
    """
    event_id = event_id[:500] if workspace_id is None else f"{workspace_id}/{event_id[:500]}"
    # Characters that PostgreSQL cannot store are removed: after an error the provider would only send them again.
    sanitized = load_json(dump_storable_json({"id": event_id, "body": dict(body)}))
    with transaction():
        row_id = inbound_event.store(provider, sanitized["id"], workspace_id, sanitized["body"], sandbox=sandbox)
        if row_id is not None:
            db.after_commit(lambda: enqueue_actor("tracking", "process_event", row_id))
    metrics.triggers_total.labels(source="webhook", result="accepted" if row_id else "duplicate").inc()


def store_events(provider: str, events: Sequence[tuple[str, Mapping[str, Any]]], *, sandbox: bool) -> None:
    """Store the events of one request in one statement, and enqueue the new ones."""
    sanitized = load_json(dump_storable_json([{"id": event_id[:500], "body": dict(body)} for event_id, body in events]))
    row_ids, new_count = inbound_event.store_all(
        provider, [(event["id"], event["body"]) for event in sanitized], sandbox=sandbox
    )
    metrics.triggers_total.labels(source="webhook", result="accepted").inc(new_count)
    metrics.triggers_total.labels(source="webhook", result="duplicate").inc(len(events) - new_count)
    if new_count == 0:
        return
    for first in range(0, len(row_ids), EVENTS_PER_MESSAGE):
        enqueue_actor("tracking", "process_events", *row_ids[first : first + EVENTS_PER_MESSAGE])


def acknowledge() -> Any:
    """200: the event is stored, or signed and not relevant here; the provider need not send it again."""
    return success(200)
