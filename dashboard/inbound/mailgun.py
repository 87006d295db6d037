"""Mailgun's webhooks (JSON, signed inside) and its inbound routes (a form, signed by three of its fields).

https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import flask

from dashboard.access import settings
from dashboard.bodies import LARGE_BODY_LIMIT
from dashboard.errors import Refusal
from dashboard.inbound import keeping
from ephemeral.replays import is_replay
from providers import mailgun
from providers.base import Callback

mailgun_door = flask.Blueprint("inbound-mailgun", __name__)


@mailgun_door.post("/api/webhooks/mailgun", defaults={"workspace_id": None})
@mailgun_door.post("/api/webhooks/mailgun/<uuid:workspace_id>")
def hear_event(workspace_id: object) -> Any:
    """Keep what became of a message."""
    try:
        body = json.loads(keeping.raw_body())
    except (ValueError, RecursionError):
        raise Refusal(400, "The body is not JSON.") from None
    if not isinstance(body, dict):
        raise Refusal(400, "The body is not an object.")
    _verify(body)
    return _keep("mailgun", body, mailgun.read_event(body), workspace_id)


@mailgun_door.post("/api/webhooks/mailgun/inbound", defaults={"workspace_id": None})
@mailgun_door.post("/api/webhooks/mailgun/inbound/<uuid:workspace_id>")
def hear_mail(workspace_id: object) -> Any:
    """Keep a contact's mail; attachments are not kept."""
    flask.request.max_content_length = LARGE_BODY_LIMIT
    flask.request.max_form_memory_size = LARGE_BODY_LIMIT
    form = flask.request.form.to_dict()
    _verify(form)
    return _keep("mailgun_inbound", form, mailgun.read_inbound(form), workspace_id)


def _verify(body: Mapping[str, Any]) -> None:
    # Signatures age in real time, whatever BECKON_CLOCK_OFFSET says.
    if not mailgun.verify(body, [settings().mailgun_webhook_signing_key], datetime.now(UTC)):
        raise keeping.bad_signature()


def _keep(kind: str, body: Mapping[str, Any], callback: Callback | None, workspace_id: object) -> Any:
    own = keeping.known_workspace(None if workspace_id is None else str(workspace_id))
    if callback is None:
        return keeping.heard()
    token = mailgun.replay_token(body)
    if token is not None and is_replay(kind, token, callback.event_id):
        raise keeping.bad_signature()
    return keeping.keep(kind, callback.event_id, own, body)
