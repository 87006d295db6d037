"""Imitates what lists accepted messages: Mailgun's events and Telnyx's detail records, page by page.

A listing is built from the messages that it covers, so that a fault can hide some of them, or fill the first page with
other records (`server.Sandbox.play_fault`).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from sandbox.http import HttpResponse, Request
from sandbox.store import Message, Store, now

#: Events on a page of Mailgun's.
EVENTS_PER_PAGE = 300
#: Records on a page of Telnyx's, unless the request asks for fewer.
RECORDS_PER_PAGE = 50
#: A recipient to whom nothing was sent, for the records that fill a first page.
_OTHER_RECIPIENT = "somebody.else@example.com"
_OTHER_RECORD = {"record_type": "message_detail_record", "direction": "inbound", "cld": "+15550000000"}


@dataclass(frozen=True)
class Listing:
    """A request for the accepted messages of one recipient, and how its response is built from them."""

    messages: Sequence[Message]
    build: Callable[[Sequence[Message]], HttpResponse]
    #: Builds a first page of other records, after which the listing begins; None on any page but the first.
    build_filler: Callable[[], HttpResponse] | None

    def list_all(self) -> HttpResponse:
        """Build the response with every message."""
        return self.build(self.messages)

    def list_older(self, seconds: float) -> HttpResponse:
        """Build the response with the messages accepted so many seconds ago."""
        until = now() - timedelta(seconds=seconds)
        return self.build([message for message in self.messages if message.at <= until])


def build_events_listing(request: Request, domain: str, store: Store, page: str | None) -> Listing:
    """Build Mailgun's listing of `accepted` events. `page` is the part of the path after the first page's."""
    begin, recipient = float(request.query.get("begin") or 0), request.query.get("recipient")
    messages = [
        message
        for message in store.messages
        if message.provider == "mailgun" and f"/v3/{domain}/" in message.path and message.at.timestamp() >= begin
        if recipient in (None, message.to)
    ]
    link = f"http://{request.headers.get('host')}/v3/{domain}/events"
    query = urlencode({name: value for name, value in request.query.items() if name != "limit"})
    number = int(page) if page and page.isdigit() else 0

    def build(listed: Sequence[Message]) -> HttpResponse:
        has_accepted = request.query.get("event") in (None, "accepted")
        events = [build_accepted_event(message) for message in listed] if has_accepted else []
        items = events[number * EVENTS_PER_PAGE : (number + 1) * EVENTS_PER_PAGE]
        return HttpResponse(200, {"items": items, "paging": {"next": f"{link}/{number + 1}?{query}"}})

    def build_filler() -> HttpResponse:
        filler = {"event": "accepted", "recipient": _OTHER_RECIPIENT, "user-variables": {}}
        return HttpResponse(200, {"items": [filler], "paging": {"next": f"{link}/0?{query}"}})

    return Listing(messages, build, build_filler if page is None else None)


def build_accepted_event(message: Message) -> dict[str, Any]:
    """Build Mailgun's `accepted` event of a message."""
    return {
        "event": "accepted",
        "id": base64.urlsafe_b64encode(message.id.encode()).decode()[:22],
        "timestamp": message.at.timestamp(),
        "log-level": "info",
        "message": {"headers": {"message-id": message.id.strip("<>"), "to": message.to}},
        "recipient": message.to,
        "tags": [],
        "user-variables": extract_user_variables(message),
    }


def extract_user_variables(message: Message) -> dict[str, str]:
    """Return the user variables of an email."""
    return {name.removeprefix("v:"): value for name, value in message.body.items() if name.startswith("v:")}


def build_records_listing(request: Request, store: Store) -> Listing:
    """Build Telnyx's listing of the detail records of messages."""
    recipient = request.query.get("filter[cld]")
    since = _parse_day(request.query.get("filter[created_at][gte]"))
    messages = [
        message
        for message in store.messages
        if message.provider == "telnyx" and recipient in (None, message.to) and message.at >= since
    ]
    number = int(request.query.get("page[number]") or 1)
    size = min(int(request.query.get("page[size]") or 20), RECORDS_PER_PAGE)

    def build(listed: Sequence[Message]) -> HttpResponse:
        filler = [_OTHER_RECORD] * size if recipient in store.filled else []
        records = [*filler, *map(build_detail_record, listed)]
        pages = -(-len(records) // size)
        meta = {"page_number": number, "page_size": size, "total_pages": pages, "total_results": len(records)}
        return HttpResponse(200, {"data": records[(number - 1) * size : number * size], "meta": meta})

    def build_filler() -> HttpResponse:
        store.filled.add(recipient or "")
        return build(messages)

    if number == 1:
        store.filled.discard(recipient or "")
    return Listing(messages, build, build_filler)


def _parse_day(text: str | None) -> datetime:
    return datetime.fromisoformat(text or "1970-01-01").replace(tzinfo=UTC)


def build_detail_record(message: Message) -> dict[str, Any]:
    """Build Telnyx's detail record of an outbound message."""
    return {
        "record_type": "message_detail_record",
        "uuid": message.id,
        "created_at": message.at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "direction": "outbound",
        "cld": message.to,
        "cli": str(message.body.get("from") or ""),
        "profile_id": str(message.body.get("messaging_profile_id") or ""),
        "message_type": "SMS",
        "status": "delivered",
    }
