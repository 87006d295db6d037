"""Imitates Mailgun: accepts emails to up to 1,000 recipients, and refuses what Mailgun refuses.

The refusals are those of its OpenAPI document (required fields, choices of the options) and of its pages on errors and
limits. Page: documentation.mailgun.com, Messages.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from email.utils import getaddresses, parsedate_to_datetime
from itertools import chain

from rules.json_text import load_json
from sandbox import look_ups
from sandbox.forms import MULTIPART, URLENCODED, flatten, parse_form
from sandbox.http import HttpResponse, Request
from sandbox.parsed_request import ParsedRequest, build_look_up, build_message
from sandbox.store import Store, now

#: Limits of one call: recipients, and bytes of its options.
MAX_RECIPIENTS = 1_000
MAX_OPTIONS_BYTES = 16 * 1024
_OPTION_PREFIXES = ("o:", "h:", "v:", "t:")
_BODIES = ("text", "html", "amp-html", "template")

_SWITCH = ("yes", "no", "true", "false")
#: The values of options that are choices.
_CHOICES: dict[str, tuple[str, ...]] = {
    "o:testmode": ("yes",),
    "t:text": ("yes",),
    **dict.fromkeys(("o:dkim", "o:require-tls", "o:skip-verification", "o:tracking-opens"), _SWITCH),
    **dict.fromkeys(("o:tracking", "o:tracking-clicks", "o:tracking-pixel-location-top"), (*_SWITCH, "htmlonly")),
}
_DELIVER_WITHIN = re.compile(r"(?=.)(\d+h)?(\d+m)?")
_ADDRESS = re.compile(r"[^@\s<>,;]+@[^@\s<>,;.]+(\.[^@\s<>,;.]+)+")

Fields = Mapping[str, list[str]]


def parse_send(request: Request, domain: str) -> ParsedRequest:
    """Parse `POST /v3/{domain}/messages`; every recipient gets a message of its own, all with one id."""
    fields = parse_form(request)
    recipients = list(dict.fromkeys(_list_addresses(fields, "to", "cc", "bcc")))
    to = recipients[0] if recipients else ""
    if not _has_key(request):
        return ParsedRequest("mailgun", to, HttpResponse(401, "Forbidden"))
    problem = next(_find_problems(request, fields, recipients), None)
    if problem is not None:
        return ParsedRequest("mailgun", to, HttpResponse(400, {"message": problem}))
    message_id = f"<{now():%Y%m%d%H%M%S}.{secrets.token_hex(8)}@{domain}>"
    variables = [values[-1] for name, values in fields.items() if name.startswith("v:")]
    key = variables[0] if variables else None
    body = flatten(dict(fields))
    messages = [build_message(request, "mailgun", message_id, address, body, key) for address in recipients]
    response = HttpResponse(200, {"id": message_id, "message": "Queued. Thank you."})
    return ParsedRequest("mailgun", to, response, messages[0], copies=tuple(messages[1:]))


def parse_events(request: Request, domain: str, store: Store, page: str | None) -> ParsedRequest:
    """Parse `GET /v3/{domain}/events`."""
    if not _has_key(request):
        return ParsedRequest("mailgun", "", HttpResponse(401, "Forbidden"), call="look_up")
    listing = look_ups.build_events_listing(request, domain, store, page)
    return build_look_up("mailgun", request.query.get("recipient"), listing)


def _has_key(request: Request) -> bool:
    return request.headers.get("authorization", "").startswith("Basic ")


def _list_addresses(fields: Fields, *names: str) -> list[str]:
    """Return the addresses of these fields; each may be repeated, and have commas."""
    return [address for _, address in getaddresses(list(chain(*(fields.get(name, []) for name in names)))) if address]


def _find_problems(request: Request, fields: Fields, recipients: list[str]) -> Iterator[str]:
    if request.media_type not in (MULTIPART, URLENCODED, ""):
        yield f"Content-Type must be {MULTIPART}"
    yield from _find_address_problems(fields)
    if len(recipients) > MAX_RECIPIENTS:
        yield f"Too many recipients, max is {MAX_RECIPIENTS}"
    if "subject" not in fields and "template" not in fields:
        yield "subject parameter is missing"
    yield from _find_body_problems(fields)
    yield from _find_option_problems(fields)


def _find_address_problems(fields: Fields) -> Iterator[str]:
    for name in ("from", "to"):
        if not any(value.strip() for value in fields.get(name, [])):
            yield f"{name} parameter is missing"
    for name in ("from", "to", "cc", "bcc"):
        values = [value for value in fields.get(name, []) if value.strip()]
        if not all(_ADDRESS.fullmatch(address) for _, address in getaddresses(values)):
            yield f"{name} parameter is not a valid address. please check documentation"


def _find_body_problems(fields: Fields) -> Iterator[str]:
    if not any(value for name in _BODIES for value in fields.get(name, [])):
        yield "Need at least one of 'text', 'html', 'amp-html' or 'template' parameters specified"
    if "html" in fields and "template" in fields:
        yield "Only one parameters 'html' or 'template' is allowed."


def _find_option_problems(fields: Fields) -> Iterator[str]:
    for name, values in fields.items():
        if name in _CHOICES and not set(values) <= set(_CHOICES[name]):
            yield f"{name} parameter must be one of: {', '.join(_CHOICES[name])}"
    if not all(map(_is_date, fields.get("o:deliverytime", []))):
        yield "o:deliverytime parameter is not a valid RFC-2822 date"
    if not all(map(_DELIVER_WITHIN.fullmatch, fields.get("o:deliver-within", []))):
        yield "o:deliver-within parameter is not a valid duration"
    for name in ("recipient-variables", "t:variables"):
        if not all(map(_is_json_object, fields.get(name, []))):
            yield f"'{name}' parameter is not a valid JSON"
    if _measure_options(fields) > MAX_OPTIONS_BYTES:
        yield "Send options (parameters starting with o:, h:, or v:) are limited to 16KB total"


def _measure_options(fields: Fields) -> int:
    options = [(name, value) for name, values in fields.items() for value in values]
    return sum(len((name + value).encode()) for name, value in options if name.startswith(_OPTION_PREFIXES))


def _is_date(text: str) -> bool:
    try:
        parsedate_to_datetime(text)
    except ValueError:
        return False
    return True


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(load_json(text), dict)
    except ValueError:
        return False
