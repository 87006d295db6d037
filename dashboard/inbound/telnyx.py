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
    if not telnyx.verify(dict(flask.request.headers), raw, settings().telnyx_public_key, datetime.now(UTC)):
        raise keeping.bad_signature()
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise Refusal(400, "The body is not JSON.") from None
    own = keeping.known_workspace(None if workspace_id is None else str(workspace_id))
    callback = telnyx.read_event(body) if isinstance(body, dict) else None
    if callback is None:
        return keeping.heard()
    return keeping.keep("telnyx", callback.event_id, own, body)
