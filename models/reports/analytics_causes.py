"""What may explain a change on a chart: failures that pile up on a day, and published versions.

Deployments and the changes of operators are in `models.deployment` and `models.reports.overview.list_changes`.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from models.database import acting_as
from models.queries import fetch
from models.reports.analytics_filters import AnalyticsFilters, Interval
from models.reports.analytics_reader import Counted, read_counts
from models.tables import Automation, WorkflowVersion
from rules.tallies import OTHER

#: Fewer failures of one kind in an interval explain nothing.
MIN_FAILURES = 5
MAX_FAILURES, MAX_VERSIONS = 10, 50


class FailureCause(TypedDict):
    """The executions of the interval that begins at `at` that failed for the same reason; `provider` and `error_code`
    are None where the error has none."""

    at: datetime
    provider: str | None
    error_class: str
    error_code: str | None
    count: int


class VersionCause(TypedDict):
    """A version that was published."""

    at: datetime
    automation_id: str
    automation_name: str
    version: int


def list_failure_causes(workspace_id: str, filters: AnalyticsFilters, by: Interval) -> list[FailureCause]:
    """Return the reasons with the most failures in an interval, most first, one for each interval: of all executions of
    automations that the filters by automation and channel select."""
    rows = read_counts(workspace_id, _select(filters), Counted("executions", "error"), by=by, keys=("value",))
    edges, causes = filters.list_edges(by), []
    seen: set[int] = set()
    for row in sorted(rows, key=lambda row: (-row["count"], row["point"], row["value"])):
        if row["value"] == OTHER or row["count"] < MIN_FAILURES or row["point"] in seen:
            continue
        seen.add(row["point"])
        provider, error_class, error_code = row["value"].split("|", 2)
        causes.append(
            FailureCause(
                at=edges[row["point"]], provider=provider or None, error_class=error_class,
                error_code=error_code or None, count=row["count"],
            )
        )  # fmt: skip
    return causes[:MAX_FAILURES]


def _select(filters: AnalyticsFilters) -> AnalyticsFilters:
    return AnalyticsFilters(
        filters.since, filters.until, filters.zone, filters.kind, filters.automation_id, filters.channel
    )


def list_version_causes(workspace_id: str, filters: AnalyticsFilters) -> list[VersionCause]:
    """Return the newest versions that were published in the period, oldest first; those of one automation where the
    filters name it, and of one kind where they select it."""
    query = (
        WorkflowVersion.select(
            WorkflowVersion.published_at.alias("at"), WorkflowVersion.automation_id,
            Automation.name.alias("automation_name"), WorkflowVersion.version,
        )
        .join(Automation, on=Automation.id == WorkflowVersion.automation_id)
        .where(
            WorkflowVersion.workspace_id == workspace_id,
            WorkflowVersion.published_at >= filters.since,
            WorkflowVersion.published_at < filters.until,
            Automation.test_run_id.is_null(),
        )
        .order_by(WorkflowVersion.published_at.desc())
        .limit(MAX_VERSIONS)
    )  # fmt: skip
    if filters.kind != "everything":
        is_playbook = Automation.type == "playbook"
        query = query.where(is_playbook if filters.kind == "playbooks" else ~is_playbook)
    if filters.automation_id:
        query = query.where(WorkflowVersion.automation_id == filters.automation_id)
    with acting_as(workspace_id):
        return fetch(VersionCause, query)[::-1]
