"""Sends email through Mailgun, reconciles unknown outcomes, and parses its callbacks and inbound mail.

Mailgun has no idempotency key. Our message key is the user variable `beckon_key`, which every event contains;
`find_receipt` searches the events for it. Events are asked although Mailgun calls that API deprecated in favour of its
Logs: it takes the domain's own key and filters by recipient. Pages: documentation.mailgun.com, Messages, Events, Event
polling, Webhooks.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from providers import http_client, responses, retries
from providers.base import Account, ErrorRule, ListedSend, OutgoingMessage, Provider, Receipt
from providers.mailgun_callbacks import (
    KEY_VARIABLE,
    SIGNATURE_FIELDS,
    read_event,
    read_inbound,
    read_replay_token,
    strip_angle_brackets,
    verify,
)
from providers.multipart import encode_fields
from providers.untrusted import get_path, get_text, parse_timestamp
from rules.errors import (
    ConfigurationError,
    ExecutionError,
    InvalidRequest,
    ProviderUnavailable,
    RateLimited,
)
from rules.html_text import to_text
from rules.senders import quote_sender

#: Maximum pages of 300 events that `find_receipt` reads.
MAX_PAGES = 20
#: How long before the send the search begins, for clocks that differ.
SEARCH_MARGIN = timedelta(minutes=5)

_KEY = ErrorRule(
    ConfigurationError, "Check the API key of Mailgun, and that the base URL is that of the domain's region."
)
_SENDER = ErrorRule(ConfigurationError, "Verify or activate the sending domain in Mailgun, then try again.")
_PLAN = ErrorRule(ConfigurationError, "Check the plan and the billing of the Mailgun account.")
_REQUEST = ErrorRule(InvalidRequest, "Correct the address, the sender or the text of this step.")
_SLOW_DOWN = ErrorRule(RateLimited, "It will be sent when the limit allows.")

_TRY_AGAIN = re.compile(
    r"try again after (?:(?P<seconds>\d+(?:\.\d+)?) seconds?|(?P<date>[^.]*?\d{2}:\d{2}:\d{2} [\w+-]+))", re.IGNORECASE
)

#: Status, a pattern of the text, and the rule; the first matching row applies.
ERROR_RULES: tuple[tuple[int, str, ErrorRule], ...] = (
    (429, "", _SLOW_DOWN),
    (401, "", _KEY),
    (402, "", _PLAN),
    (403, "", _SENDER),
    (
        404,
        "",
        ErrorRule(ConfigurationError, "Check the domain in Mailgun and its region; a new domain needs a minute.", 60.0),
    ),
    (413, "", ErrorRule(InvalidRequest, "Shorten the message: it exceeds Mailgun's size limit.")),
    (400, r"not allowed to send|test purposes only|activate your Mailgun account|unverified", _SENDER),
    (400, "", _REQUEST),
)


class Mailgun(Provider):
    """Sends email."""

    name = "mailgun"
    label = "Mailgun"
    can_reconcile = True
    when_unknown = "resend"
    can_list_sent = True

    def send(self, account: Account, outgoing: OutgoingMessage) -> Receipt:
        """Send the message; the receipt's id is the Message-Id without angle brackets."""
        body, content_type = encode_fields(_build_fields(account, outgoing))
        call = http_client.Call(
            label=self.label,
            method="POST",
            url=f"{_build_domain_url(account)}/messages",
            headers={**_build_auth_headers(account), "Content-Type": content_type},
            body=body,
            connect_seconds=self.connect_seconds,
            read_seconds=self.read_seconds,
            effect=True,
            holds_lease=outgoing.holds_lease,
        )
        return retries.send(lambda: _parse_receipt(account, http_client.send_request(call)))

    def find_receipt(self, account: Account, key: str, since: datetime, to: str | None = None) -> Receipt | None:
        """Return the receipt of the message with `key` from the events of `to` since then, or None."""
        begin = (since - SEARCH_MARGIN).timestamp()
        query = {"begin": f"{begin:.3f}", "ascending": "yes", "limit": 300, "event": "accepted"}
        url: str | None = (
            f"{_build_domain_url(account)}/events?{urlencode({**query, **({'recipient': to} if to else {})})}"
        )
        for _ in range(MAX_PAGES):
            page = _fetch_events_page(account, url)
            for event in page["items"]:
                if get_text(event, "user-variables", KEY_VARIABLE) == key:
                    return Receipt(
                        strip_angle_brackets(get_text(event, "message", "headers", "message-id")), {"lookedUp": True}
                    )
            url = _build_next_page_url(account, page)
            if url is None:
                return None
        raise ProviderUnavailable("Mailgun has more events than are searched. Look for the message in its logs.")

    def list_sent(self, account: Account, since: datetime) -> Iterator[ListedSend]:
        """Yield the accepted messages with our keys from the events since then, all pages."""
        query = {"begin": f"{since.timestamp():.3f}", "ascending": "yes", "limit": 300, "event": "accepted"}
        url: str | None = f"{_build_domain_url(account)}/events?{urlencode(query)}"
        while url is not None:
            page = _fetch_events_page(account, url)
            yield from filter(None, map(_parse_listed_send, page["items"]))
            url = _build_next_page_url(account, page)


PROVIDER = Mailgun()

__all__ = [
    "ERROR_RULES",
    "PROVIDER",
    "SIGNATURE_FIELDS",
    "Mailgun",
    "classify_error",
    "read_event",
    "read_inbound",
    "read_replay_token",
    "verify",
]


def _build_domain_url(account: Account) -> str:
    return f"{account.base_url.rstrip('/')}/v3/{quote(account.require_secret('MAILGUN_DOMAIN'), safe='')}"


def _build_auth_headers(account: Account) -> dict[str, str]:
    credentials = base64.b64encode(f"api:{account.require_secret('MAILGUN_API_KEY')}".encode()).decode()
    return {"Authorization": f"Basic {credentials}"}


def _build_fields(account: Account, outgoing: OutgoingMessage) -> list[tuple[str, str]]:
    if outgoing.format not in ("text", "html"):
        raise InvalidRequest(f'an email must be text or html, not "{outgoing.format}"')
    sender = outgoing.sender or account.secrets.get("MAILGUN_FROM")
    fields = [
        ("from", quote_sender(sender or f"hello@{account.require_secret('MAILGUN_DOMAIN')}")),
        ("to", outgoing.to),
        ("subject", outgoing.subject or ""),
        (outgoing.format, outgoing.body),
        (f"v:{KEY_VARIABLE}", outgoing.key),
    ]
    if outgoing.format == "html":
        fields.append(("text", to_text(outgoing.body)))
    if outgoing.reply_to:
        fields.append(("h:Reply-To", quote_sender(outgoing.reply_to)))
    fields += [(f"h:{name}", value) for name, value in outgoing.headers.items()]
    for name, value in fields:
        if name not in ("text", "html") and re.search(r"[\r\n]", name + value):
            raise InvalidRequest(f'"{name.removeprefix("h:")}" of an email must be one line')
    return fields


def _parse_receipt(account: Account, response: responses.Response) -> Receipt:
    if response.status == 200:
        message_id = response.json().get("id")
        if not isinstance(message_id, str) or not message_id:
            raise responses.build_unknown_outcome("Mailgun", "answered 200 without a valid receipt", "200")
        return Receipt(strip_angle_brackets(message_id))
    raise classify_error(account, response, effect=True)


def classify_error(account: Account, response: responses.Response, *, effect: bool) -> ExecutionError:
    """Return the error for any status except 200, from `ERROR_RULES`."""
    message = response.json().get("message")
    message = account.redact(message if isinstance(message, str) else response.text)
    for status, pattern, row in ERROR_RULES:
        if response.status == status and re.search(pattern, message, re.IGNORECASE):
            wait = _find_wait(response, message) if status == 429 else None
            return row.build_error("Mailgun", message, str(response.status), wait)
    return responses.build_unexpected_status_error("Mailgun", response, effect=effect)


def _find_wait(response: responses.Response, message: str) -> float | None:
    """Return the seconds to wait by the header `Retry-After`, else by the text.

    The text says `try again after 120 seconds` or `try again after Mon, 20 Dec 2021 20:33:21 UTC`.
    """
    wait = responses.parse_retry_after(response)
    match = _TRY_AGAIN.search(message)
    if wait is not None or match is None:
        return wait
    return responses.parse_delay_seconds(match["seconds"] or match["date"])


def _fetch_events_page(account: Account, url: str | None) -> dict[str, Any]:
    call = http_client.Call(label="Mailgun", method="GET", url=url or "", headers=_build_auth_headers(account))

    def fetch_page() -> dict[str, Any]:
        response = http_client.send_request(call)
        if response.status != 200:
            raise classify_error(account, response, effect=False)
        page = response.json()
        if not isinstance(page.get("items"), list):
            raise ProviderUnavailable(
                "Mailgun's events were not in the documented form. It will be retried automatically."
            )
        return page

    return retries.read(fetch_page)


def _parse_listed_send(event: Any) -> ListedSend | None:
    key, accepted_at = get_text(event, "user-variables", KEY_VARIABLE), parse_timestamp(get_path(event, "timestamp"))
    if key is None or accepted_at is None:
        return None
    return ListedSend(
        key=key,
        provider_message_id=strip_angle_brackets(get_text(event, "message", "headers", "message-id")),
        to=get_text(event, "recipient") or "",
        subject=get_text(event, "message", "headers", "subject"),
        accepted_at=accepted_at,
    )


def _build_next_page_url(account: Account, page: Mapping[str, Any]) -> str | None:
    """Return the next page's URL on our own base URL: the key must not go to another host.

    An empty page is the last one; any other names the next.
    """
    if not page["items"]:
        return None
    link = urlsplit(get_text(page, "paging", "next") or "")
    if not link.path:
        raise ProviderUnavailable("Mailgun's events ended without a last page. It will be retried automatically.")
    return f"{account.base_url.rstrip('/')}{link.path}" + (f"?{link.query}" if link.query else "")
