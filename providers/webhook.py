"""Calls a customer's endpoint, signed per Standard Webhooks 1.0.0, so that the receiver can verify and deduplicate.

`webhook-id` is our message key, the same in every attempt. By that standard an explicit 5xx asks for a redelivery with
the same id, so it is retried; a lost response is an unknown outcome. Redirects are rejections; 410 unsubscribes.
"""

from __future__ import annotations

import binascii
import re
from datetime import UTC, datetime
from urllib.parse import quote

from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from providers import guarded_http, http_client, responses, retries
from providers.base import Account, ErrorRule, OutgoingMessage, Provider, Receipt
from rules.errors import (
    AuthRefused,
    ConfigurationError,
    ExecutionError,
    InvalidRequest,
    ProviderUnavailable,
    RateLimited,
)
from rules.json_text import load_json

#: The signing secrets, with spaces between them: each `whsec_` and base64 of at least 24 bytes.
SECRET = "WEBHOOK_SIGNING_SECRET"

_RETRY_LATER = ErrorRule(ProviderUnavailable, "It will be retried automatically.")
_AUTH = ErrorRule(
    AuthRefused, "Give the receiver this workspace's signing secret, or correct the headers of this step."
)
_GONE = ErrorRule(InvalidRequest, "The receiver no longer accepts these calls: remove or change the URL of this step.")
_MOVED = ErrorRule(InvalidRequest, "Redirects are not followed: set the URL of this step to the final one.")
_REQUEST = ErrorRule(InvalidRequest, "Correct the URL or the body of this step.")

#: By status; any other 3xx is `_MOVED`, any other 4xx `_REQUEST`, any 5xx `_RETRY_LATER`.
ERROR_RULES: dict[int, ErrorRule] = {
    401: _AUTH,
    403: _AUTH,
    407: _AUTH,
    408: _RETRY_LATER,
    410: _GONE,
    425: _RETRY_LATER,
    429: ErrorRule(RateLimited, "It will be sent when the receiver allows."),
}

_RESERVED_HEADERS = re.compile(r"(?i)host|content-length|transfer-encoding|connection|webhook-.*")


class SignedWebhook(Provider):
    """Posts `outgoing.body` to the URL in `outgoing.to`."""

    name = "webhook"
    label = "The webhook's receiver"

    def send(self, account: Account, outgoing: OutgoingMessage) -> Receipt:
        """Post the body; any 2xx is a receipt, without an id."""
        return retries.send(lambda: _parse_receipt(_post_webhook(account, outgoing)))


PROVIDER = SignedWebhook()


def _post_webhook(account: Account, outgoing: OutgoingMessage) -> responses.Response:
    # Signed for each attempt, with the timestamp of the attempt.
    url = f"{account.base_url.rstrip('/')}/_webhook/{quote(outgoing.to, safe='')}" if account.sandbox else outgoing.to
    call = http_client.Call(
        label=SignedWebhook.label,
        method="POST",
        url=url,
        headers=_build_headers(account, outgoing),
        body=outgoing.body.encode(),
        connect_seconds=PROVIDER.connect_seconds,
        read_seconds=PROVIDER.read_seconds,
        effect=True,
        holds_lease=outgoing.holds_lease,
    )
    return (
        http_client.send_request(call) if account.sandbox else guarded_http.send_request(call, account.allowed_networks)
    )


def _build_headers(account: Account, outgoing: OutgoingMessage) -> dict[str, str]:
    headers = {"Content-Type": "application/json" if _is_json(outgoing.body) else "text/plain; charset=utf-8"}
    for name, value in outgoing.headers.items():
        if _RESERVED_HEADERS.fullmatch(name):
            raise InvalidRequest(f'the header "{name}" is reserved: remove it from this step')
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or not re.fullmatch(r"[\t\x20-\x7e]*", value):
            raise InvalidRequest(f'"{name}" is not a valid header: use ASCII characters in one line')
        headers = {header: text for header, text in headers.items() if header.lower() != name.lower()} | {name: value}
    return headers | build_signature_headers(
        account.require_secret(SECRET), outgoing.key, datetime.now(UTC), outgoing.body
    )


def build_signature_headers(secrets: str, key: str, at: datetime, body: str) -> dict[str, str]:
    """Build the three headers of Standard Webhooks, with a signature for each secret.

    Raises `ConfigurationError` for an invalid secret.
    """
    try:
        signature = " ".join(Webhook(secret).sign(key, at, body) for secret in secrets.split())
    except (EmptyWebhookSecretError, binascii.Error, ValueError):
        raise ConfigurationError(f"{SECRET} is invalid: it must be whsec_ and base64. Create a new one.") from None
    return {"webhook-id": key, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


def _is_json(body: str) -> bool:
    try:
        load_json(body)
    except ValueError:
        return False
    return True


def _parse_receipt(response: responses.Response) -> Receipt:
    if 200 <= response.status < 300:
        return Receipt(None, {"status": response.status})
    raise classify_error(response)


def classify_error(response: responses.Response) -> ExecutionError:
    """Return the error for any status except 2xx."""
    row = ERROR_RULES.get(response.status)
    if row is None:
        row = _MOVED if response.status < 400 else _REQUEST if response.status < 500 else _RETRY_LATER
    delay = responses.parse_retry_after(response) if response.status in (429, 503) else None
    return row.build_error(SignedWebhook.label, f"status {response.status}", str(response.status), delay)
