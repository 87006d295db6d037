"""Searches Telnyx's detail records for what was sent to a number.

They have no key of ours, so they prove only that something was sent. Page: developers.telnyx.com, Detail Records.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from providers import http_client, retries
from providers.base import Account, Receipt
from providers.telnyx_errors import classify_error
from providers.untrusted import get_path, get_text, parse_timestamp
from rules.errors import ProviderUnavailable

#: Detail records on a page (at most 50), and pages that `list_receipts` reads.
RECORDS_PER_PAGE, MAX_PAGES = 50, 20
#: How far the time of a message's detail record may be from that of its send.
RECORD_MARGIN = timedelta(minutes=2)


def list_receipts(account: Account, sent_from: datetime, to: str, sent_until: datetime) -> list[Receipt]:
    """Return the receipts of what the account's profile sent to a number between two times."""
    receipts: list[Receipt] = []
    for number in range(1, MAX_PAGES + 1):
        page = _fetch_page(account, sent_from, to, number)
        receipts += [
            Receipt(get_text(record, "uuid"), {"lookedUp": True})
            for record in page["data"]
            if _is_of_send(account, record, to) and _is_between(record, sent_from, sent_until)
        ]
        if number >= page["meta"]["total_pages"]:
            return receipts
    raise ProviderUnavailable("Telnyx has more detail records than are searched. Look for the message in its portal.")


def _fetch_page(account: Account, sent_from: datetime, to: str, number: int) -> dict[str, Any]:
    # A day early: the zone of the filter's days is not documented.
    since = (sent_from.astimezone(UTC) - timedelta(days=1)).date()
    query = {
        "filter[record_type]": "messaging", "filter[direction]": "outbound", "filter[cld]": to,
        "filter[created_at][gte]": since.isoformat(), "page[size]": RECORDS_PER_PAGE, "page[number]": number,
    }  # fmt: skip
    call = http_client.Call(
        label="Telnyx",
        method="GET",
        url=f"{account.base_url.rstrip('/')}/detail_records?{urlencode(query)}",
        headers={"Authorization": f"Bearer {account.require_secret('TELNYX_API_KEY')}"},
    )

    def fetch_page() -> dict[str, Any]:
        response = http_client.send_request(call)
        if response.status != 200:
            raise classify_error(account, response, effect=False)
        page = response.json()
        if not isinstance(page.get("data"), list) or not isinstance(get_path(page, "meta", "total_pages"), int):
            raise ProviderUnavailable(
                "Telnyx's detail records were not in the documented form. It will be retried automatically."
            )
        return page

    return retries.read(fetch_page)


def _is_of_send(account: Account, record: Any, to: str) -> bool:
    """Whether a detail record can be that of a send to this number: outbound, of the account's profile."""
    profile = account.secrets.get("TELNYX_MESSAGING_PROFILE_ID")
    return (
        get_text(record, "direction") == "outbound"
        and get_text(record, "cld") == to
        and profile in (None, get_text(record, "profile_id"))
    )


def _is_between(record: Any, sent_from: datetime, sent_until: datetime) -> bool:
    created_at = parse_timestamp(get_path(record, "created_at"))
    return created_at is not None and sent_from - RECORD_MARGIN <= created_at <= sent_until + RECORD_MARGIN
