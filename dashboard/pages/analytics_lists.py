"""The list behind each number of analytics: exactly the executions that it counts, or none where no list can show them.

Executions of automations and of playbooks have a list each. That of automations filters by neither the channel nor the
trigger.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlencode

from dashboard.pages.counts import build_list_path
from models.execution_filters import ExecutionFilters
from models.reports.analytics_filters import AnalyticsFilters, Kind
from rules.tallies import OTHER, Outcome

#: What the outcomes are called by the list of executions, and whether their outcome is unknown.
_STATUSES: dict[str, tuple[str | None, bool | None]] = {
    "succeeded": ("succeeded", None), "failed": ("failed", False), "unknown": ("failed", True),
    "skipped": ("skipped", None), "cancelled": ("cancelled", None),
}  # fmt: skip
#: What they are called by the list of executions of playbooks.
_TRACKED_STATUSES = {"succeeded": "success", "failed": "error", "timed_out": "timeout"}


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
        filters = replace(
            self.filters, since=since, until=until, status=outcome or self.filters.status,
            automation_id=automation_id or self.filters.automation_id,
        )  # fmt: skip
        if filters.channel or self.kind == "everything":
            return ""
        return build_tracked_path(filters) if self.kind == "playbooks" else build_executions_path(filters)


def build_executions_path(filters: AnalyticsFilters) -> str:
    """The list of the executions of automations; empty for filters that it lacks."""
    since, until = filters.find_bounds()
    selected = ExecutionFilters(automation_id=filters.automation_id, since=since, until=until, test=False)
    if filters.get_value() is not None:
        return ""
    if filters.status is None:
        return build_list_path(selected)
    if filters.status == "active":
        return build_list_path(replace(selected, in_flight=True))
    status, is_unknown = _STATUSES.get(filters.status, (None, None))
    return build_list_path(replace(selected, status=status, outcome_unknown=is_unknown)) if status else ""


def build_tracked_path(filters: AnalyticsFilters) -> str:
    """The list of the executions of playbooks; empty for filters that it lacks, and for values that stand for several,
    such as a page without its ids."""
    since, until = filters.find_bounds()
    status = _TRACKED_STATUSES.get(filters.status or "")
    value = filters.get_value()
    if (filters.status and status is None) or (value and (value[1] in ("", OTHER) or ":id" in value[1])):
        return ""
    fields = {
        "automationId": filters.automation_id, "status": status, "deviceType": filters.device, "page": filters.page,
        "triggerName": filters.trigger, "from": since.isoformat(), "to": until.isoformat(),
    }  # fmt: skip
    return "/executions/playbooks?" + urlencode({name: text for name, text in fields.items() if text is not None})
