"""The filters of the page of analytics: all of its state, in the URL. Forms and links work without scripts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from dashboard.api.schemas import Choice
from dashboard.bodies import Body, ShortText
from dashboard.pages.analytics_period import MAX_DAYS_BY_HOUR, RANGES, Period, Range, Unit, build_period
from dashboard.pages.labels import CHANNELS
from models.ids import is_id
from models.reports.analytics_filters import AnalyticsFilters, Kind
from rules.channels import CONTACT_CHANNELS
from rules.tallies import OUTCOMES

#: What an execution became, as the filter and the charts call it.
OUTCOME_LABELS = {
    "succeeded": "Succeeded", "failed": "Failed", "timed_out": "Timed out", "unknown": "Unknown outcome",
    "skipped": "Skipped", "cancelled": "Cancelled", "active": "Active",
}  # fmt: skip
DEVICES = {"desktop": "Desktop", "mobile": "Mobile", "tablet": "Tablet"}
SHOWS: dict[Kind, str] = {"everything": "Everything", "automations": "Automations", "playbooks": "Playbooks"}
UNITS: dict[Unit, str] = {"day": "By day", "hour": "By hour"}


def _check_day(text: str) -> str:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError("must be a day such as 2026-11-30") from None
    if not 2000 <= day.year < 3000:
        raise ValueError("must be in the year 2000 or later")
    return text


def _check_id(text: str) -> str:
    if not is_id(text):
        raise ValueError("must be an id")
    return text


Day = Annotated[str, Field(max_length=10), AfterValidator(_check_day)]
AutomationId = Annotated[str, Field(max_length=64), AfterValidator(_check_id)]


class AnalyticsForm(Body):
    """The filters. `compareFrom` is the first day of the period to compare with; `funnel` is an automation's id.

    Executions are counted by device, page and trigger apart: of these filters the first one counts.
    """

    range: Range = "30d"
    first: Day | None = Field(None, alias="from")
    last: Day | None = Field(None, alias="to")
    compare: Literal["previous", "none", "custom"] = "previous"
    compare_from: Day | None = Field(None, alias="compareFrom")
    show: Kind = "everything"
    automation_id: AutomationId | None = Field(None, alias="automationId")
    channel: Annotated[str, Choice(CONTACT_CHANNELS)] | None = None
    device: Literal["desktop", "mobile", "tablet"] | None = None
    status: Annotated[str, Choice(OUTCOMES)] | None = None
    page: ShortText | None = None
    trigger: ShortText | None = None
    by: Unit | None = None
    funnel: AutomationId | None = None

    @property
    def unit(self) -> Unit:
        """Days, or hours where asked for and in the last 24 hours."""
        return "hour" if self.range == "24h" else self.by or "day"

    def build_period(self, zone: ZoneInfo, now: datetime) -> Period:
        """The period."""
        first, last = (date.fromisoformat(text) if text else None for text in (self.first, self.last))
        return build_period(self.range, first, last, self.unit, zone, now)

    def build_before(self, period: Period) -> Period | None:
        """The period to compare with, or None."""
        if self.compare == "none":
            return None
        if self.compare == "custom" and self.compare_from:
            return period.shift((period.first_day - date.fromisoformat(self.compare_from)).days)
        return period.shift(1 if self.range == "24h" else period.days)

    def can_be_by(self, unit: Unit, period: Period) -> bool:
        """Whether the chart has room for days or hours of the period."""
        return self.range != "24h" if unit == "day" else period.days <= MAX_DAYS_BY_HOUR

    def build_filters(self, period: Period) -> AnalyticsFilters:
        """The filters for the reports."""
        page = None if self.device else self.page
        trigger = None if self.device or page else self.trigger
        return AnalyticsFilters(
            period.since, period.until, period.zone.key, self.show, self.automation_id, self.channel, self.device,
            page, trigger, self.status,
        )  # fmt: skip

    def list_fields(self) -> dict[str, str]:
        """The fields that are set, by their names in the URL; those with the default value are left out."""
        fields = {(field.alias or name): getattr(self, name) for name, field in type(self).model_fields.items()}
        defaults = {(field.alias or name): field.default for name, field in type(self).model_fields.items()}
        kept = {name: value for name, value in fields.items() if value is not None and value != defaults[name]}
        if self.range != "custom":
            kept = {name: value for name, value in kept.items() if name not in ("from", "to")}
        return kept if self.compare == "custom" else {name: kept[name] for name in kept if name != "compareFrom"}


def cut_to_elapsed(before: Period, period: Period, now: datetime) -> Period:
    """As much of the earlier period as has passed of the current one, to the hour: totals compare like with like."""
    elapsed = -(-(now - period.since) // timedelta(hours=1)) * timedelta(hours=1)
    if now >= period.until or elapsed < timedelta():
        return before
    return replace(before, until=min(before.until, before.since + elapsed))


@dataclass(frozen=True)
class Link:
    """A link that changes one field of the URL."""

    path: str
    text: str
    is_current: bool


def build_path(base_path: str, fields: Mapping[str, str], **changes: str | None) -> str:
    """The page with changed fields; None removes one."""
    merged = {name: value for name, value in {**fields, **changes}.items() if value is not None}
    return base_path + (f"?{urlencode(merged)}" if merged else "")


def describe_compares(form: AnalyticsForm, period: Period) -> dict[str, str]:
    """The choices of the comparison."""
    previous = "the day before" if form.range == "24h" else f"previous {period.days} days"
    return {"previous": previous if period.days > 1 else "the day before", "none": "nothing", "custom": "custom period"}


def describe_filters(form: AnalyticsForm, automations: Mapping[str, str]) -> dict[str, Any]:
    """The choices of every select, the empty value first."""
    unlisted = {form.automation_id: "unknown"} if form.automation_id and form.automation_id not in automations else {}
    return {
        "ranges": RANGES,
        "automations": {"": "all", **automations, **unlisted},
        "channels": {"": "all", **{name: CHANNELS[name] for name in CONTACT_CHANNELS}},
        "devices": {"": "all", **DEVICES},
        "statuses": {"": "all", **OUTCOME_LABELS},
    }
