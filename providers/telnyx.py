"""SMS through Telnyx: sends, and verifies and reads its callbacks.

Telnyx neither takes a key of ours nor finds a message without its own id, so a lost answer stays unknown until a
webhook tells. Its errors are told apart by `code`: the HTTP status of one and the same code varies. Pages:
developers.telnyx.com, Messaging, and its list of API errors.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from providers import answers, tries, wire
from providers.base import Account, Callback, Kind, Outgoing, Provider, Receipt, Refusal, asks_to_stop
from providers.shapes import at_path, moment, text_at
from rules.errors import (
    Blocked,
    ConfigurationError,
    ExecutionError,
    Expired,
    InvalidRequest,
    ProviderUnavailable,
    RateLimited,
)

#: A callback signed longer ago, or further ahead, is refused. Telnyx names no figure; this one is the convention.
SIGNATURE_AGE = timedelta(seconds=300)
_TIMESTAMP = re.compile(r"[1-9][0-9]{9}")
#: 64 bytes in base64; of the last character before the padding only two bits count, and the others are zero.
_SIGNATURE = re.compile(r"[A-Za-z0-9+/]{85}[AQgw]==")

_ACCOUNT = Refusal(ConfigurationError, "Check TELNYX_API_KEY and the standing and balance of the Telnyx account.")
_SENDER = Refusal(ConfigurationError, "Check the sending number and the messaging profile in Telnyx.")
_REQUEST = Refusal(InvalidRequest, "Correct the phone number (E.164, as in +15550100) or the text of this step.")
_CARRIER = Refusal(ProviderUnavailable, "The carrier refused it for now; it is tried again later.", 300.0)
_CONTENT = Refusal(Blocked, "The carrier takes the text for spam: change it before sending on.")
_EXPIRED = Refusal(Expired, "It became too old to be sent; send it again by hand if it still matters.")
_STOPPED = Refusal(Blocked, "The contact opted out with STOP: no more SMS until they text START.", None, True)
_BLOCKED = Refusal(Blocked, "A block rule stands between the two numbers; see the messaging profile in Telnyx.")
_SLOW_DOWN = Refusal(RateLimited, "It is sent when the limit allows.")

#: What each code means.
REFUSALS: dict[str, Refusal] = {
    **dict.fromkeys(("10009", "10010", "20002", "20006", "20012", "20013", "20014", "20100"), _ACCOUNT),
    **dict.fromkeys(("10011", "40011"), _SLOW_DOWN),
    **dict.fromkeys(("10001", "10002", "10015", "10016", "40001", "40008", "40009", "40012"), _REQUEST),
    **dict.fromkeys(("40302", "40304", "40309", "40310", "40316", "40317", "40328"), _REQUEST),
    "40300": _BLOCKED,
    **dict.fromkeys(("40002", "40004", "40006", "40320"), _CARRIER),
    **dict.fromkeys(("40003", "40015", "40017", "40322"), _CONTENT),
    **dict.fromkeys(("40005", "40014"), _EXPIRED),
    **dict.fromkeys(("40010", "40013", "40100", "40150", "40305", "40306", "40308"), _SENDER),
    **dict.fromkeys(("40311", "40312", "40313", "40314", "40315", "40321", "40329"), _SENDER),
    "40016": Refusal(RateLimited, "The carrier's daily limit is used up; it is sent on a later day.", 3600.0),
    "40018": Refusal(RateLimited, "The carrier's limit per minute is used up.", 60.0),
    "40318": Refusal(RateLimited, "More than four hours of messages wait at Telnyx already.", 1800.0),
}
#: Errors by which an address shows itself unusable.
_BAD_ADDRESS = frozenset({"10001", "10002", "10016", "40001", "40008", "40012", "40310"})


class Telnyx(Provider):
    """Sends SMS."""

    name = "telnyx"
    label = "Telnyx"

    def send(self, account: Account, outgoing: Outgoing) -> Receipt:
        """Hand the text to Telnyx; the receipt's detail says how long it queues and in how many parts."""
        call = wire.Call(
            label=self.label,
            method="POST",
            url=f"{account.base_url.rstrip('/')}/messages",
            headers={
                "Authorization": f"Bearer {account.secret('TELNYX_API_KEY')}",
                "Content-Type": "application/json",
            },
            body=json.dumps(_request(account, outgoing)).encode(),
            connect_seconds=self.connect_seconds,
            read_seconds=self.read_seconds,
            effect=True,
            still_ours=outgoing.still_ours,
        )
        return tries.send(lambda: _receipt(account, wire.exchange(call)))


PROVIDER = Telnyx()


def _request(account: Account, outgoing: Outgoing) -> dict[str, object]:
    if not outgoing.body.strip():
        raise InvalidRequest("an SMS needs a text")
    request: dict[str, object] = {"to": outgoing.to, "text": outgoing.body, "type": "SMS"}
    if outgoing.sender:
        request["from"] = outgoing.sender
    profile = account.secrets.get("TELNYX_MESSAGING_PROFILE_ID")
    if profile:
        request["messaging_profile_id"] = profile
    elif not outgoing.sender:
        account.secret("TELNYX_MESSAGING_PROFILE_ID")
    return request


def _receipt(account: Account, answer: answers.Answer) -> Receipt:
    if answer.status not in (200, 201, 202):
        raise refusal(account, answer)
    message = answer.json().get("data")
    message_id = text_at(message, "id")
    if message_id is None:
        raise answers.lost_answer("Telnyx", f"answered {answer.status} with something that is not its receipt", "200")
    kept = {"parts": at_path(message, "parts"), "waitSeconds": at_path(message, "wait_seconds")}
    kept["cost"] = at_path(message, "cost", "amount")
    return Receipt(message_id, {name: value for name, value in kept.items() if value is not None})


def refusal(account: Account, answer: answers.Answer) -> ExecutionError:
    """The error for any answer but a receipt, by the first code that the table knows."""
    errors = answer.json().get("errors")
    for error in errors if isinstance(errors, list) else []:
        code, said = str(at_path(error, "code")), _said(error)
        row = _STOPPED if code == "40300" and "STOP" in said else REFUSALS.get(code)
        if row is not None:
            wait = answers.retry_after(answer, "x-ratelimit-reset") or answers.retry_after(answer)
            return row.raised("Telnyx", account.hide(said), code, wait if row is _SLOW_DOWN else None)
    if answer.status in (401, 403):
        return _ACCOUNT.raised("Telnyx", "", str(answer.status))
    if answer.status in (400, 422):
        said = _said(errors[0]) if isinstance(errors, list) and errors else ""
        return _REQUEST.raised("Telnyx", account.hide(said), str(answer.status))
    return answers.unexpected("Telnyx", answer, effect=True)


def _said(error: Any) -> str:
    return ": ".join(part for part in (text_at(error, "title"), text_at(error, "detail")) if part)


def verify(headers: Mapping[str, str], raw: bytes, public_key: str, now: datetime) -> bool:
    """Whether `raw` bears Telnyx's Ed25519 signature, made within `SIGNATURE_AGE` of `now`, the real time.

    `public_key` is the account's, in base64, from Mission Control. Header names are taken in any case.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    timestamp, signature = lower.get("telnyx-timestamp", ""), lower.get("telnyx-signature-ed25519", "")
    if not (_TIMESTAMP.fullmatch(timestamp) and _SIGNATURE.fullmatch(signature)):
        return False
    if abs(now.timestamp() - int(timestamp)) > SIGNATURE_AGE.total_seconds():
        return False
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        key.verify(base64.b64decode(signature), timestamp.encode() + b"|" + raw)
    except (ValueError, binascii.Error, InvalidSignature):
        return False
    return True


_FINAL: dict[str, Kind] = {
    "sent": "sent",
    "delivered": "delivered",
    # The carrier sends no receipts: not a failure, and all that will ever be known.
    "delivery_unconfirmed": "sent",
    "delivery_failed": "failed",
    "sending_failed": "failed",
    "expired": "failed",
}


def read_event(body: Mapping[str, Any]) -> Callback | None:
    """The event of a webhook's body, or None for one that is not ours to follow or not in the documented form."""
    event = at_path(body, "data")
    event_id, happened = text_at(event, "id"), moment(at_path(event, "occurred_at"))
    payload = at_path(event, "payload")
    if event_id is None or happened is None or not isinstance(payload, dict):
        return None
    match text_at(event, "event_type"):
        case "message.received":
            return _received(event_id, happened, payload)
        case "message.sent" | "message.finalized":
            return _moved(event_id, happened, payload)
    return None


def _received(event_id: str, happened: datetime, payload: dict[str, Any]) -> Callback | None:
    sender, text = text_at(payload, "from", "phone_number"), text_at(payload, "text")
    if sender is None:
        return None
    wants_out = asks_to_stop(text) or (text_at(payload, "autoresponse_type") or "").lower() in ("opt-out", "stop")
    return Callback(
        provider="telnyx",
        event_id=event_id,
        kind="unsubscribed" if wants_out else "replied",
        provider_message_id=None,
        message_key=None,
        address=sender,
        text=text,
        occurred_at=happened,
        detail={"messageId": text_at(payload, "id"), "to": text_at(payload, "to", 0, "phone_number")},
    )


def _moved(event_id: str, happened: datetime, payload: dict[str, Any]) -> Callback | None:
    status, message_id = text_at(payload, "to", 0, "status"), text_at(payload, "id")
    kind = _FINAL.get(status or "")
    if kind is None or message_id is None:
        return None
    error = at_path(payload, "errors", 0)
    code = text_at(error, "code")
    if kind == "failed" and code in _BAD_ADDRESS:
        kind = "bounced"
    return Callback(
        provider="telnyx",
        event_id=event_id,
        kind=kind,
        provider_message_id=message_id,
        message_key=None,
        address=text_at(payload, "to", 0, "phone_number"),
        text=_said(error) or None,
        occurred_at=happened,
        permanent=kind in ("failed", "bounced"),
        detail={name: value for name, value in (("status", status), ("code", code)) if value},
    )
