"""Email through Mailgun: sends, looks up what became of a message, and reads its callbacks and inbound mail.

Mailgun has no idempotency key. Our message key travels in the user variable `beckon_key`, comes back with every event,
and is what `look_up` searches the events for. Pages: documentation.mailgun.com, Messages, Events, Webhooks.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from urllib3.filepost import encode_multipart_formdata

from providers import answers, tries, wire
from providers.base import Account, Outgoing, Provider, Receipt, Refusal
from providers.mailgun_callbacks import (
    KEY_VARIABLE,
    SIGNATURE_FIELDS,
    bare_id,
    read_event,
    read_inbound,
    replay_token,
    verify,
)
from providers.shapes import text_at
from rules.errors import (
    ConfigurationError,
    ExecutionError,
    InvalidRequest,
    ProviderUnavailable,
    RateLimited,
)

#: Pages of 300 events that a look-up reads before it gives up.
MOST_PAGES = 20

_KEY = Refusal(ConfigurationError, "Check MAILGUN_API_KEY and that MAILGUN_BASE_URL is the region of the domain.")
_SENDER = Refusal(ConfigurationError, "Verify or activate the sending domain in Mailgun, then try again.")
_PLAN = Refusal(ConfigurationError, "Check the plan and the billing of the Mailgun account.")
_REQUEST = Refusal(InvalidRequest, "Correct the address, the sender or the text of this step.")
_SLOW_DOWN = Refusal(RateLimited, "It is sent when the limit allows.")

#: Status, a pattern of the text, and what it means; the first row that fits holds.
REFUSALS: tuple[tuple[int, str, Refusal], ...] = (
    (429, "", _SLOW_DOWN),
    (401, "", _KEY),
    (402, "", _PLAN),
    (403, "", _SENDER),
    (404, "", Refusal(ConfigurationError, "Check MAILGUN_DOMAIN and its region; a new domain needs a minute.", 60.0)),
    (413, "", Refusal(InvalidRequest, "Shorten the message: it is larger than Mailgun takes.")),
    (400, r"not allowed to send|test purposes only|activate your Mailgun account|unverified", _SENDER),
    (400, "", _REQUEST),
)


class Mailgun(Provider):
    """Sends email."""

    name = "mailgun"
    label = "Mailgun"
    can_look_up = True

    def send(self, account: Account, outgoing: Outgoing) -> Receipt:
        """Hand the message to Mailgun; the receipt's id is the Message-Id without angle brackets."""
        body, content_type = encode_multipart_formdata(_fields(account, outgoing))
        call = wire.Call(
            label=self.label,
            method="POST",
            url=f"{_domain_url(account)}/messages",
            headers={**_authorization(account), "Content-Type": content_type},
            body=body,
            connect_seconds=self.connect_seconds,
            read_seconds=self.read_seconds,
            effect=True,
            still_ours=outgoing.still_ours,
        )
        return tries.send(lambda: _receipt(account, wire.exchange(call)))

    def look_up(self, account: Account, key: str, since: datetime, to: str | None = None) -> Receipt | None:
        """The receipt of the message that carries `key`, from the events of `to` since then, or None."""
        begin = (since - timedelta(minutes=1)).timestamp()
        asked = {"begin": f"{begin:.3f}", "ascending": "yes", "limit": 300, "event": "accepted"}
        url: str | None = f"{_domain_url(account)}/events?{urlencode({**asked, **({'recipient': to} if to else {})})}"
        for _ in range(MOST_PAGES):
            page = _events_page(account, url)
            for event in page["items"]:
                if text_at(event, "user-variables", KEY_VARIABLE) == key:
                    return Receipt(bare_id(text_at(event, "message", "headers", "message-id")), {"lookedUp": True})
            url = _next_page(account, page)
            if url is None:
                return None
        raise ProviderUnavailable("Mailgun has more events than a look-up reads; look for the message in its logs.")


PROVIDER = Mailgun()

__all__ = [
    "PROVIDER",
    "REFUSALS",
    "SIGNATURE_FIELDS",
    "Mailgun",
    "read_event",
    "read_inbound",
    "refusal",
    "replay_token",
    "verify",
]


def _domain_url(account: Account) -> str:
    return f"{account.base_url.rstrip('/')}/v3/{quote(account.secret('MAILGUN_DOMAIN'), safe='')}"


def _authorization(account: Account) -> dict[str, str]:
    pair = base64.b64encode(f"api:{account.secret('MAILGUN_API_KEY')}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def _fields(account: Account, outgoing: Outgoing) -> list[tuple[str, str]]:
    if outgoing.format not in ("text", "html"):
        raise InvalidRequest(f'an email is sent as text or html, not as "{outgoing.format}"')
    sender = outgoing.sender or account.secrets.get("MAILGUN_FROM")
    fields = [
        ("from", sender or f"hello@{account.secret('MAILGUN_DOMAIN')}"),
        ("to", outgoing.to),
        ("subject", outgoing.subject or ""),
        (outgoing.format, outgoing.body),
        (f"v:{KEY_VARIABLE}", outgoing.key),
    ]
    if outgoing.reply_to:
        fields.append(("h:Reply-To", outgoing.reply_to))
    fields += [(f"h:{name}", value) for name, value in outgoing.headers.items()]
    for name, value in fields:
        if name not in ("text", "html") and re.search(r"[\r\n]", name + value):
            raise InvalidRequest(f'"{name.removeprefix("h:")}" of an email must be one line')
    return fields


def _receipt(account: Account, answer: answers.Answer) -> Receipt:
    if answer.status == 200:
        message_id = answer.json().get("id")
        if not isinstance(message_id, str) or not message_id:
            raise answers.lost_answer("Mailgun", "answered 200 with something that is not its receipt", "200")
        return Receipt(bare_id(message_id))
    raise refusal(account, answer, effect=True)


def refusal(account: Account, answer: answers.Answer, *, effect: bool) -> ExecutionError:
    """The error for any answer but 200, from the table above."""
    said = answer.json().get("message")
    said = account.hide(said if isinstance(said, str) else answer.text)
    for status, pattern, row in REFUSALS:
        if answer.status == status and re.search(pattern, said, re.IGNORECASE):
            return row.raised("Mailgun", said, str(answer.status), _try_again(said) if status == 429 else None)
    return answers.unexpected("Mailgun", answer, effect=effect)


def _try_again(said: str) -> float | None:
    """Seconds from `try again after 120 seconds` or `try again after Mon, 20 Dec 2021 20:33:21 UTC`."""
    found = re.search(r"try again after (?:(\d+(?:\.\d+)?) seconds|([^.]*?\d{2}:\d{2}:\d{2} \w+))", said)
    return answers.seconds_until(found[1] or found[2].replace("UTC", "GMT")) if found else None


def _events_page(account: Account, url: str | None) -> dict[str, Any]:
    call = wire.Call(label="Mailgun", method="GET", url=url or "", headers=_authorization(account))

    def page() -> dict[str, Any]:
        answer = wire.exchange(call)
        if answer.status != 200:
            raise refusal(account, answer, effect=False)
        found = answer.json()
        if not isinstance(found.get("items"), list):
            raise ProviderUnavailable("Mailgun's events were not in the documented form; it is asked again.")
        return found

    return tries.read(page)


def _next_page(account: Account, page: Mapping[str, Any]) -> str | None:
    """The next page's address on our own base URL: a key must not follow a link to another host."""
    link = urlsplit(text_at(page, "paging", "next") or "")
    if not page["items"] or not link.path:
        return None
    return f"{account.base_url.rstrip('/')}{link.path}" + (f"?{link.query}" if link.query else "")
