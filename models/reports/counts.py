"""Every count of executions that a page shows, by name: the one definition of what it counts.

Pages derive the link behind a number from the same filters (`dashboard.pages.counts`), so that number and list cannot
differ. Tests are never counted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from models.execution_filters import ExecutionFilters


@dataclass(frozen=True)
class CountDefinition:
    """The filters of a count. `today` limits it to executions accepted, or with a message sent, since midnight."""

    filters: ExecutionFilters
    today: Literal["accepted", "sent"] | None = None

    def build_filters(self, midnight: datetime) -> ExecutionFilters:
        """Return the filters with the start of the workspace's day."""
        if self.today is None:
            return self.filters
        if self.today == "accepted":
            return replace(self.filters, since=midnight)
        return replace(self.filters, sent_since=midnight)


def _define(today: Literal["accepted", "sent"] | None = None, **fields: str | bool) -> CountDefinition:
    return CountDefinition(ExecutionFilters(test=False, **fields), today)  # type: ignore[arg-type]


COUNTS = {
    # Of the workspace: the summary bar and the overview.
    "pending": _define(status="pending"),
    "running": _define(status="running"),
    "waiting": _define(status="waiting"),
    "review": _define(status="waiting", review=True),
    "sent_today": _define("sent"),
    "failed": _define(status="failed", outcome_unknown=False),
    "skipped_today": _define("accepted", status="skipped"),
    "unknown": _define(status="failed", outcome_unknown=True),
    "stuck": _define(stuck=True),
    # Of one automation: its card and its page.
    "active": _define(in_flight=True),
    "executions": _define(in_flight=False),
    "succeeded": _define(status="succeeded"),
    "skipped": _define(status="skipped"),
}
