"""Sends SMS through Telnyx.

Telnyx does not accept a key of ours, so each message names its own `webhook_url`, with the key in its query. Its errors
are in `providers.telnyx_errors`, its webhooks in `telnyx_callbacks`, and the records by which a message is looked up in
`telnyx_records`. Page: developers.telnyx.com, Messaging.
"""

from __future__ import annotations

from datetime import datetime

from providers import http_client, responses, retries
from providers.base import Account, OutgoingMessage, Provider, Receipt
from providers.telnyx_callbacks import KEY_PARAMETER, add_key, read_event, verify
from providers.telnyx_errors import ERROR_RULES, classify_error
from providers.telnyx_records import list_receipts
from providers.untrusted import get_path, get_text
from rules.errors import InvalidRequest
from rules.json_text import dump_json


class Telnyx(Provider):
    """Sends SMS."""

    name = "telnyx"
    label = "Telnyx"
    can_reconcile = True
    identifies_by_key = False
    searched_records = "detail records"
    reports_to_url = True

    def send(self, account: Account, outgoing: OutgoingMessage) -> Receipt:
        """Send the text; the receipt's detail has the queue time and the number of parts."""
        call = http_client.Call(
            label=self.label,
            method="POST",
            url=f"{account.base_url.rstrip('/')}/messages",
            headers={
                "Authorization": f"Bearer {account.require_secret('TELNYX_API_KEY')}",
                "Content-Type": "application/json",
            },
            body=dump_json(_build_payload(account, outgoing)).encode(),
            connect_seconds=self.connect_seconds,
            read_seconds=self.read_seconds,
            effect=True,
            holds_lease=outgoing.holds_lease,
        )
        return retries.send(lambda: _parse_receipt(account, http_client.send_request(call)))

    def list_receipts(self, account: Account, sent_at: datetime, to: str, end: datetime | None = None) -> list[Receipt]:
        """Return the receipts of what the profile sent to a number at a time or between two, by its detail records."""
        return list_receipts(account, sent_at, to, end or sent_at)


PROVIDER = Telnyx()

__all__ = ["ERROR_RULES", "KEY_PARAMETER", "PROVIDER", "Telnyx", "add_key", "classify_error", "read_event", "verify"]


def _build_payload(account: Account, outgoing: OutgoingMessage) -> dict[str, object]:
    if not outgoing.body.strip():
        raise InvalidRequest("an SMS must have a text")
    payload: dict[str, object] = {"to": outgoing.to, "text": outgoing.body, "type": "SMS"}
    if outgoing.sender:
        payload["from"] = outgoing.sender
    if outgoing.report_url:
        payload["webhook_url"] = outgoing.report_url
    profile = account.secrets.get("TELNYX_MESSAGING_PROFILE_ID")
    if profile:
        payload["messaging_profile_id"] = profile
    elif not outgoing.sender:
        account.require_secret("TELNYX_MESSAGING_PROFILE_ID")
    return payload


def _parse_receipt(account: Account, response: responses.Response) -> Receipt:
    if response.status not in (200, 201, 202):
        raise classify_error(account, response)
    message = response.json().get("data")
    message_id = get_text(message, "id")
    if message_id is None:
        raise responses.build_unknown_outcome("Telnyx", f"answered {response.status} without a valid receipt", "200")
    detail = {"parts": get_path(message, "parts"), "waitSeconds": get_path(message, "wait_seconds")}
    detail["cost"] = get_path(message, "cost", "amount")
    return Receipt(message_id, {name: value for name, value in detail.items() if value is not None})
