"""The list behind each number of analytics: exactly the executions that it counts, or none where no list can show them.

Executions of automations and of playbooks have a list each. A list filters by neither the channel nor the trigger.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dashboard.pages.counts import build_list_path
from models.execution_filters import ExecutionFilters
from models.reports.analytics_filters import AnalyticsFilters, Kind
from rules.tallies import Outcome

#: What the outcomes are called by the list of executions, and whether their outcome is unknown.
_STATUSES: dict[str, tuple[str | None, bool | None]] = {
    "succeeded": ("succeeded", None), "failed": ("failed", False), "unknown": ("failed", True),
    "skipped": ("skipped", None), "cancelled": ("cancelled", None),
}  # fmt: skip


@dataclass(frozen=True)
class Lists:
    """The lists behind the numbers of some filters. `kind` says which executions they count: those of one kind, or
    `everything` where there are some of both."""

    filters: AnalyticsFilters
    kind: Kind

    def build_path(
        self, outcome: Outcome | None, since: datetime, until: datetime, automation_id: str | None = None
    ) -> str:
        """The list of the executions with an outcome, or of all outcomes, in a period; empty where there is none."""
        filters, outcome = self.filters, outcome or self.filters.status  # type: ignore[assignment]
        if filters.channel or filters.trigger is not None or self.kind != "automations" or filters.get_value():
            return ""
        return build_executions_path(outcome, since, until, automation_id or filters.automation_id)


def build_executions_path(outcome: Outcome | None, since: datetime, until: datetime, automation_id: str | None) -> str:
    """The list of the executions of automations; empty for an outcome that they cannot have."""
    selected = ExecutionFilters(automation_id=automation_id, since=since, until=until, test=False)
    if outcome == "active":
        return build_list_path(ExecutionFilters(**{**selected.__dict__, "in_flight": True}))
    status, is_unknown = _STATUSES.get(outcome, (None, None)) if outcome else (None, None)
    if outcome and status is None:
        return ""
    return build_list_path(ExecutionFilters(**{**selected.__dict__, "status": status, "outcome_unknown": is_unknown}))
