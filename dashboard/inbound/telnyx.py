"""Telnyx's webhooks: JSON, with an Ed25519 signature over time and raw body in the headers.

https://developers.telnyx.com/docs/messaging/messages/receiving-webhooks
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import flask

from dashboard.access import settings
from dashboard.errors import Refusal
from dashboard.inbound import keeping
from providers import telnyx

telnyx_door = flask.Blueprint("inbound-telnyx", __name__)


@telnyx_door.post("/api/webhooks/telnyx", defaults={"workspace_id": None})
@telnyx_door.post("/api/webhooks/telnyx/<uuid:workspace_id>")
def hear_event(workspace_id: object) -> Any:
    """Keep what became of a message, or what a contact wrote."""
    raw = keeping.raw_body()
    # Signatures age in real time, whatever BECKON_CLOCK_OFFSET says.
    headers, now = dict(flask.request.headers), datetime.now(UTC)
    from_sandbox = keeping.is_from_sandbox(
        provider=lambda: telnyx.verify(headers, raw, settings().telnyx_public_key, now),
        sandbox=lambda: telnyx.verify(headers, raw, settings().sandbox_secrets.telnyx_public_key, now),
    )
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise Refusal(400, "The body is not JSON.") from None
    own = None if workspace_id is None else str(workspace_id)
    if own is not None and not keeping.is_workspace(own):
        raise keeping.no_workspace()
    callback = telnyx.read_event(body) if isinstance(body, dict) else None
    if callback is not None:
        keeping.keep("telnyx", callback.event_id, own, body, sandbox=from_sandbox)
    return keeping.heard()
