"""The counts on cards and lists, live: one stream for each page that shows them, one query a second for a workspace.

A frame has the automations that executed lately with their counts; it is sent only where one of them has changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dashboard.live.feeds import FeedTiming
from dashboard.responses import to_api_fields
from models.reports import live_counts
from models.reports.live_counts import LiveCounts

#: A tracked execution is recorded within a second, and its counts are sent within another.
TIMING = FeedTiming(frame_seconds=1.0, retry_ms=200, sends_unchanged=False)


@dataclass(frozen=True)
class CountsKey:
    """The key of the feed of a workspace's counts."""

    workspace_id: str


def read(key: CountsKey) -> dict[str, Any]:
    """The counts to send."""
    return {"automations": [_serialize(row) for row in live_counts.fetch_recent(key.workspace_id)]}


def _serialize(row: LiveCounts) -> dict[str, Any]:
    finished = row["succeeded"] + row["failed"]
    rate = format_rate(row["succeeded"] / finished) if finished else None
    suffix = ", without unknown outcomes" if row["unknown"] else ""
    text = f"{rate} success rate{suffix}" if rate else "None succeeded or failed"
    return {**to_api_fields(row), "successRate": rate, "successText": text}


def format_rate(rate: float) -> str:
    """A rate in percent: `98.5%`, `100%`."""
    return f"{rate * 100:.1f}".removesuffix(".0") + "%"
