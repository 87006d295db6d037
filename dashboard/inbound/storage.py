"""Shared by all webhooks: the signature check, then storing the raw callback once.

The provider gets 200 as soon as PostgreSQL has the callback; an actor reads it later. While Redis is unavailable, the
sweep enqueues it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import metrics
from dashboard.access import current_settings
from dashboard.bodies import LARGE_BODY_LIMIT, read_bytes
from dashboard.errors import ProblemError, not_found
from dashboard.inbound.loopback import accepts_sandbox
from dashboard.proxies import read_client_network
from dashboard.responses import success
from ephemeral.rate_limits import RateLimit, try_take
from models.inbound_event import Event, Token, build_request
from settings import Settings
from tasks.intake import webhook_requests
from tasks.steps.workspace_settings import resolve_workspace_settings

#: Requests per address that fail their signature. Those that pass it are never refused for their rate.
INVALID_SIGNATURE_LIMIT = RateLimit("invalid-signatures", 50, 500)


def read_raw_body() -> bytes:
    """The bytes that were signed. Raises 413."""
    return read_bytes(LARGE_BODY_LIMIT)


def invalid_signature() -> ProblemError:
    """403, or 429 beyond the address's limit, and count the request; nothing else of it is recorded."""
    metrics.triggers_total.labels(source="webhook", result="unauthorized").inc()
    wait = try_take(INVALID_SIGNATURE_LIMIT, read_client_network())
    if wait:
        return ProblemError(429, "Too many requests with an invalid signature. Slow down.", retry_after=wait)
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


def build_event(
    provider: str, event_id: str, workspace_id: str | None, body: Mapping[str, Any], sandbox: bool
) -> Event:
    """The event of a provider's body.

    Workspaces do not share event ids: the Message-Id of a mail to several of them is the same, and a workspace that
    signs its own events must not use up those of others.
    """
    event_id = event_id[:500] if workspace_id is None else f"{workspace_id}/{event_id[:500]}"
    return Event(provider=provider, event_id=event_id, sandbox=sandbox, body=body)


def store(events: Sequence[Event], workspace_id: str | None = None, token: Token | None = None) -> Any:
    """Store what a signed request brought; 200 once PostgreSQL has it, so the provider need not send it again.

    Raises 403 where another request consumed the token, and 404 where the workspace of the path does not exist.
    """
    if events or workspace_id is not None or token is not None:
        outcome = webhook_requests.accept(build_request(events, workspace_id, token))
        if outcome == "refused":
            raise invalid_signature()
        if outcome == "missing":
            raise not_found("There is no workspace with that id.")
    return success(200)
