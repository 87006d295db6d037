"""Meta's webhooks for Instagram and Pages: a handshake, then batches of events, signed over the raw body.

https://developers.facebook.com/docs/graph-api/webhooks/getting-started
"""

from __future__ import annotations

from typing import Any

import flask

from dashboard.access import current_settings
from dashboard.errors import ProblemError
from dashboard.inbound import storage
from providers import meta_callbacks
from rules.json_text import load_json

meta_webhooks = flask.Blueprint("inbound-meta", __name__)

_PATH = "/api/webhooks/<any(instagram, facebook):channel>"


@meta_webhooks.get(_PATH)
def answer_challenge(channel: str) -> Any:  # noqa: ARG001
    """Answer the handshake that Meta sends when the webhook is subscribed."""
    challenge = meta_callbacks.answer_challenge(flask.request.args, current_settings().meta_verify_token)
    if challenge is None:
        raise ProblemError(403, "The verify token is invalid. Compare it with META_VERIFY_TOKEN.")
    return flask.Response(challenge, mimetype="text/plain")


@meta_webhooks.post(_PATH)
def receive_events(channel: str) -> Any:  # noqa: ARG001
    """Store the events of all connected accounts. The body names the account; Meta may use either path."""
    raw = storage.read_raw_body()
    signature = flask.request.headers.get("X-Hub-Signature-256")
    from_sandbox = storage.is_from_sandbox(
        provider=lambda: meta_callbacks.verify(signature, raw, current_settings().meta_app_secrets),
        sandbox=lambda: meta_callbacks.verify(signature, raw, [current_settings().sandbox_secrets.meta]),
    )
    events = []
    for event in meta_callbacks.split_events(_parse_json(raw)):
        callback = meta_callbacks.read_event(event)
        if callback is not None:
            events.append(storage.build_event(callback.provider, callback.event_id, None, event, from_sandbox))
    return storage.store(events)


def _parse_json(raw: bytes) -> Any:
    try:
        body = load_json(raw)
    except ValueError:
        raise ProblemError(400, "The body is not JSON.") from None
    if not isinstance(body, dict | list):
        raise ProblemError(400, "The body is neither a JSON object nor a list.")
    return body
