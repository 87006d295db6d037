"""Messages in numbers, by channel. Each counts at the time it was sent; tests are in no number.

A reply and an unsubscription belong to the newest message to the contact on that channel, within seven days. What a
channel cannot tell is None, never 0.
"""

from __future__ import annotations

from typing import Literal, TypedDict

from models.reports.analytics_filters import AnalyticsFilters
from models.reports.analytics_reader import Counted, group_rows, read_counts
from rules.channels import CHANNELS
from rules.tallies import compute_change

#: What can become of a sent message, in this order.
Measure = Literal["delivered", "opened", "clicked", "replied", "unsubscribed"]
MEASURES: tuple[Measure, ...] = ("delivered", "opened", "clicked", "replied", "unsubscribed")


class ChannelRow(TypedDict):
    """The messages of a channel. None means not measured: Instagram reports no delivery, Telnyx no reading, and clicks
    are known of messages with counted links alone.

    `rates` are 0 to 1: delivered of sent, clicked of the messages with counted links, the others of delivered, or of
    sent where delivery is not measured. `before` counts the messages sent in the compared period, and `change` is
    relative to it; both are None without a compared period.
    """

    channel: str
    sent: int
    delivered: int | None
    opened: int | None
    clicked: int | None
    replied: int | None
    unsubscribed: int | None
    rates: dict[Measure, float | None]
    before: int | None
    change: float | None


def fetch_messages(
    workspace_id: str, filters: AnalyticsFilters, compared: AnalyticsFilters | None = None
) -> list[ChannelRow] | None:
    """Return the channels with messages sent in the period, most first; None with a filter by device, page, trigger or
    status, by which messages are not counted."""
    if filters.is_by_execution:
        return None
    counts = _read(workspace_id, filters)
    before = _read(workspace_id, compared) if compared else None
    rows = [_build_row(channel, channel_counts, before) for channel, channel_counts in counts.items()]
    return sorted(rows, key=lambda row: (-row["sent"], row["channel"]))


def _read(workspace_id: str, filters: AnalyticsFilters) -> dict[str, dict[str, int]]:
    counted = Counted("messages", "channel", filters.channel)
    groups = group_rows(read_counts(workspace_id, filters, counted, keys=("value",)), lambda row: row["value"])
    return {channel: {row["status"]: row["count"] for row in rows} for channel, rows in groups.items()}


def _build_row(channel: str, counts: dict[str, int], before: dict[str, dict[str, int]] | None) -> ChannelRow:
    measures = CHANNELS[channel].measures if channel in CHANNELS else frozenset()
    measured: dict[str, int | None] = {
        name: counts.get(name, 0) if name in measures or (name == "clicked" and "linked" in counts) else None
        for name in MEASURES
    }
    sent = counts.get("sent", 0)
    sent_before = before.get(channel, {}).get("sent", 0) if before is not None else None
    return {
        "channel": channel,
        "sent": sent,
        "delivered": measured["delivered"],
        "opened": measured["opened"],
        "clicked": measured["clicked"],
        "replied": measured["replied"],
        "unsubscribed": measured["unsubscribed"],
        "rates": {name: _divide(measured[name], _find_base(name, sent, counts, measured)) for name in MEASURES},
        "before": sent_before,
        "change": compute_change(sent, sent_before) if sent_before is not None else None,
    }


def _find_base(name: Measure, sent: int, counts: dict[str, int], measured: dict[str, int | None]) -> int:
    if name == "clicked":
        return counts.get("linked", 0)
    delivered = measured["delivered"]
    return sent if name == "delivered" or delivered is None else delivered


def _divide(part: int | None, whole: int) -> float | None:
    return None if part is None or not whole else round(part / whole, 4)
