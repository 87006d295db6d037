"""Mailgun's webhooks (JSON, signed inside) and its inbound routes (a form, signed by three of its fields).

Only a timestamp and a token are signed, not the body. The transaction that stores the event therefore consumes the
token: the same body at the same URL is a retry and changes nothing; any other request with that token is rejected.
https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
"""

from __future__ import annotations

import hashlib
import json  # a hash that must stay the same
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import flask

from dashboard.access import current_settings
from dashboard.bodies import BODY_LIMIT, LARGE_BODY_LIMIT, compute_max_values, parse_here
from dashboard.errors import ProblemError
from dashboard.inbound import mailgun_forms, storage
from dashboard.parsing import LARGE_BYTES, parse_apart, wait_for_turn
from models.inbound_event import Token
from providers import mailgun
from providers.base import Callback
from rules.body_json import parse_signed_json

mailgun_webhooks = flask.Blueprint("inbound-mailgun", __name__)


@mailgun_webhooks.post("/api/webhooks/mailgun", defaults={"workspace_id": None})
@mailgun_webhooks.post("/api/webhooks/mailgun/<uuid:workspace_id>")
def receive_event(workspace_id: object) -> Any:
    """Store a delivery event."""
    raw = storage.read_raw_body()
    body = _parse_body(raw)
    # Mailgun never sends the flat form of inbound routes to this URL.
    if not isinstance(body.get("signature"), dict):
        raise storage.invalid_signature()
    from_sandbox = _verify(body, workspace_id)
    return _store("mailgun", body, hashlib.sha256(raw).digest(), mailgun.read_event(body), workspace_id, from_sandbox)


@mailgun_webhooks.post("/api/webhooks/mailgun/inbound", defaults={"workspace_id": None})
@mailgun_webhooks.post("/api/webhooks/mailgun/inbound/<uuid:workspace_id>")
def receive_mail(workspace_id: object) -> Any:
    """Store a contact's e-mail without its attachments."""
    flask.request.max_form_memory_size = LARGE_BODY_LIMIT
    raw = storage.read_raw_body()
    signed = mailgun_forms.read_signature(raw)
    from_sandbox = _verify(signed, workspace_id)
    if any(flask.request.form.getlist(name) != [signed[name]] for name in mailgun.SIGNATURE_FIELDS):
        raise storage.invalid_signature()
    form = flask.request.form.to_dict()
    return _store("mailgun_inbound", form, _hash_form(raw), mailgun.read_inbound(form), workspace_id, from_sandbox)


def _parse_body(raw: bytes) -> dict[str, Any]:
    """The event in a body. Its signature is in it, so it is parsed first; events have far fewer values than these."""
    max_values, signed_names = compute_max_values(BODY_LIMIT), mailgun.SIGNATURE_FIELDS
    if len(raw) > LARGE_BYTES:
        options = {"max_values": max_values, "signed_names": list(signed_names)}
        with wait_for_turn():
            body = parse_apart("signed_json", raw, is_bounded=False, **options)
    else:
        body = parse_here(parse_signed_json, raw, max_values, signed_names)
    if not isinstance(body, dict):
        raise ProblemError(400, "The body is not a JSON object.")
    return body


def _hash_form(raw: bytes) -> bytes:
    """The hash of an inbound form. A multipart form is hashed by its parts: each attempt has another boundary."""
    if flask.request.mimetype != "multipart/form-data":
        return hashlib.sha256(raw).digest()
    fields = [list(pair) for pair in flask.request.form.items(multi=True)]
    files = [
        [name, file.filename, hashlib.sha256(file.stream.read()).hexdigest()]
        for name, file in flask.request.files.items(multi=True)
    ]
    return hashlib.sha256(json.dumps([fields, files]).encode()).digest()


def _verify(body: Mapping[str, Any], workspace_id: object) -> bool:
    """True where the sandbox signed the body, False where Mailgun did. Raises 403 where neither did."""
    # Signatures age in real time, whatever BECKON_CLOCK_OFFSET says.
    now, own = datetime.now(UTC), storage.resolve_webhook_settings(workspace_id)
    return storage.is_from_sandbox(
        provider=lambda: mailgun.verify(body, [own.mailgun_webhook_signing_key], now),
        sandbox=lambda: mailgun.verify(body, [current_settings().sandbox_secrets.mailgun], now),
    )


def _store(
    kind: str,
    body: Mapping[str, Any],
    body_hash: bytes,
    callback: Callback | None,
    workspace_id: object,
    from_sandbox: bool,
) -> Any:
    path_workspace_id = None if workspace_id is None else str(workspace_id)
    token = Token(str(mailgun.read_replay_token(body)), f"{kind}/{path_workspace_id or ''}", body_hash)
    events = []
    if callback is not None:
        events.append(storage.build_event(kind, callback.event_id, path_workspace_id, body, from_sandbox))
    return storage.store(events, path_workspace_id, token)
