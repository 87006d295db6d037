"""Telnyx's webhooks: JSON, with an Ed25519 signature over timestamp and raw body in the headers.

https://developers.telnyx.com/docs/messaging/messages/receiving-webhooks
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import flask

from dashboard.access import current_settings
from dashboard.errors import ProblemError
from dashboard.inbound import storage
from providers import telnyx
from rules.json_text import load_json

telnyx_webhooks = flask.Blueprint("inbound-telnyx", __name__)


@telnyx_webhooks.post("/api/webhooks/telnyx", defaults={"workspace_id": None})
@telnyx_webhooks.post("/api/webhooks/telnyx/<uuid:workspace_id>")
def receive_event(workspace_id: object) -> Any:
    """Store a delivery event or a message from a contact."""
    raw = storage.read_raw_body()
    # Signatures age in real time, whatever BECKON_CLOCK_OFFSET says.
    headers, now = dict(flask.request.headers), datetime.now(UTC)
    own = storage.resolve_webhook_settings(workspace_id)
    from_sandbox = storage.is_from_sandbox(
        provider=lambda: telnyx.verify(headers, raw, own.telnyx_public_key, now),
        sandbox=lambda: telnyx.verify(headers, raw, current_settings().sandbox_secrets.telnyx_public_key, now),
    )
    try:
        body = load_json(raw)
    except ValueError:
        raise ProblemError(400, "The body is not JSON.") from None
    body = telnyx.add_key(body, flask.request.args) if isinstance(body, dict) else None
    path_workspace_id = None if workspace_id is None else str(workspace_id)
    callback = telnyx.read_event(body) if body is not None else None
    if body is None or callback is None:
        return storage.store([], path_workspace_id)
    event = storage.build_event("telnyx", callback.event_id, path_workspace_id, body, from_sandbox)
    return storage.store([event], path_workspace_id)
