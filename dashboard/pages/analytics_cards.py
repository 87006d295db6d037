"""The figures at the top of the page of analytics, each with its change against the earlier period. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard.pages.analytics_period import Period
from dashboard.pages.analytics_report import Report, sum_messages
from dashboard.pages.analytics_texts import (
    Change,
    compare_amounts,
    compare_rates,
    find_better,
    format_count,
    format_milliseconds,
    format_rate,
)


@dataclass(frozen=True)
class Card:
    """A figure with its list, its change, and what it is compared with or what it is of."""

    label: str
    text: str
    note: str
    change: Change | None = None
    path: str = ""


def build_cards(report: Report, period: Period) -> list[Card]:
    """The six figures."""
    totals, before = report.totals, report.before
    return [
        Card(
            "Executions",
            format_count(totals["executions"]),
            _say(format_count(before["executions"]) if before else None, ""),
            compare_amounts(
                totals["executions"], before and before["executions"], find_better(report.filters.status)
            ),
            report.lists.build_path(None, period.since, period.until),
        ),
        Card("Success rate", "–", "not measured of one status")
        if report.filters.status
        else Card(
            "Success rate",
            format_rate(totals["success_rate"]),
            _say(format_rate(before["success_rate"]) if before and before["success_rate"] is not None else None,
                 "of succeeded and failed"),
            compare_rates(totals["success_rate"], before and before["success_rate"]),
        ),
        *(_build_time(report, name, label) for name, label in (("p50_ms", "Time, p50"), ("p95_ms", "Time, p95"))),
        *_build_messages(report),
    ]  # fmt: skip


def _build_time(report: Report, name: str, label: str) -> Card:
    current: int | None = report.totals[name]  # type: ignore[literal-required]
    before: int | None = report.before[name] if report.before else None  # type: ignore[literal-required]
    note = _say(None if before is None else format_milliseconds(before), "of those succeeded")
    return Card(label, format_milliseconds(current), note, compare_amounts(current, before, "down"))


def _build_messages(report: Report) -> list[Card]:
    current, before = sum_messages(report.messages), sum_messages(report.messages_before)
    if current["sent"] is None:
        nothing = "not counted with this filter"
        return [Card("Messages sent", "–", nothing), Card("Replied", "–", nothing)]
    sent_before, replied_before = before["sent"], before["replied"]
    return [
        Card(
            "Messages sent", format_count(current["sent"]),
            _say(None if sent_before is None else format_count(sent_before), ""),
            compare_amounts(current["sent"], sent_before),
        ),
        Card(
            "Replied", format_rate(current["replied"]),
            _say(None if replied_before is None else format_rate(replied_before), "of delivered"),
            compare_rates(current["replied"], replied_before),
        ),
    ]  # fmt: skip


def _say(before: str | None, otherwise: str) -> str:
    return f"{before} before" if before is not None else otherwise
