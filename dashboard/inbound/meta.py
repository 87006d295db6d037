"""Meta's webhooks, for Instagram and for Pages: a handshake, then batches of events, signed over the raw body.

https://developers.facebook.com/docs/graph-api/webhooks/getting-started
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import flask

from dashboard.access import settings
from dashboard.errors import Refusal
from dashboard.inbound import keeping
from providers import meta_callbacks

meta_door = flask.Blueprint("inbound-meta", __name__)

_PATH = "/api/webhooks/<any(instagram, facebook):channel>"


@meta_door.get(_PATH)
def answer_challenge(channel: str) -> Any:  # noqa: ARG001
    """Show Meta that this address is ours, when the webhook is subscribed."""
    challenge = meta_callbacks.challenge(flask.request.args, settings().meta_verify_token)
    if challenge is None:
        raise Refusal(403, "The verify token is not right.")
    return flask.Response(challenge, mimetype="text/plain")


@meta_door.post(_PATH)
def hear_events(channel: str) -> Any:  # noqa: ARG001
    """Keep what was said and done on any of our accounts. The body says which; the path is Meta's to choose."""
    raw = keeping.raw_body()
    signature = flask.request.headers.get("X-Hub-Signature-256")
    from_sandbox = keeping.is_from_sandbox(
        provider=lambda: meta_callbacks.verify(signature, raw, settings().meta_app_secrets),
        sandbox=lambda: meta_callbacks.verify(signature, raw, [settings().sandbox_secrets.meta]),
    )
    told: dict[str, list[tuple[str, Mapping[str, Any]]]] = defaultdict(list)
    for single in meta_callbacks.single_events(_json(raw)):
        callback = meta_callbacks.read_event(single)
        if callback is not None:
            told[callback.provider].append((callback.event_id, single))
    for provider, events in told.items():
        keeping.keep_all(provider, events, sandbox=from_sandbox)
    return keeping.heard()


def _json(raw: bytes) -> Any:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise Refusal(400, "The body is not JSON.") from None
    if not isinstance(body, dict | list):
        raise Refusal(400, "The body is neither an object nor a list.")
    return body
