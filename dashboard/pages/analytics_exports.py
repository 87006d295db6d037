"""The files of the menu *Export CSV*: the reports of the API's export, with the filters of the page. Pure."""

from __future__ import annotations

from urllib.parse import urlencode

from dashboard.api.analytics_export import Report as ReportName
from dashboard.pages.analytics_form import Link
from dashboard.pages.analytics_report import Report
from models.reports.analytics_filters import DIMENSIONS, AnalyticsFilters, Interval

_PATH = "/api/analytics/export"
_LABELS: dict[ReportName, str] = {
    "timeline": "Executions over time", "status": "Executions by status", "top": "Automations and playbooks",
    "funnel": "Funnel", "messages": "Messages by channel", "experiments": "Experiments", "device": "By device",
    "page": "By page", "trigger": "By trigger", "actions": "Actions",
}  # fmt: skip
#: What is counted by no property of an execution.
_NOT_BY_EXECUTION = ("funnel", "messages", "experiments", "actions")


def list_exports(report: Report, by: Interval) -> list[Link]:
    """The reports that are counted with the filters."""
    return [
        Link(f"{_PATH}?{urlencode(_list_fields(name, report, by))}", label, is_current=False)
        for name, label in _LABELS.items()
        if _is_counted(name, report)
    ]


def _is_counted(name: ReportName, report: Report) -> bool:
    if name in _NOT_BY_EXECUTION and report.filters.is_by_execution:
        return False
    value = report.filters.get_value()
    if name in DIMENSIONS and value is not None:
        return value[0] == name
    return name != "funnel" or report.funnel_id is not None


def _list_fields(name: ReportName, report: Report, by: Interval) -> dict[str, str]:
    fields = {"report": name, **_list_filters(report.filters)}
    if name == "timeline":
        fields["by"] = by
    if name == "funnel" and report.funnel_id:
        fields["automationId"] = report.funnel_id
    if report.compared:
        fields["compareFrom"] = report.compared.since.isoformat()
        fields["compareTo"] = report.compared.until.isoformat()
    return fields


def _list_filters(filters: AnalyticsFilters) -> dict[str, str]:
    values = {
        "from": filters.since.isoformat(), "to": filters.until.isoformat(), "kind": filters.kind,
        "automationId": filters.automation_id, "channel": filters.channel, "device": filters.device,
        "page": filters.page, "trigger": filters.trigger, "status": filters.status,
    }  # fmt: skip
    return {name: value for name, value in values.items() if value is not None}
